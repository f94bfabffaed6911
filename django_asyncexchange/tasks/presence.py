"""Whether any worker is there: each says so, and calls are refused while none does, where ``REQUIRE_WORKER`` is on."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterable

from .. import executors
from ..conf import conf
from ..models import AsyncTask, Worker
from ..models.timestamps import Now
from ..protocol import process_id
from ..protocol.states import State

logger = logging.getLogger("django_asyncexchange")

SILENCE = dt.timedelta(minutes=1)
"""A worker that was not heard of for so long is not there; nor for three of its sweeps, if those take longer."""
AGAIN = 60.0
"""Seconds between two looks of this process at whether the calls that are polled wait for nobody."""

_looked = -AGAIN


def announce() -> None:
    """In a worker, each time that it keeps house."""
    if conf.REQUIRE_WORKER:
        Worker.objects.record_heartbeat(process_id.machine())


def is_missed() -> bool:
    """Whether a worker is required, and none is there. One query, and none where it is not required."""
    if not conf.REQUIRE_WORKER or not executors.load().needs_worker:
        return False
    return not Worker.objects.seen_within(_silence()).exists()


def seems_missed(tasks: Iterable[AsyncTask]) -> bool:
    """Whether one of ``tasks``, read with ``with_now()``, has been left waiting, and none at all is running.

    Known without ``REQUIRE_WORKER`` too. One query, and none where nothing waits.
    """
    if not any(map(_waits_for_long, tasks)) or not executors.load().needs_worker:
        return False
    return not AsyncTask.objects.filter(state=State.PROCESSING, lease_until__gt=Now()).exists()


def note_waiting(task: AsyncTask) -> None:
    """Tell the log where ``task``, read with ``with_now()``, has been left waiting, and none at all is running.

    For polls: at most one query more a minute, and none where ``task`` has not waited for long.
    """
    global _looked
    if not _waits_for_long(task) or time.monotonic() - _looked < AGAIN:
        return
    _looked = time.monotonic()
    if seems_missed([task]):
        logger.warning(
            "task %s waits for more than a minute, and no call is running: is manage.py asyncexchange_worker there?",
            task.pk,
        )


def _waits_for_long(task: AsyncTask) -> bool:
    return bool(task.state == State.PENDING and task.sent and task.now - task.sent > _silence())


def _silence() -> dt.timedelta:
    return max(SILENCE, dt.timedelta(seconds=3 * conf.SWEEP_SECONDS))
