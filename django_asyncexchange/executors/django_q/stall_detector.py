"""Notices that a cluster of django-q2 hangs, from what happens to its messages.

A process that is killed while it waits on a multiprocessing queue never releases the lock of that queue. Those that
replace it wait for ever and look idle: messages are put into the queue and no worker starts them, or calls have ended
and the monitor does not acknowledge them.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterable

STALL_SECONDS = 15.0
"""Seconds without progress, although progress is possible, after which a cluster hangs."""
MAX_FAILURES = 3
"""Calls in a row whose workers could not save the outcome, after which a cluster is failing."""


class Event(enum.IntEnum):
    """What processes of the cluster report about a message."""

    STARTED = 1
    """Worker: the call begins."""
    ENDED = 2
    """Worker: the call has ended, and the monitor will acknowledge its message."""
    DROPPED = 3
    """Worker: the call has ended, and its message is not acknowledged."""
    ACKNOWLEDGED = 4
    """Monitor: the message is deleted."""
    FAILED = 5
    """Worker: the outcome of the call cannot be saved, and this process exits."""


class Stall(enum.StrEnum):
    """How a cluster hangs."""

    TASKS = "a worker is free, and messages are not started"
    RESULTS = "the monitor is gone, and messages are not acknowledged"


class StallDetector:
    """Follows the messages of one cluster. Used by two threads of the pusher: its main thread and its guard.

    ``workers``: their number. ``seconds``: how long nothing may move. ``is_alive``: whether a process id is alive.
    """

    def __init__(self, workers: int, seconds: float, is_alive: Callable[[int], bool]) -> None:
        self._workers, self._seconds, self._is_alive = workers, seconds, is_alive
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._waiting: dict[int, None] = {}
        self._running: dict[int, int] = {}
        """Process → message."""
        self._ended: dict[int, None] = {}
        self._monitor = self._failures = 0
        self._suspected: dict[Stall, float] = {}
        """Kind of stall → when its signs appeared."""

    def add(self, messages: Iterable[int]) -> None:
        """Messages that are being put into the queue of the workers."""
        with self._lock:
            self._waiting.update(dict.fromkeys(messages))

    def discard(self, message: int) -> None:
        """A message that no worker will get after all."""
        with self._lock:
            self._waiting.pop(message, None)

    def record(self, event: Event, process: int, message: int) -> None:
        """What ``process`` has reported about ``message``."""
        with self._lock:
            if event is Event.STARTED:
                _remove_up_to(self._waiting, message)
                self._running[process] = message
                self._suspected.pop(Stall.TASKS, None)
            elif event is Event.ACKNOWLEDGED:
                _remove_up_to(self._ended, message)
                self._monitor = process
                self._suspected.pop(Stall.RESULTS, None)
            elif event is Event.FAILED:
                self._failures += 1
            else:
                self._running.pop(process, None)
                self._failures = 0
                if event is Event.ENDED:
                    self._ended[message] = None

    def update(self, read: Callable[[], Iterable[tuple[int, int, int]]]) -> None:
        """Record what ``read`` returns: (event, process, message), in order. Threads read in turn."""
        with self._reading:
            for event, process, message in read():
                self.record(Event(event), process, message)

    def waiting(self) -> list[int]:
        """Messages that no worker has started."""
        with self._lock:
            return list(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether a worker runs a call."""
        with self._lock:
            return bool(self._busy())

    @property
    def is_failing(self) -> bool:
        """Whether calls begin and none ends."""
        with self._lock:
            return self._failures >= MAX_FAILURES

    def stall(self) -> Stall | None:
        """How the cluster hangs; None while it does not."""
        now = time.monotonic()
        with self._lock:
            signs = {
                Stall.TASKS: bool(self._waiting) and len(self._busy()) < self._workers,
                Stall.RESULTS: bool(self._ended) and not (self._monitor and self._is_alive(self._monitor)),
            }
            for stall, has_signs in signs.items():
                if not has_signs:
                    self._suspected.pop(stall, None)
                elif now - self._suspected.setdefault(stall, now) >= self._seconds:
                    return stall
        return None

    def _busy(self) -> dict[int, int]:
        """Running messages, without those whose worker has died."""
        self._running = {pid: message for pid, message in self._running.items() if self._is_alive(pid)}
        return self._running


def _remove_up_to(queue: dict[int, None], message: int) -> None:
    """Remove ``message`` and those before it: messages are in order, and a report about one may be lost."""
    if message in queue:
        for earlier in list(queue):
            del queue[earlier]
            if earlier == message:
                return
