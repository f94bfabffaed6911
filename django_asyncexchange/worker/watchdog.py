"""Watches over the runs of this process: one thread beside them that keeps their leases and ends what has to end.

It looks a few times a second whether a run is still wanted, moves its lease on, records its progress, and interrupts
one that was cancelled, has lost its lease or takes too long: first its statement in the database, then its thread, and
in the end, in a worker, the process.
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
from ..store.values import Claim
from ..tasks import cancel_file, lifecycle, run_file
from . import child_processes, query_cancel, safepoints
from .context import Interrupted as Interrupted
from .context import Run

logger = logging.getLogger("django_asyncexchange")

TICK = 0.25
"""Seconds between two looks."""
PROGRESS_EVERY = 1.0
"""Seconds between two records of progress."""
AGAIN = 1.0
"""Seconds between two interruptions of one run."""
PUT_OFF = 8
"""How often an interruption waits for a place where it leaves no lock held."""
PATIENCE = 3.0
"""How long a run may ignore that it is interrupted, in seconds, before its worker process ends itself."""
IDLE = 20
"""After so many looks at nothing the watcher waits until it is woken: meanwhile a run begins without waking it."""
BEYOND_UTF8MB3 = re.compile("[\U00010000-\U0010ffff]")
"""Signs that a column of MySQL with an old character set cannot hold."""
CEILING = 15.0
"""By how many seconds a run may outlast its limit where nothing inside the process can interrupt it."""


_runs: set[Run] = set()
_lock = threading.Lock()
_awake = threading.Event()
_watcher: tuple[int, threading.Thread] | None = None
_own: list[int] = []
"""The process that only works for us, and may end itself. Never a web server."""
_last_words: list[Callable[[], object]] = []


def this_is_a_worker(last_words: Callable[[], object] = bool) -> None:
    """Say that this process has nothing else to do than running calls. ``last_words``: called before it leaves."""
    if not is_worker():
        child_processes.allow()
    _own[:], _last_words[:] = [os.getpid()], [last_words]


def is_worker() -> bool:
    return _own == [os.getpid()]


def leave() -> None:
    """End this process, where it only works for us: it cannot any more. Whoever has started it starts another.

    From inside, in the middle of a call: a worker of django-q2 holds no lock of its queue then.
    """
    if is_worker():
        logger.critical("this worker cannot write down what it does, and leaves")
        for tell in _last_words:
            tell()
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def over(claim: Claim, limit: float) -> Iterator[Run]:
    """Watch over the run of ``claim``, in this thread, for at most ``limit`` seconds.

    Raises Interrupted inside, or what a database raises whose statement was cancelled. Beside the main thread only
    statements can be interrupted; a view there has to ask.
    """
    run, before = Run(claim, limit), set(multiprocessing.active_children())
    with contextlib.ExitStack() as stack:
        stack.enter_context(_interruptible(run))
        if is_worker():
            run.begin = stack.enter_context(run_file.kill_after(claim.task, limit + CEILING))
        with _lock:
            _runs.add(run)
            _start()
        try:
            yield run
            run.catch_up()
        except Exception:
            run.catch_up()
            raise
        finally:
            with run.guard:  # not a moment too late: nothing may hit what follows
                run.is_over = True
            with _lock:
                _runs.discard(run)
            if run.reason is not None and is_worker() and run.thread == threading.main_thread().ident:
                child_processes.kill(but=before)  # in the main thread there is one run at a time


@contextlib.contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """SIGUSR2 to the main thread wakes what blocks there: sleep, sockets, locks. SIGALRM is left to django-q2."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, frame: FrameType | None) -> None:
        if run.reason is None or run.is_over:
            return
        if run.put_off < PUT_OFF and not run.is_blocked() and not safepoints.is_safe(frame):
            run.put_off += 1
            run.signalled = 0.0  # the next look tries again
        else:
            raise Interrupted

    before = signal.signal(signal.SIGUSR2, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


def _start() -> None:
    """One watcher for each process; a fork leaves it behind."""
    global _watcher
    if _watcher is None or _watcher[0] != os.getpid() or not _watcher[1].is_alive():
        thread = threading.Thread(target=_watch, name="asyncexchange-watcher", daemon=True)
        _watcher = os.getpid(), thread
        thread.start()
    _awake.set()


def _watch() -> None:
    idle = 0
    while True:
        with _lock:
            runs = list(_runs)
            idle = 0 if runs else idle + 1
            if idle == IDLE:
                _awake.clear()
        if idle == 1:  # nobody is kept from dropping the database, as a test runner does at its end
            connections.close_all()
        if idle < IDLE:
            time.sleep(TICK)
            for run in runs:
                _look(run)
        else:
            _awake.wait()
            idle = 0


def _look(run: Run) -> None:
    if run.is_over:
        return
    try:
        if run.reason is None:
            run.reason, run.interrupted = _objection(run), time.monotonic()
        if run.reason is not None:
            _interrupt(run)
    except Exception:
        logger.warning("task %s: its run could not be looked after; it is tried again", run.id, exc_info=True)
        connections.close_all()


def _objection(run: Run) -> Reason | State | None:
    """Why the run should end; None while all is well."""
    if run.age > run.limit:
        return Reason.RUN_TIMEOUT
    if run.is_private:
        return None
    return None if not cancel_file.is_requested(run.id) and _is_ours(run) else State.CANCEL


def _is_ours(run: Run) -> bool:
    """Look, and move the lease on or record progress where it is time to. False = cancelled, or taken over."""
    mine = AsyncTask.objects.filter(pk=run.id, attempt=run.attempt, state=State.PROCESSING)
    changes = _changes(run)
    if not changes:
        return bool(mine.exists())
    if not cancel_file.is_used():
        return _written(run, mine, changes)
    try:
        with connections[router.db_for_write(AsyncTask)].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 100")
        return bool(mine.update(**changes))
    except OperationalError:  # the run itself is writing
        run.recorded = None
        return True


def _written(run: Run, mine: Any, changes: dict[str, Any]) -> bool:
    """Write them; without what was reported where the database cannot hold that: a report never costs the lease."""
    try:
        return bool(mine.update(**changes))
    except (DatabaseError, ValueError):
        message = changes.get("progress_message")
        if not message:
            raise
        logger.warning("task %s: its progress could not be recorded as it is", run.id, exc_info=True)
    try:
        return bool(
            mine.update(**{**changes, "progress_message": BEYOND_UTF8MB3.sub("\N{REPLACEMENT CHARACTER}", message)})
        )
    except (DatabaseError, ValueError):
        return bool(mine.update(**{**changes, "progress_message": ""}))


def _changes(run: Run) -> dict[str, Any]:
    """What is to be written of the run by now."""
    now = time.monotonic()
    changes: dict[str, Any] = {}
    if now - run.renewed >= conf.LEASE_SECONDS / 6 and not cancel_file.is_used():  # its pid proves a life there
        run.renewed = now
        changes["lease_until"] = after(dt.timedelta(seconds=conf.LEASE_SECONDS))
    progress = run.progress
    if progress is not None and progress != run.recorded and now - run.told >= PROGRESS_EVERY:
        run.told, run.recorded = now, progress
        changes["progress_done"] = progress.done
        changes["progress_total"] = progress.total
        changes["progress_message"] = progress.message
    return changes


def _interrupt(run: Run) -> None:
    """Once a second: what the first time has raised is still being unwound, rolled back and closed."""
    if time.monotonic() - run.signalled < AGAIN:
        return
    with run.guard:
        if run.is_over:
            return
        run.signalled = time.monotonic()
        if run.thread == threading.main_thread().ident:
            signal.pthread_kill(run.thread, signal.SIGUSR2)  # before its statement fails, which a view may catch
        query_cancel.cancel(run.connections)
    if is_worker() and time.monotonic() - run.interrupted > PATIENCE:
        logger.error("task %s: its run ignores that it is over; its worker process ends", run.id)
        if run.reason is Reason.RUN_TIMEOUT:
            lifecycle.fail(run.claim, Reason.RUN_TIMEOUT)
        os.kill(os.getpid(), signal.SIGKILL)
