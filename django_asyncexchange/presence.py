"""Whether any worker is there: each says so, and calls are refused while none does, where ``REQUIRE_WORKER`` is on."""

from __future__ import annotations

import datetime as dt

from . import executors, processes
from .conf import conf
from .models import Worker

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
    silence = max(SILENCE, dt.timedelta(seconds=3 * conf.SWEEP_SECONDS))
    return not Worker.objects.heard_within(silence).exists()
