"""A run that is under way: what is known of it, and what its view may ask and tell as ``request.async_task``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db import connections, router

from ..models import AsyncTask
from ..protocol.states import Reason, State
from ..protocol.values import Progress, Snapshot
from ..store.values import Claim
from . import query_cancel

MOST = 2**63 - 1
"""The largest number that every database holds."""
NOTHING = 0.01
"""Seconds of processor time that a thread that waits may use."""


class Interrupted(SystemExit):
    """The run is over. A SystemExit, so that no ``except Exception`` in a view holds it up."""


class Run:
    """The current run of a task. Everything known of the task is there too: ``id``, ``state``, ``owner`` and so on."""

    def __init__(self, claim: Claim, limit: float) -> None:
        self.claim, self.task = claim, claim.task
        self.limit = limit
        """Seconds that it may take."""
        self.snapshot: Snapshot = claim.task.snapshot()
        self.thread = threading.get_ident()
        self.connections = query_cancel.of_this_thread()
        self.is_private = connections[router.db_for_write(AsyncTask)].in_atomic_block
        """Whether nobody else can see the task, because it was claimed within a transaction that is still open."""
        self.began = self.renewed = self.told = time.monotonic()
        self.failure = ""
        """What the view has raised, where Django has answered for it."""
        self.reason: Reason | State | None = None
        """Why it is interrupted: RUN_TIMEOUT or CANCEL."""
        self.interrupted = self.signalled = 0.0
        self.put_off = 0
        """How often an interruption came where none could be."""
        self._used = 0.0
        self.is_over = False
        self.begin: Callable[[], object] = bool
        """To be called when the call itself begins: from then on nobody knows how far it comes."""
        self.guard = threading.Lock()
        self.recorded: Progress | None = None
        self._reported: Progress | None = None
        self._source: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.snapshot, name)

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is not wanted any more, for a view that would rather end by itself."""
        return self.reason is not None

    def is_blocked(self) -> bool:
        """Whether its thread, which asks this, has done nothing since it last asked, but for being interrupted."""
        before, self._used = self._used, time.thread_time()
        return before > 0 and self._used - before < NOTHING

    def catch_up(self) -> None:
        """Be interrupted now, if that was put off until there is nothing left to interrupt."""
        if self.put_off:
            raise Interrupted

    def report(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how far the run has come: rows, bytes or whatever is counted. Recorded once a second at most; cheap.

        Whatever is said harms nobody: what is no number, or cannot be kept, is left out.
        """
        self._reported = _progress(done, total, message)

    def counter(self, answer: Any) -> Callable[[int], None]:
        """To be told how long each chunk of the body of ``answer`` is; that counts where nothing else is reported."""
        self._source = getattr(answer, "progress", None)
        if self._source is not None or self._reported is not None:
            return lambda size: None
        length = answer.headers.get("Content-Length", "")
        total, done = int(length) if length.isdigit() else None, 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            self._reported = Progress(done=done, total=total)

        return count

    def counted(self, chunks: Iterable[bytes], answer: Any) -> Iterator[bytes]:
        """``chunks`` of the body of ``answer``."""
        count = self.counter(answer)
        return (chunk for chunk in chunks if count(len(chunk)) is None)

    @property
    def progress(self) -> Progress | None:
        """How far it has come, by what its view reports, its answer counts, or the bytes written."""
        if self._source is not None:
            return _progress(self._source.done, self._source.total)
        return self._reported

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began


def _progress(done: object, total: object, message: object = "") -> Progress:
    """As databases can keep it: PostgreSQL no zero characters, none of them halves of surrogate pairs."""
    text = str(message).replace("\0", "").encode("utf-8", "replace").decode()
    return Progress(done=_count(done) or 0, total=_count(total), message=text[:255])


def _count(value: Any) -> int | None:
    """``value`` within what a column holds; None for what is no number."""
    try:
        return min(max(int(value), 0), MOST)
    except (TypeError, ValueError, OverflowError):
        return None
