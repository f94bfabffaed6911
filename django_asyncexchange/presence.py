"""Whether any worker is there: each says so, and calls are refused while none does, where ``REQUIRE_WORKER`` is on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from . import executors, processes
from .conf import conf
from .models import AsyncTask, Worker
from .moments import Now
from .states import State

SILENCE = dt.timedelta(minutes=1)
"""A worker that was not heard of for so long is not there; nor for three of its sweeps, if those take longer."""


def announce() -> None:
    """In a worker, each time that it keeps house."""
    if conf.REQUIRE_WORKER:
        Worker.objects.greet(processes.machine())


def is_missed() -> bool:
    """Whether a worker is required, and none is there. One query, and none where it is not required."""
    if not conf.REQUIRE_WORKER or not getattr(executors.load(), "needs_worker", True):
        return False
    return not Worker.objects.heard_within(_silence()).exists()


def seems_missed(tasks: Iterable[AsyncTask]) -> bool:
    """Whether one of ``tasks``, read with ``with_now()``, has been left waiting, and none at all is running.

    Known without ``REQUIRE_WORKER`` too. One query, and none where nothing waits.
    """
    silence = _silence()
    waiting = [task for task in tasks if task.state == State.PENDING and task.sent and task.now - task.sent > silence]
    if not waiting or not getattr(executors.load(), "needs_worker", True):
        return False
    return not AsyncTask.objects.filter(state=State.PROCESSING, lease_until__gt=Now()).exists()


def _silence() -> dt.timedelta:
    return max(SILENCE, dt.timedelta(seconds=3 * conf.SWEEP_SECONDS))
