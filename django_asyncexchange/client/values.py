"""What the exchange and the front ends pass to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

DOWNLOADING = "DOWNLOADING"


@dataclass(frozen=True)
class Progress:
    """The status document of an unfinished task; ``eta`` is an RFC 3339 date. Unknown members are None.

    While the result arrives, ``state`` is ``DOWNLOADING``, and ``done`` and ``total`` are bytes. The total of a result
    that is compressed on its way is unknown.
    """

    state: str
    done: float | None = None
    total: float | None = None
    message: str | None = None
    eta: str | None = None


@dataclass(frozen=True)
class Options:
    """How calls are made."""

    timeout: float | None = None
    """Seconds for the call until its response begins; None waits as long as the task takes. Its download may take
    longer."""
    on_progress: Callable[[Progress], object] | None = None
    respond_async: bool = True
    """Add ``Prefer: respond-async``; without it, only calls whose caller sends the header are asynchronous."""
    idempotency_key: bool = True
    """Add an ``Idempotency-Key`` to calls of unsafe methods that have none."""
    cancel_on_interrupt: bool = True
    """Cancel the task on KeyboardInterrupt and when the asyncio task is cancelled."""
    retries: int = 5
    """Connection errors in a row that are tried again; during a download, those without a byte between them."""
    wait: int = 20
    """Seconds that a poll may be held (``Prefer: wait``)."""


@dataclass(frozen=True)
class Call:
    """The caller's request. ``is_repeatable``: its body can be sent a second time."""

    method: str
    url: str
    headers: Mapping[str, str]
    is_repeatable: bool = True


@dataclass(frozen=True)
class Submit:
    """Send the call itself, with ``headers`` in addition."""

    headers: Mapping[str, str]


@dataclass(frozen=True)
class Send:
    """Send this request without a body; ``patience`` are the seconds that its response may take, where not usual."""

    method: str
    url: str
    headers: Mapping[str, str]
    patience: float = 0


@dataclass(frozen=True)
class Wait:
    """Sleep so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Read:
    """Read the body of the last response."""


@dataclass(frozen=True)
class Reply:
    """The last response: header names in lower case; the body only after ``Read``."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Lost:
    """The connection failed."""

    error: Exception


Step = Submit | Send | Wait | Read
Event = Reply | Lost | None
