"""Guards a cluster of django-q2 from inside: reports that it hangs, and lets no process outlive its head.

The sentinel opens a pipe before it starts any process, and its children inherit it. Workers and the monitor report the
events of each message through it. A thread of the pusher reads them for the stall detector, does the maintenance, and
sends the status to the supervisor, if that started the cluster. A thread, because the pusher itself blocks while its
queue is full.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.signals import post_execute_in_worker, post_spawn, pre_execute

from .. import maintenance
from . import stall_detector, supervisor_pipe
from .messages import freshly_signed
from .stall_detector import Event, Stall, StallDetector
from .wake_ups import BUSY_INTERVAL, WakeUps

logger = logging.getLogger("django_asyncexchange")

REPORT = struct.Struct("=iqq")
"""Event, process, message: short enough that a pipe writes it atomically (pipe(7))."""
INTERVAL = 1.0
"""Seconds between two checks, and two statuses to the supervisor."""
READ_DELAY = 0.05
"""Seconds between the first report and the read, to read those that follow at once."""
RETRY_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds until the next attempt after the first, second … failure in a row to reach the queue."""

_pipe: tuple[int, int] | None = None
_sentinel = _head = 0
"""Process ids of the sentinel, which is the parent of the others, and of the head, which started it."""
_is_idle = threading.Event()
_is_idle.set()
_current: list[Any] = []
"""The message that this worker has started last."""
_watching: set[int] = set()
"""This process, if its thread watches the head."""


def open_pipe() -> None:
    """Called in the sentinel, before it has children."""
    global _pipe, _sentinel, _head
    if _sentinel == os.getpid():
        return
    _pipe, _sentinel, _head = os.pipe(), os.getpid(), os.getppid()
    for end in _pipe:
        os.set_blocking(end, False)
    supervisor_pipe.inherit()


def is_on() -> bool:
    """Whether this process belongs to a guarded cluster."""
    return _pipe is not None


def report(event: Event, message: Any) -> None:
    """Report to the guard. A report that the full pipe does not take is implied by later ones."""
    if _pipe is not None and isinstance(message, int):
        with contextlib.suppress(BlockingIOError):
            os.write(_pipe[1], REPORT.pack(event, os.getpid(), message))


def report_start(task: Any, **kwargs: Any) -> None:
    _is_idle.clear()
    _current[:] = [task.get("ack_id")]
    report(Event.STARTED, task.get("ack_id"))


def report_end(task: Any, **kwargs: Any) -> None:
    is_acknowledged = task.get("success") or task.get("ack_failure")
    report(Event.ENDED if is_acknowledged else Event.DROPPED, task.get("ack_id"))
    _is_idle.set()


def report_failure() -> None:
    """Called before a worker kills itself."""
    for message in _current:
        report(Event.FAILED, message)


pre_execute.connect(report_start, dispatch_uid="django_asyncexchange.guard")
post_execute_in_worker.connect(report_end, dispatch_uid="django_asyncexchange.guard")


def start_worker(**kwargs: Any) -> None:
    """In each worker process: it exits when its cluster is headless. Without a guard it does the maintenance itself."""
    if is_on():
        import_string(maintenance.MARK_WORKER)(report_failure)
        exit_with_head()
    else:
        maintenance.start()


post_spawn.connect(start_worker, dispatch_uid="django_asyncexchange.worker")


def exit_with_head() -> None:
    """Have this child of the sentinel exit when the cluster is headless, after the call that it runs."""
    if os.getpid() not in _watching:
        _watching.add(os.getpid())
        threading.Thread(target=_exit_with_head, name="asyncexchange-head-watcher", daemon=True).start()


def _exit_with_head() -> None:
    while not is_headless():
        supervisor_pipe.wait(INTERVAL)
    _is_idle.wait()
    os._exit(0)


def is_headless() -> bool:
    """Whether the sentinel is gone (asked by it: the head). Kills the whole cluster if the supervisor is gone."""
    if supervisor_pipe.is_supervisor_gone():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    return os.getppid() != (_head if os.getpid() == _sentinel else _sentinel)


