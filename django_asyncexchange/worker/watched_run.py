"""The watchdog's record of a run: its limits, its thread and connections, its progress, and why it has to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db import connections, router

from ..models import AsyncTask
from ..protocol.states import Reason, State
from ..protocol.values import Progress
from ..run_context import Interrupted, RunContext
from ..store.values import Claim
from . import query_cancel

MAX_COUNT = 2**63 - 1
"""The largest number that every database holds."""
BLOCKED_CPU = 0.01
"""Seconds of processor time that a blocked thread may use between two interruptions."""


class WatchedRun:
    """One run of ``claim``, of at most ``limit`` seconds. Made in the thread that runs it, read by the watchdog's."""

    def __init__(self, claim: Claim, limit: float) -> None:
        self.claim, task = claim, claim.task
        self.id, self.attempt = task.pk, task.attempt
        self.limit = limit
        self.thread = threading.get_ident()
        self.connections = query_cancel.of_this_thread()
        self.is_private = connections[router.db_for_write(AsyncTask)].in_atomic_block
        """Whether nobody else can see the task, because it was claimed within a transaction that is still open."""
        self.began = self.renewed = self.progress_written = time.monotonic()
        self.reason: Reason | State | None = None
        """Why it has to end: RUN_TIMEOUT or CANCEL."""
        self.interrupted = self.signalled = 0.0
        self.deferrals = 0
        """How often an interruption was put off, because the code was not at a safe point."""
        self._cpu_time = 0.0
        self.is_over = False
        self.begin: Callable[[], object] = bool
        """Called right before the view's code runs: from then on a lost run may have had effects."""
        self.lock = threading.Lock()
        """Held while the run is interrupted, and while it ends."""
        self.written_progress: Progress | None = None
        self._reported: Progress | None = None
        self._source: Any = None
        self.context = _context(claim.task, self)
        """``request.async_task``."""

    @property
    def is_cancelled(self) -> bool:
        return self.reason is not None

    def is_blocked(self) -> bool:
        """Whether the calling thread, the run's, has used no processor time since it last asked."""
        before, self._cpu_time = self._cpu_time, time.thread_time()
        return before > 0 and self._cpu_time - before < BLOCKED_CPU

    def raise_deferred(self) -> None:
        """Raise Interrupted if an interruption was put off, and the view has returned meanwhile."""
        if self.deferrals:
            raise Interrupted

    def report(self, done: int, total: int | None = None, message: str = "") -> None:
        self._reported = _progress(done, total, message)

    def counter(self, response: Any) -> Callable[[int], None]:
        """A function that takes the size of each chunk of ``response``, and counts unless the view reports itself."""
        self._source = getattr(response, "progress", None)
        if self._source is not None or self._reported is not None:
            return lambda size: None
        length = response.headers.get("Content-Length", "")
        total, done = int(length) if length.isdigit() else None, 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            self._reported = Progress(done=done, total=total)

        return count

    def counted(self, chunks: Iterable[bytes], response: Any) -> Iterator[bytes]:
        """``chunks``, the body of ``response``, counted as they pass."""
        count = self.counter(response)
        return (chunk for chunk in chunks if count(len(chunk)) is None)

    @property
    def progress(self) -> Progress | None:
        """What the view reports, the response's ``progress`` counts, or the bytes of its body."""
        if self._source is not None:
            return _progress(self._source.done, self._source.total)
        return self._reported

    @property
    def age(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began


def _context(task: AsyncTask, run: WatchedRun) -> RunContext:
    return RunContext(
        id=task.pk,
        attempt=task.attempt,
        state=State(task.state),
        owner=task.caller,
        dialect=task.dialect,
        method=task.method,
        url=task.url,
        created=task.created,
        started=task.started,
        callback=task.callback,
        _run=run,
    )


def _progress(done: object, total: object, message: object = "") -> Progress:
    """As databases can store it: PostgreSQL takes no NUL characters, and no database lone surrogates."""
    text = str(message).replace("\0", "").encode("utf-8", "replace").decode()
    return Progress(done=_count(done) or 0, total=_count(total), message=text[:255])


def _count(value: Any) -> int | None:
    """``value`` within the range of a column; None if it is no number."""
    try:
        return min(max(int(value), 0), MAX_COUNT)
    except (TypeError, ValueError, OverflowError):
        return None
