"""django-q2, the default. Only this module knows it.

What it is told: an id, no result row (``save=False``), acknowledge whatever happens (retries are ours, and a redelivery
of a claimed task is a no-op).
"""

from __future__ import annotations

import os
import threading
from typing import Any

from django.db import connection
from django.utils.module_loading import import_string
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.signals import post_spawn
from django_q.tasks import async_task

from . import ENTRY_POINT

HOUSEKEEPER = "django_asyncexchange.worker.keep_house"


class DjangoQ:
    """Sends through the cluster of ``Q_CLUSTER``."""

    def __init__(self) -> None:
        self._local = threading.local()

    def send(self, task_id: str) -> None:
        async_task(
            ENTRY_POINT,
            task_id,
            q_options={"broker": self._broker(), "save": False, "ack_failure": True, "task_name": task_id},
        )

    def is_transactional(self, alias: str) -> bool:
        """With the ORM broker in the same database, the row and its message commit or vanish together."""
        return bool(alias == Conf.ORM)

    def _broker(self) -> Broker:
        """One broker per thread and process: a new one per call means a new connection per call."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.broker, self._local.pid = get_broker(), os.getpid()
        broker: Broker = self._local.broker
        return broker


def start_housekeeper(**kwargs: Any) -> None:
    """Delete what has expired, now and then, in each worker process, beside its main thread."""

    def keep() -> None:
        try:
            import_string(HOUSEKEEPER)(threading.Event())
        finally:
            connection.close()

    threading.Thread(target=keep, name="asyncexchange-housekeeper", daemon=True).start()


post_spawn.connect(start_housekeeper, dispatch_uid="django_asyncexchange.housekeeper")
