"""Processes that a view starts (``multiprocessing``): it may, and none of them outlives the worker that runs it.

Queues make their workers daemons in the sense of ``multiprocessing``, which have no children: nobody would end those of
a worker that is killed. Here each child looks whether its parent lives. A program that replaces it (``exec``) does not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

LOOK = 1.0
"""Seconds between two looks."""

_parent = 0
"""The process that forks."""


def allow() -> None:
    """Let this process, a worker, have children. Not to be called twice."""
    multiprocessing.current_process().daemon = False
    os.register_at_fork(before=_note, after_in_child=_follow)


def kill(but: set[multiprocessing.process.BaseProcess]) -> None:
    """End the children of this process, ``but`` for those."""
    ended = set(multiprocessing.active_children()) - but
    for child in ended:
        child.kill()
    for child in ended:
        child.join(LOOK)


def _note() -> None:
    global _parent
    _parent = os.getpid()


def _follow() -> None:
    threading.Thread(target=_look, args=(_parent,), name="asyncexchange-follower", daemon=True).start()


def _look(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGKILL)
