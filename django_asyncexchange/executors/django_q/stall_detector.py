"""What happened to the messages of one cluster, and whether it is wedged.

A process that dies while it waits on a queue between processes takes the queue's lock with it. Its successors wait for
ever, and look idle: messages are handed over and nobody starts them, or have ended and nobody acknowledges them.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterable

PATIENCE = 15.0
"""For how many seconds nothing moves in a cluster that could, before it counts as wedged."""
FAILURES = 3
"""So many calls in a row whose workers could not write them down, and their cluster counts as failing."""


class Event(enum.IntEnum):
    STARTED = 1
    """By a worker."""
    ENDED = 2
    """By a worker; an acknowledgement follows."""
    DROPPED = 3
    """By a worker; nothing follows."""
    ACKNOWLEDGED = 4
    """By the monitor."""
    FAILED = 5
    """By a worker that could not write down what became of a call, and leaves."""


class Wedge(enum.StrEnum):
    TASKS = "a worker is free, and messages are not started"
    RESULTS = "the monitor is gone, and messages are not acknowledged"


class Ledger:
    """Kept in the pusher, by its main thread and its guard."""

    def __init__(self, workers: int, patience: float, is_alive: Callable[[int], bool]) -> None:
        self._workers, self._patience, self._is_alive = workers, patience, is_alive
        self._lock = threading.Lock()
        self._waiting: dict[int, None] = {}
        self._running: dict[int, int] = {}
        """Process → message."""
        self._ended: dict[int, None] = {}
        self._monitor = self._failures = 0
        self._stalled: dict[Wedge, float] = {}
        """Since when it looks like it."""

    def hand_over(self, messages: Iterable[int]) -> None:
        """These are on their way to the workers."""
        with self._lock:
            self._waiting.update(dict.fromkeys(messages))

    def take_back(self, message: int) -> None:
        """This one is not, after all."""
        with self._lock:
            self._waiting.pop(message, None)

    def note(self, event: Event, process: int, message: int) -> None:
        """Write down what ``process`` tells of ``message``."""
        with self._lock:
            if event is Event.STARTED:
                _pass(self._waiting, message)
                self._running[process] = message
                self._stalled.pop(Wedge.TASKS, None)
            elif event is Event.ACKNOWLEDGED:
                _pass(self._ended, message)
                self._monitor = process
                self._stalled.pop(Wedge.RESULTS, None)
            elif event is Event.FAILED:
                self._failures += 1
            else:
                self._running.pop(process, None)
                self._failures = 0
                if event is Event.ENDED:
                    self._ended[message] = None

    def waiting(self) -> list[int]:
        """Messages that no worker has started."""
        with self._lock:
            return list(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether a worker runs something."""
        with self._lock:
            return bool(self._busy())

    @property
    def is_failing(self) -> bool:
        """Whether calls are taken and none ends."""
        with self._lock:
            return self._failures >= FAILURES

    def wedge(self) -> Wedge | None:
        """What nothing has moved in for too long; None while all is well."""
        now = time.monotonic()
        with self._lock:
            signs = {
                Wedge.TASKS: bool(self._waiting) and len(self._busy()) < self._workers,
                Wedge.RESULTS: bool(self._ended) and not (self._monitor and self._is_alive(self._monitor)),
            }
            for wedge, is_shown in signs.items():
                if not is_shown:
                    self._stalled.pop(wedge, None)
                elif now - self._stalled.setdefault(wedge, now) >= self._patience:
                    return wedge
        return None

    def _busy(self) -> dict[int, int]:
        """Without those who died over their message."""
        self._running = {pid: message for pid, message in self._running.items() if self._is_alive(pid)}
        return self._running


def _pass(queue: dict[int, None], message: int) -> None:
    """Take ``message`` and what was before it out of ``queue``: they go in order, and a report may be lost."""
    if message in queue:
        for earlier in list(queue):
            del queue[earlier]
            if earlier == message:
                return
