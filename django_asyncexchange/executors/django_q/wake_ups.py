"""Wake-ups: messages that have the workers of a cluster run ready tasks.

The table of tasks is the queue of this app's calls. A wake-up names none: the worker that gets it claims the tasks that
are ready then, in their order, and goes on for a while. So nothing is lost, reserved or repeated with a message, and a
cluster that dies has taken nothing with it.
"""

from __future__ import annotations

import itertools
import logging
import uuid

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.signing import SignedPackage

from ...models import AsyncTask
from .. import base
from .stall_detector import StallDetector

logger = logging.getLogger("django_asyncexchange")

RUN_READY = "django_asyncexchange.worker.run_ready"
REQUIRE_USABLE = "django_asyncexchange.configuration.require_usable"
BUSY_INTERVAL = 0.2
"""Seconds between two looks into the table while tasks are ready: less than a worker's slice."""


class WakeUps:
    """The wake-ups of the cluster ``queue``, made in its pusher. ``detector`` knows which nobody has started."""

    def __init__(self, queue: str, detector: StallDetector) -> None:
        self._detector = detector
        self._runs_tasks = _runs_tasks(queue)
        self.is_busy = self._runs_tasks
        """Whether tasks were ready at the last look."""
        self._numbers = itertools.count(-1, -1)
        """Negative, unlike the ids of other messages."""
        self._payload = _payload()

    def due(self) -> list[tuple[int, str]]:
        """One for each ready task and each worker, without those that nobody has started yet."""
        if not self._runs_tasks:
            return []
        unstarted = sum(number < 0 for number in self._detector.waiting())
        ready = AsyncTask.objects.ready()[: Conf.WORKERS].count() if unstarted < Conf.WORKERS else unstarted
        self.is_busy = ready > 0
        return [(next(self._numbers), self._payload) for _ in range(ready - unstarted)]


def _runs_tasks(queue: str) -> bool:
    """Whether the workers of ``queue`` run the calls of this app."""
    try:
        import_string(REQUIRE_USABLE)()
        return base.load().reads_tasks(queue)
    except ImproperlyConfigured as error:
        logger.error("calls are not run, invalid settings: %s", error)
        return False


def _payload() -> str:
    task = {"id": uuid.uuid4().hex, "name": "asynchronous calls", "func": RUN_READY, "args": (), "kwargs": {}}
    return str(SignedPackage.dumps({**task, "started": timezone.now(), "save": False, "ack_failure": True}))
