"""Guards a cluster of django-q2 from inside: tells its wedges to the parent, and lets nobody outlive the head.

The sentinel makes a pipe before it makes anything else, and all its children inherit it. Workers and the monitor report
through it what became of each message; a thread in the pusher reads, keeps the ledger, keeps house, and talks to
``supervisor``, if that is who started the cluster. A thread, because the pusher itself hangs while its queue is full.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import struct
import threading
import time
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.signals import post_execute_in_worker, post_spawn, pre_execute

from .. import maintenance
from . import stall_detector, supervisor_pipe
from .messages import freshly_signed
from .stall_detector import Event, Ledger

logger = logging.getLogger("django_asyncexchange")

REPORT = struct.Struct("=iqq")
"""Event, process, message: so short that a pipe takes it whole."""
PULSE = 1.0
"""Seconds between two looks, and two words to the parent."""
BATCH = 0.05
"""Reports are read that many seconds after the first of them, with those that followed."""
RETRY_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds without a look at a queue that could not be reached: the first, second … time in a row."""

_pipe: tuple[int, int] | None = None
_sentinel = _head = 0
"""The process that guards the cluster, and the one that started it."""
_is_idle = threading.Event()
_is_idle.set()
_current: list[Any] = []
"""What this worker was given last."""
_followers: set[int] = set()


def open_pipe() -> None:
    """Called in the sentinel, before it has any children."""
    global _pipe, _sentinel, _head
    if _sentinel == os.getpid():
        return
    _pipe, _sentinel, _head = os.pipe(), os.getpid(), os.getppid()
    for end in _pipe:
        os.set_blocking(end, False)
    supervisor_pipe.adopt()


def is_on() -> bool:
    """Whether this is a process of a guarded cluster."""
    return _pipe is not None


def report(event: Event, message: Any) -> None:
    """Tell the guard. A report that finds no room is missed by nobody: later ones imply it."""
    if _pipe is not None and isinstance(message, int):
        with contextlib.suppress(BlockingIOError):
            os.write(_pipe[1], REPORT.pack(event, os.getpid(), message))


def note_start(task: Any, **kwargs: Any) -> None:
    _is_idle.clear()
    _current[:] = [task.get("ack_id")]
    report(Event.STARTED, task.get("ack_id"))


def note_end(task: Any, **kwargs: Any) -> None:
    is_acknowledged = task.get("success") or task.get("ack_failure")
    report(Event.ENDED if is_acknowledged else Event.DROPPED, task.get("ack_id"))
    _is_idle.set()


def note_failure() -> None:
    """The last words of a worker."""
    for message in _current:
        report(Event.FAILED, message)


pre_execute.connect(note_start, dispatch_uid="django_asyncexchange.guard")
post_execute_in_worker.connect(note_end, dispatch_uid="django_asyncexchange.guard")


def start_worker(**kwargs: Any) -> None:
    """In each worker process: it exits when its cluster is headless. Without a guard it does the maintenance itself."""
    if is_on():
        import_string(maintenance.WORKER)(note_failure)
        follow()
    else:
        maintenance.start()


post_spawn.connect(start_worker, dispatch_uid="django_asyncexchange.worker")


def follow() -> None:
    """Have this child of the sentinel leave when that is gone, after what it is running."""
    if os.getpid() not in _followers:
        _followers.add(os.getpid())
        threading.Thread(target=_follow, name="asyncexchange-follower", daemon=True).start()


def _follow() -> None:
    while not is_headless():
        supervisor_pipe.wait(PULSE)
    _is_idle.wait()
    os._exit(0)


def is_headless() -> bool:
    """Whether those who would respawn and stop this process are gone. If its supervisor is, this does not return."""
    if supervisor_pipe.is_cut():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    return os.getppid() != (_head if os.getpid() == _sentinel else _sentinel)


