"""Lets views start processes with ``multiprocessing``, none of which outlives its worker.

Queues start their workers as daemonic processes, which may not have children: those of a killed worker would go on.
Here each child checks whether its parent lives. A program that replaces it (``exec``) does not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

CHECK_SECONDS = 1.0
"""Seconds between two checks of the parent."""

_parent = 0
"""Id of the process that forks."""


def allow() -> None:
    """Allow this worker process to have children. Call it once."""
    multiprocessing.current_process().daemon = False
    os.register_at_fork(before=_remember_parent, after_in_child=_watch_parent)


def kill(but: set[multiprocessing.process.BaseProcess]) -> None:
    """Kill the children of this process, except those in ``but``."""
    ended = set(multiprocessing.active_children()) - but
    for child in ended:
        child.kill()
    for child in ended:
        child.join(CHECK_SECONDS)


def _remember_parent() -> None:
    global _parent
    _parent = os.getpid()


def _watch_parent() -> None:
    threading.Thread(
        target=_exit_with_parent, args=(_parent,), name="asyncexchange-parent-watcher", daemon=True
    ).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
