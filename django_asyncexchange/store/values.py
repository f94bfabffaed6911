"""Results of transitions, as values."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

from .. import encryption
from ..models import AsyncTask
from ..protocol.values import value


@value
class Accepted:
    """A task that was accepted."""

    task: AsyncTask
    has_webhooks: bool
    is_notified: bool
    """Whether the same statement has notified the workers."""


@value
class Claim:
    """One attempt of a task, for whoever may end it: the worker that claimed it, or a sweep that found it lost.

    None means unknown.
    """

    task: AsyncTask
    """As it was when it was claimed."""
    has_webhooks: bool | None = None
    """Whether the account has webhooks."""
    has_body: bool | None = None
    """Whether the captured request has a body."""
    content: bytes | None = None
    """The body as stored, if it was read with the claim: a small one, in the database."""
    is_sealed: bool | None = None
    """Whether ``content`` is encrypted."""

    @property
    def has_unread_body(self) -> bool:
        """Whether the captured request has a body that must still be read."""
        return bool(self.has_body) and self.content is None

    def body(self) -> Iterator[bytes]:
        """The request body that was read with the claim; empty if there is none."""
        content = bytes(self.content or b"")
        return encryption.unsealed([content]) if self.is_sealed else iter([content])


@value
class Overdue:
    """A task that has waited longer than ``queue_limit`` and must be ended instead of run."""

    task: AsyncTask
    queue_limit: dt.timedelta


@value
class Ended:
    """A task that has reached a final state."""

    task: AsyncTask
    """As it is now."""
    has_webhooks: bool = False
    others_wait: bool = False
    """Whether other tasks of its account wait to be dispatched."""
    dispatched: uuid.UUID | None = None
    """The next task of its account, if it was dispatched in the same commit."""
    next: Claim | None = None
    """The next task for the same worker, of any account, if it was claimed in the same commit."""
