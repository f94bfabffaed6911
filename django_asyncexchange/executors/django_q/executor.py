"""The executor that sends calls to django-q2. It is the default one.

With the brokers of this app a run needs no message: their clusters look for ready tasks in the table. Other messages
hold an id, ask for no result row (``save=False``), and are acknowledged also if they fail: this app retries by itself,
and a message about a claimed task changes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ...conf.mounts import Problem
from ...protocol import process_id
from ..base import ENTRY_POINTS, Executor
from . import checks, cluster_settings, clusters, supervisor


class DjangoQ(Executor):
    """Sends through the cluster of ``Q_CLUSTER``, or the one that ``QUEUES`` names for the job."""

    requires_app = "django_q"

    def __init__(self) -> None:
        # Here, because django-q2 needs loaded apps and a correct Q_CLUSTER.
        from django_q.brokers import get_broker
        from django_q.conf import Conf
        from django_q.tasks import async_task

        self._get_broker, self._conf, self._async_task = get_broker, Conf, async_task
        self._local = threading.local()

    @classmethod
    def connect(cls) -> None:
        if not next(cls.setting_problems(), None):
            import_module(f"{__package__}.guard")  # needs the models of django-q2

    @classmethod
    def setting_problems(cls) -> Iterator[Problem]:
        return cluster_settings.mistakes()

    def send(self, id: str, job: str = "run") -> None:
        if job == "run" and self.reads_tasks():
            self._broker(job).wake()
            return
        options = {"broker": self._broker(job), "save": False, "ack_failure": True, "task_name": id}
        self._async_task(ENTRY_POINTS[job], id, q_options=options)

    def reads_tasks(self, queue: str = "") -> bool:
        """With the brokers of this app."""
        broker = self._broker("run")
        return hasattr(broker, "wake") and not self._conf.SYNC and queue in ("", broker.list_key)

    def channel(self, alias: str) -> str:
        is_ours = self.is_transactional(alias) and self.reads_tasks()
        return str(self._broker("run").channel) if is_ours else ""

    def is_transactional(self, alias: str) -> bool:
        """True for the ORM broker in the same database."""
        return bool(alias == self._conf.ORM)

    def waiting(self) -> int:
        return int(self._broker("run").queue_size())

    def check(self) -> Iterator[tuple[str, str]]:
        return checks.unusable()

    def system_checks(self) -> Iterator[tuple[str, str, str]]:
        return checks.system_checks()

    def deployment_checks(self) -> Iterator[tuple[str, str, str]]:
        return checks.deployment_checks()

    def supervisor(self, queues: Sequence[str], grace: float) -> Callable[[], None]:
        try:
            is_guarded = supervisor.has_guarded_broker()
        except ImportError as error:
            raise ImproperlyConfigured(f"Q_CLUSTER['broker_class'] cannot be imported: {error}") from error
        if not is_guarded:
            raise ImproperlyConfigured(
                "Q_CLUSTER['broker_class'] has to be 'django_asyncexchange.executors.django_q_broker.WakingBroker', or "
                "'…django_q_redis.WakingRedis' with Redis: others do not notice when their cluster hangs."
            )
        if why := process_id.without_locks():
            raise ImproperlyConfigured(
                f"This machine gives processes no locks to share: {why}. Mount a writable /dev/shm."
            )
        return supervisor.Supervisor(queues or clusters.queues(), grace).run

    def is_supervised(self, queues: Sequence[str]) -> bool:
        return supervisor.is_well(queues or clusters.queues())

    def _broker(self, job: str) -> Any:
        """The broker of the queue of ``job``, one for each thread and process: each has connections of its own."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.brokers, self._local.pid = {}, os.getpid()
        known: dict[str, Any] = self._local.brokers
        name = clusters.queue_of(job)
        if name not in known:
            known[name] = self._get_broker(name)
        return known[name]
