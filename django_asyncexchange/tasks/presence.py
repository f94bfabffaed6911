"""Worker heartbeats: where they are missing, ``REQUIRE_WORKER`` refuses calls, and patience runs them at once."""

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

HEARTBEAT_TIMEOUT = dt.timedelta(minutes=1)
"""A worker without a heartbeat for this long counts as dead; for three sweeps, if those take longer."""
SEEN_SECONDS = 5.0
"""Seconds for which this process believes that there is a worker, once it has seen a heartbeat."""
CHECK_SECONDS = 60.0
"""Seconds between two checks, in this process, whether polled tasks wait without a worker."""

_last_check = -CHECK_SECONDS
_last_seen = -SEEN_SECONDS


def record_heartbeat() -> None:
    """Record this worker's heartbeat."""
    Worker.objects.record_heartbeat(process_id.machine())


def is_missing() -> bool:
    """Whether a worker is required but none is alive. One query, or none if it is not required."""
    if not conf.REQUIRE_WORKER or not executors.load().needs_worker:
        return False
    return not _is_seen()


def is_in_sight() -> bool:
    """Whether a worker is alive, or none is needed. Independent of ``REQUIRE_WORKER``; a query every ``SEEN_SECONDS``,
    and every time while there is none.
    """
    global _last_seen
    if not executors.load().needs_worker or time.monotonic() - _last_seen < SEEN_SECONDS:
        return True
    is_seen = _is_seen()
    if is_seen:
        _last_seen = time.monotonic()
    return is_seen


def _is_seen() -> bool:
    return Worker.objects.seen_within(_heartbeat_timeout()).exists()


def seems_missing(tasks: Iterable[AsyncTask]) -> bool:
    """Whether one of ``tasks``, read with ``with_now()``, has waited long while no task is running.

    Independent of ``REQUIRE_WORKER``. One query, or none if no task has waited long.
    """
    if not any(map(_has_waited_long, tasks)) or not executors.load().needs_worker:
        return False
    return not AsyncTask.objects.filter(state=State.PROCESSING, lease_until__gt=Now()).exists()


def warn_if_waiting(task: AsyncTask) -> None:
    """Log a warning if ``task``, read with ``with_now()``, has waited long while no task is running.

    For polls: at most one query a minute, and none if ``task`` has not waited long.
    """
    global _last_check
    if not _has_waited_long(task) or time.monotonic() - _last_check < CHECK_SECONDS:
        return
    _last_check = time.monotonic()
    if seems_missing([task]):
        logger.warning(
            "task %s has waited for over a minute and no call is running: is manage.py asyncexchange_worker running?",
            task.pk,
        )


def _has_waited_long(task: AsyncTask) -> bool:
    return bool(task.state == State.PENDING and task.sent and task.now - task.sent > _heartbeat_timeout())


def _heartbeat_timeout() -> dt.timedelta:
    return max(HEARTBEAT_TIMEOUT, dt.timedelta(seconds=3 * conf.SWEEP_SECONDS))