class GuardedBroker:
    """A mixin for brokers of django-q2, whose methods are called in different processes of the cluster."""

    list_key: str
    channel = ""
    """The PostgreSQL channel that wakes a cluster."""
    is_retired = False
    """Whether another cluster has taken over, and this one only ends the calls that it runs."""
    _detector: StallDetector | None = None
    _failures = 0

    def take(self, patience: float) -> Sequence[tuple[int, Any]]:
        """Take the next messages with their ids. Without any, wait for one or for ``wake()``, at most for ``patience``
        seconds. Raises the errors of the queue.
        """
        raise NotImplementedError

    def wake(self) -> None:
        """Have a cluster look for ready tasks."""
        raise NotImplementedError

    def release(self, messages: list[int]) -> None:
        """Let other clusters take these messages again."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """Called after an error."""
        connections.close_all()

    def ping(self) -> bool:
        """Called in the sentinel, first of all."""
        open_pipe()
        return bool(super().ping())  # type: ignore[misc]

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """Called in the sentinel, in each of its cycles."""
        if os.getpid() == _sentinel and is_headless():
            os._exit(1)
        super().set_stat(key, value, timeout)  # type: ignore[misc]

    def acknowledge(self, message: int) -> None:
        """Called in the monitor."""
        if is_on():
            exit_with_head()
        super().acknowledge(message)  # type: ignore[misc]
        report(Event.ACKNOWLEDGED, message)

    def fail(self, message: int) -> None:
        """Called in the pusher, for a message that it cannot read."""
        if self._detector is not None:
            self._detector.discard(message)
        super().fail(message)  # type: ignore[misc]

    def dequeue(self) -> list[tuple[int, Any]] | None:
        """Called in the pusher. Never raises: django-q2 would pause for ten seconds."""
        detector = self._started_detector()
        if self.is_retired:
            time.sleep(INTERVAL)
            return None
        try:
            taken = self.take(BUSY_INTERVAL if self._wake_ups.is_busy else INTERVAL)
            messages = [(number, freshly_signed(payload)) for number, payload in taken]
            detector.update(reports)
            messages += self._due_wake_ups(may_fail=bool(messages))
        except Exception as error:
            pause = RETRY_PAUSES[min(self._failures, len(RETRY_PAUSES) - 1)]
            self._failures += 1
            logger.warning("the queue %s cannot be reached: %s; next attempt in %s s", self.list_key, error, pause)
            with contextlib.suppress(Exception):
                self.reconnect()
            time.sleep(pause)
            return None
        self._failures = 0
        return self._hand_over(messages)

    def _due_wake_ups(self, may_fail: bool) -> list[tuple[int, str]]:
        """``may_fail``: messages have been taken, and are handed over also if the table of tasks cannot be read."""
        try:
            return self._wake_ups.due()
        except Exception:
            if not may_fail:
                raise
            logger.warning("the queue %s: ready tasks cannot be counted", self.list_key, exc_info=True)
            connections.close_all()
            return []

    def _hand_over(self, messages: list[tuple[int, Any]]) -> list[tuple[int, Any]] | None:
        """``messages``, for the workers; None if another cluster has taken over meanwhile."""
        detector, numbers = self._started_detector(), [number for number, _ in messages]
        detector.add(numbers)
        if not self.is_retired:
            return messages
        for number in numbers:
            detector.discard(number)
        self._release(numbers)
        return None

    @functools.cached_property
    def _wake_ups(self) -> WakeUps:
        return WakeUps(self.list_key, self._started_detector())

    def _started_detector(self) -> StallDetector:
        """The stall detector. When it is made in a cluster, the guard's thread is started."""
        if self._detector is None:
            seconds = max(stall_detector.STALL_SECONDS, 3 * Conf.GUARD_CYCLE)
            self._detector = StallDetector(Conf.WORKERS, seconds, _is_alive)
            if is_on():
                maintenance.start()
                threading.Thread(target=self._guard, name="asyncexchange-guard", daemon=True).start()
        return self._detector

    def _guard(self) -> None:
        detector = self._started_detector()
        while not is_headless():
            supervisor_pipe.wait(INTERVAL, *(_pipe or ())[:1])
            time.sleep(READ_DELAY)
            detector.update(reports)
            self._check(detector)
        os._exit(0)

    def _check(self, detector: StallDetector) -> None:
        stall = detector.stall()
        if stall and not self.is_retired:
            logger.error("the cluster %s hangs: %s", self.list_key, stall)
            self.is_retired = supervisor_pipe.is_supervised()
            if self.is_retired and stall is Stall.TASKS:  # otherwise its workers still run them
                self._release(detector.waiting())
        if self.is_retired:
            supervisor_pipe.send(supervisor_pipe.STALLED if detector.is_busy else supervisor_pipe.DRAINED)
        else:
            supervisor_pipe.send(supervisor_pipe.FAILING if detector.is_failing else supervisor_pipe.WELL)

    def _release(self, messages: list[int]) -> None:
        try:
            self.release(messages)
        except Exception:
            logger.warning("messages could not be released; their calls are sent again", exc_info=True)
        finally:
            connections.close_all()


def reports() -> list[tuple[int, int, int]]:
    """Reports that nobody has read: (event, process, message)."""
    found: list[tuple[int, int, int]] = []
    with contextlib.suppress(BlockingIOError):
        while _pipe is not None:
            found.extend(REPORT.iter_unpack(os.read(_pipe[0], REPORT.size * 1024)))
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
