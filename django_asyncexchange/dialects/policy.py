"""The numbers of a dialect: limits, retention, time."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping

from ..states import State


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of a dialect; each can be overridden per mount (``CAPACITY`` for ``capacity``, and so on)."""

    capacity: int | None = None
    """Unfinished tasks allowed per account; None = unlimited."""
    retention: dt.timedelta = dt.timedelta(hours=24)
    """How long the answer of a successful call is kept after it finished."""
    error_retention: dt.timedelta = dt.timedelta(hours=24)
    """How long the answer of a failed call is kept after it finished."""
    window: dt.timedelta = dt.timedelta(days=7)
    """How long a task stays known after it finished, and how far back a list reaches."""
    run_limit: dt.timedelta = dt.timedelta(minutes=5)
    """A run that takes longer ends in ERROR with reason run_timeout."""
    link_lifetime: dt.timedelta = dt.timedelta(minutes=5)
    """How long a signed download link works."""
    time_zone: str = "UTC"
    """Zone of dates without an offset on this wire."""
    language: str = ""
    """Language of messages where the client states no preference; empty = the project's."""
    attempts: int = 3
    """How often a safe call (GET, HEAD, OPTIONS) is run in all, if its worker dies. Others are never run again."""
    share: int = 8
    """Unfinished tasks of one account that the workers are given at a time; its others wait their turn."""
    rate: int | None = None
    """Calls that an account may submit within a minute; None = unlimited."""
    stored_bytes: int | None = None
    """Bytes of requests and answers that may be kept for an account; nothing more is accepted above; None = any."""
    queue_limit: dt.timedelta | None = None
    """A task that waits longer than this never starts; it ends in ERROR with reason queue_timeout."""
    shared_capacity: bool = False
    """Whether ``capacity`` counts the tasks of all accounts together."""
    webhooks: int = 10
    """Webhooks that an account may have."""
    delivery: str = "signed"
    """How webhooks and callbacks are delivered: the name of one of ``profiles.PROFILES``."""
    require_https: bool = True
    """Whether ``WEBHOOK_REQUIRE_HTTPS`` applies; a protocol whose clients use plain HTTP says no."""
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Other texts for errors, by their code on this wire."""
    views: tuple[str, ...] = ()
    """More eligible views of this mount only: URL names, or path patterns with a leading slash and ``*``."""

    def retention_of(self, state: State) -> dt.timedelta:
        """How long the stored answer of a task in the final ``state`` is kept."""
        return self.retention if state is State.DONE else self.error_retention
