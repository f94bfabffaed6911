"""One thread per process that watches its runs: extends leases, saves progress, interrupts.

A run that was cancelled, lost its lease or exceeds its run limit is interrupted: first its database statement, then
its thread, and at last, in a process that only works for this app, the process.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from django.db import DatabaseError, OperationalError, connections, router

from ..conf import conf
from ..models import AsyncTask
from ..models.querysets import after
from ..protocol.states import Reason, State
from ..run_context import Interrupted
from ..store.values import Claim
from ..tasks import cancel_file, lifecycle, run_file
from . import child_processes, query_cancel, safepoints
from .watched_run import WatchedRun

logger = logging.getLogger("django_asyncexchange")

INTERVAL = 0.25
"""Seconds between two checks of all runs."""
PROGRESS_INTERVAL = 1.0
"""Seconds between two writes of a run's progress."""
INTERRUPT_INTERVAL = 1.0
"""Seconds between two interruptions of one run."""
MAX_DEFERRALS = 8
"""How often an interruption waits for a point where it leaves no lock held."""
KILL_AFTER = 3.0
"""Seconds that an interrupted run may go on before its worker process kills itself."""
IDLE_CHECKS = 20
"""After so many checks without a run the thread sleeps until it is woken. A run that begins before need not wake it."""
BEYOND_UTF8MB3 = re.compile("[\U00010000-\U0010ffff]")
"""Characters that MySQL's ``utf8mb3`` cannot store."""
CEILING = 15.0
"""Seconds beyond its limit after which a run is ended from outside, where nothing in its process can interrupt it."""


_runs: set[WatchedRun] = set()
_lock = threading.Lock()
_awake = threading.Event()
_thread: tuple[int, threading.Thread] | None = None
_worker: list[int] = []
"""Id of this process, if it only works for this app and may kill itself. Never a web server."""
_before_kill: list[Callable[[], object]] = []


def mark_worker(before_kill: Callable[[], object] = bool) -> None:
    """Declare that this process only works for this app, and may kill itself; ``before_kill`` is called first."""
    if not is_worker():
        child_processes.allow()
    _worker[:], _before_kill[:] = [os.getpid()], [before_kill]


def is_worker() -> bool:
    """Whether this process was declared to be a worker; a fork of one is none."""
    return _worker == [os.getpid()]


def kill_worker() -> None:
    """Kill this process, if it is a worker: it cannot save results any more. Its parent starts another.

    Called from within a call, when a worker of django-q2 holds no lock of its queue.
    """
    if is_worker():
        logger.critical("this worker cannot save what it does; its process ends")
        for call in _before_kill:
            call()
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def watch(claim: Claim, limit: float) -> Iterator[WatchedRun]:
    """Watch the run of ``claim`` in this thread, for at most ``limit`` seconds.

    Raises Interrupted inside, or what a database raises for a cancelled statement. In other threads than the main one
    only statements can be interrupted; Python code there has to check ``request.async_task.is_cancelled``.
    """
    run, before = WatchedRun(claim, limit), set(multiprocessing.active_children())
    with contextlib.ExitStack() as stack:
        stack.enter_context(_interruptible(run))
        if is_worker():
            run.begin = stack.enter_context(run_file.kill_after(claim.task, limit + CEILING))
        with _lock:
            _runs.add(run)
            _start()
        try:
            yield run
            run.raise_deferred()
        except Exception:
            run.raise_deferred()
            raise
        finally:
            with run.lock:  # no interruption may hit the code after this
                run.is_over = True
            with _lock:
                _runs.discard(run)
            if run.reason is not None and is_worker() and run.thread == threading.main_thread().ident:
                child_processes.kill(but=before)  # in the main thread there is one run at a time


