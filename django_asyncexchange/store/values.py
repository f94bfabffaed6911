"""What comes of a transition, as values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from .. import encryption
from ..models import AsyncTask
from ..protocol.values import value


@value
class Accepted:
    """A task that was stored."""

    task: AsyncTask
    has_webhooks: bool
    has_message: bool
    """Whether the message that sends it to the workers was stored along."""


@value
class Claim:
    """One attempt of a task, for whoever may end it: the worker that took it, or a sweep that found it lost.

    What it does not know is None.
    """

    task: AsyncTask
    """As it was when it was claimed."""
    has_webhooks: bool | None = None
    """Whether the account has webhooks."""
    has_body: bool | None = None
    """Whether the captured request has a body."""
    content: bytes | None = None
    """That body as it is stored, if it was read along: a small one, in the database."""
    is_sealed: bool | None = None
    """Whether ``content`` is encrypted."""

    @property
    def has_body_elsewhere(self) -> bool:
        """Whether the captured request has a body that is yet to be read."""
        return bool(self.has_body) and self.content is None

    def body(self) -> Iterator[bytes]:
        """The body of the captured request, if it was read along; nothing if there is none."""
        content = bytes(self.content or b"")
        return encryption.unsealed([content]) if self.is_sealed else iter([content])


@value
class Overdue:
    """A task that has waited for longer than it may: it is to be ended, not run."""

    task: AsyncTask
    queue_limit: dt.timedelta


@value
class Ended:
    """A task that has reached a final state."""

    task: AsyncTask
    """As it is now."""
    has_webhooks: bool
    others_wait: bool
    """Whether others of its account wait to be sent to the workers."""
    next: Claim | None = None
    """The account's next task, if it was claimed in the same commit."""
