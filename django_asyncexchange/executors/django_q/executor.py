"""django-q2, the default. Only this module knows it.

What it is told: an id, no result row (``save=False``), acknowledge whatever happens (retries are ours, and a redelivery
of a claimed task is a no-op).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.module_loading import import_string
from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.signals import post_spawn
from django_q.tasks import async_task

from ...conf import conf
from ...sql.writes import PreparedInsert, can_write_together
from .. import maintenance
from ..base import ENTRY_POINTS, Executor
from . import clusters, guard, messages

MOST = 10_000
"""Messages that are looked at, of those that wait."""
BLOCKING = 1.0
"""For how many seconds Redis itself keeps whoever asks an empty queue waiting."""


class DjangoQ(Executor):
    """Sends through the cluster of ``Q_CLUSTER``, or the one that ``QUEUES`` names for the job."""

    def __init__(self) -> None:
        self._local = threading.local()

    def send(self, id: str, job: str = "run") -> None:
        self._send(id, job, self._broker(job))

    def _send(self, id: str, job: str, broker: Any) -> None:
        options = {"broker": broker, "save": False, "ack_failure": True, "task_name": id}
        async_task(ENTRY_POINTS[job], id, q_options=options)

    def message(self, id: str) -> tuple[PreparedInsert, Mapping[str, Any]] | None:
        """What ``send`` of a run would write, and how; None where the broker is not one that tells."""
        broker: Any = self._broker("run")
        if not hasattr(broker, "written") or Conf.SYNC or not can_write_together(Conf.ORM):
            return None
        paper = Paper(broker.list_key)
        self._send(id, "run", paper)
        return broker.written(paper.message)  # type: ignore[no-any-return]

    def is_transactional(self, alias: str) -> bool:
        """With the ORM broker in the same database, the row and its message commit or vanish together."""
        return bool(alias == Conf.ORM)

    def waiting(self) -> int:
        """Messages about calls that no cluster has taken yet: the project may have others in the same queue."""
        broker: Any = self._broker("run")
        if not hasattr(broker, "payloads"):
            return int(broker.queue_size())
        return sum(map(messages.is_run, broker.payloads(MOST)))

    def check(self) -> Iterator[tuple[str, str]]:
        """What the system checks say of ``Q_CLUSTER``: what is wrong, and what to do."""
        given = conf.project("Q_CLUSTER") or {}
        known = {clusters.default(), *(given.get("ALT_CLUSTERS") or {})}
        for name in sorted(set(conf.QUEUES.values()) - known):
            yield (
                f"QUEUES names {name!r}, which is no cluster that could be started.",
                f"Add 'ALT_CLUSTERS': {{{name!r}: {{}}}} to Q_CLUSTER.",
            )
        path, alias = given.get("broker_class"), given.get("orm")
        try:
            broker = import_string(path) if path else ORM if alias else None
        except ImportError as error:
            yield f"Q_CLUSTER['broker_class'] cannot be imported: {error}", "Name a class that is there."
            return
        is_orm = isinstance(broker, type) and issubclass(broker, ORM)
        if is_orm and not alias:
            yield "Q_CLUSTER['broker_class'] keeps messages in a database, and none is named.", "Set 'orm': 'default'."
        if alias and not is_orm:
            yield (
                "Q_CLUSTER names a database by 'orm', and its broker_class does not keep messages there.",
                "Remove 'orm'; or name the broker that belongs to it.",
            )
        redis = given.get("redis")
        patience = redis.get("socket_timeout") if isinstance(redis, dict) else None
        if patience is not None and patience <= BLOCKING:
            yield (
                f"the socket_timeout of Redis is {patience}: whoever waits for a message is cut off each time.",
                "Set it to 5, or remove it.",
            )

    def _broker(self, job: str) -> Broker:
        """One broker per queue, thread and process: a new one per call means a new connection per call."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.brokers, self._local.pid = {}, os.getpid()
        known: dict[str | None, Broker] = self._local.brokers
        name = conf.QUEUES.get(job)
        if name not in known:
            known[name] = get_broker(name)
        return known[name]


class Paper:
    """What a broker would be given."""

    message = ""

    def __init__(self, list_key: str) -> None:
        self.list_key = list_key

    def enqueue(self, message: str) -> int:
        self.message = message
        return 0


def start_worker(**kwargs: Any) -> None:
    """In each worker process. It keeps house, unless the guard of its cluster does."""
    if guard.is_on():
        guard.start_worker()
    else:
        maintenance.start()


post_spawn.connect(start_worker, dispatch_uid="django_asyncexchange.worker")