@contextlib.contextmanager
def _interruptible(run: WatchedRun) -> Iterator[None]:
    """Let SIGUSR2 interrupt the main thread, also in a sleep or on a socket or lock. SIGALRM is django-q2's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, frame: FrameType | None) -> None:
        if run.reason is None or run.is_over:
            return
        if run.deferrals < MAX_DEFERRALS and not run.is_blocked() and not safepoints.is_safe(frame):
            run.deferrals += 1
            run.signalled = 0.0  # the next check tries again
        else:
            raise Interrupted

    before = signal.signal(signal.SIGUSR2, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def _start() -> None:
    """Start the thread, one for each process: a fork does not inherit it."""
    global _thread
    if _thread is None or _thread[0] != os.getpid() or not _thread[1].is_alive():
        thread = threading.Thread(target=_watch, name="asyncexchange-watchdog", daemon=True)
        _thread = os.getpid(), thread
        thread.start()
    _awake.set()


def _watch() -> None:
    idle = 0
    while True:
        with _lock:
            runs = list(_runs)
            idle = 0 if runs else idle + 1
            if idle == IDLE_CHECKS:
                _awake.clear()
        if idle == 1:  # an open connection would keep a test runner from dropping its database
            connections.close_all()
        if idle < IDLE_CHECKS:
            time.sleep(INTERVAL)
            for run in runs:
                _check(run)
        else:
            _awake.wait()
            idle = 0


def _check(run: WatchedRun) -> None:
    if run.is_over:
        return
    try:
        if run.reason is None:
            run.reason, run.interrupted = _reason_to_end(run), time.monotonic()
        if run.reason is not None:
            _interrupt(run)
    except Exception:
        logger.warning("task %s: its run could not be checked; the next check follows", run.id, exc_info=True)
        connections.close_all()


def _reason_to_end(run: WatchedRun) -> Reason | State | None:
    """Why the run has to end; None while it may go on."""
    if run.age > run.limit:
        return Reason.RUN_TIMEOUT
    if run.is_private:
        return None
    return None if not cancel_file.is_requested(run.id) and _is_current(run) else State.CANCEL


def _is_current(run: WatchedRun) -> bool:
    """Whether the attempt is still this run's; False if it was cancelled or another worker took it over.

    Extends the lease and saves progress where that is due, with the same statement.
    """
    mine = AsyncTask.objects.filter(pk=run.id, attempt=run.attempt, state=State.PROCESSING)
    changes = _changes(run)
    if not changes:
        return bool(mine.exists())
    if not cancel_file.is_used():
        return _save(run, mine, changes)
    try:
        with connections[router.db_for_write(AsyncTask)].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 100")
        return bool(mine.update(**changes))
    except OperationalError:  # the run itself holds SQLite's write lock
        run.written_progress = None
        return True


def _save(run: WatchedRun, mine: Any, changes: dict[str, Any]) -> bool:
    """Save ``changes``; without a message that the database cannot store, so that no message costs the lease."""
    try:
        return bool(mine.update(**changes))
    except (DatabaseError, ValueError):
        message = changes.get("progress_message")
        if not message:
            raise
        logger.warning("task %s: the message of its progress could not be saved", run.id, exc_info=True)
    try:
        return bool(
            mine.update(**{**changes, "progress_message": BEYOND_UTF8MB3.sub("\N{REPLACEMENT CHARACTER}", message)})
        )
    except (DatabaseError, ValueError):
        return bool(mine.update(**{**changes, "progress_message": ""}))


def _changes(run: WatchedRun) -> dict[str, Any]:
    """The columns that are due to be saved."""
    now = time.monotonic()
    changes: dict[str, Any] = {}
    if now - run.renewed >= conf.LEASE_SECONDS / 6 and not cancel_file.is_used():  # there its process id is enough
        run.renewed = now
        changes["lease_until"] = after(dt.timedelta(seconds=conf.LEASE_SECONDS))
    progress = run.progress
    if progress is not None and progress != run.written_progress and now - run.progress_written >= PROGRESS_INTERVAL:
        run.progress_written, run.written_progress = now, progress
        changes["progress_done"] = progress.done
        changes["progress_total"] = progress.total
        changes["progress_message"] = progress.message
    return changes


def _interrupt(run: WatchedRun) -> None:
    """Interrupt the statement and the thread of ``run``, and kill the process of one that goes on regardless.

    At most once a second: the first exception is still being unwound, and its transaction rolled back.
    """
    if time.monotonic() - run.signalled < INTERRUPT_INTERVAL:
        return
    with run.lock:
        if run.is_over:
            return
        run.signalled = time.monotonic()
        if run.thread == threading.main_thread().ident:
            signal.pthread_kill(run.thread, signal.SIGUSR2)  # before its statement fails, which a view may catch
        query_cancel.cancel(run.connections)
    if is_worker() and time.monotonic() - run.interrupted > KILL_AFTER:
        logger.error("task %s: its run ignores its interruption; its worker process ends", run.id)
        if run.reason is Reason.RUN_TIMEOUT:
            lifecycle.fail(run.claim, Reason.RUN_TIMEOUT)
        os.kill(os.getpid(), signal.SIGKILL)