class Guarded:
    """What makes a broker of django-q2 a guarded one. The methods named like its own are called by the cluster."""

    list_key: str
    retired = False
    """Another cluster has taken over: this one only ends what it runs."""
    _ledger: Ledger | None = None
    _failures = 0

    def take(self) -> list[tuple[int, Any]]:
        """The next messages with their numbers; waits a second for some at most. Raises what the queue raises."""
        raise NotImplementedError

    def give_back(self, messages: list[int]) -> None:
        """Let another cluster have these."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """After an error."""
        connections.close_all()

    def ping(self) -> bool:
        """In the sentinel, before anything else."""
        open_pipe()
        return bool(super().ping())  # type: ignore[misc]

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """In the sentinel, in each of its cycles."""
        if os.getpid() == _sentinel and is_headless():
            os._exit(1)
        super().set_stat(key, value, timeout)  # type: ignore[misc]

    def acknowledge(self, message: int) -> None:
        """In the monitor."""
        if is_on():
            follow()
        super().acknowledge(message)  # type: ignore[misc]
        report(Event.ACKNOWLEDGED, message)

    def fail(self, message: int) -> None:
        """In the pusher: nobody could read it."""
        if self._ledger is not None:
            self._ledger.take_back(message)
        super().fail(message)  # type: ignore[misc]

    def dequeue(self) -> list[tuple[int, Any]] | None:
        """In the pusher. Never raises: after an error it would be gone for ten seconds."""
        self._book()
        if self.retired:
            time.sleep(PULSE)
            return None
        try:
            messages = [(number, freshly_signed(payload)) for number, payload in self.take()]
        except Exception as error:
            pause = RETRY_PAUSES[min(self._failures, len(RETRY_PAUSES) - 1)]
            self._failures += 1
            logger.warning("the queue %s cannot be reached: %s; next look in %s s", self.list_key, error, pause)
            with contextlib.suppress(Exception):
                self.reconnect()
            time.sleep(pause)
            return None
        self._failures = 0
        return self._hand_over(messages)

    def _hand_over(self, messages: list[tuple[int, Any]]) -> list[tuple[int, Any]] | None:
        """``messages``, on their way to the workers; None where another cluster has taken over since the last look."""
        book, numbers = self._book(), [number for number, _ in messages]
        book.hand_over(numbers)
        if not self.retired:
            return messages
        for number in numbers:
            book.take_back(number)
        self._return(numbers)
        return None

    def _book(self) -> Ledger:
        """The ledger; opening it starts the guard, where this is a cluster."""
        if self._ledger is None:
            patience = max(stall_detector.PATIENCE, 3 * Conf.GUARD_CYCLE)
            self._ledger = Ledger(Conf.WORKERS, patience, _is_alive)
            if is_on():
                maintenance.start()
                threading.Thread(target=self._guard, name="asyncexchange-guard", daemon=True).start()
        return self._ledger

    def _guard(self) -> None:
        book = self._book()
        while not is_headless():
            supervisor_pipe.wait(PULSE, *(_pipe or ())[:1])
            time.sleep(BATCH)
            for event, process, message in _reports():
                book.note(Event(event), process, message)
            self._look(book)
        os._exit(0)

    def _look(self, book: Ledger) -> None:
        wedge = book.wedge()
        if wedge and not self.retired:
            logger.error("the cluster %s is wedged: %s", self.list_key, wedge)
            self.retired = supervisor_pipe.is_held()
            if self.retired and wedge is stall_detector.Wedge.TASKS:  # otherwise the workers still work on them
                self._return(book.waiting())
        if self.retired:
            supervisor_pipe.say(supervisor_pipe.BUSY if book.is_busy else supervisor_pipe.DONE)
        else:
            supervisor_pipe.say(supervisor_pipe.FAILING if book.is_failing else supervisor_pipe.WELL)

    def _return(self, messages: list[int]) -> None:
        try:
            self.give_back(messages)
        except Exception:
            logger.warning("messages could not be given back; they are sent again", exc_info=True)
        finally:
            connections.close_all()


def _reports() -> list[tuple[int, int, int]]:
    reports: list[tuple[int, int, int]] = []
    with contextlib.suppress(BlockingIOError):
        while _pipe is not None:
            reports.extend(REPORT.iter_unpack(os.read(_pipe[0], REPORT.size * 1024)))
    return reports


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
