"""The executor that sends calls to Celery.

A message holds a job and an id. It is acknowledged when the run is over and keeps no result; redelivered, it changes
nothing. Children of the prefork pool run calls in their main thread, where a run limit can interrupt them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from celery import shared_task
from celery.signals import worker_process_init, worker_ready
from kombu.exceptions import OperationalError

from ..conf import conf
from . import maintenance
from .base import Executor, longest_run_limit
from .base import perform as call

RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""Reconnect once, if the broker has closed the connection. Clients do not wait for a broker that is away."""


@shared_task(name="asyncexchange.perform", acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def perform(job: str, id: str) -> None:
    """Celery's task. Queues store its name: never change it."""
    call(job, id)


class Celery(Executor):
    """Sends through the project's current Celery application, to the queue that ``QUEUES`` names for the job."""

    def send(self, id: str, job: str = "run") -> None:
        perform.apply_async((job, id), queue=conf.QUEUES.get(job), retry=True, retry_policy=RETRY_POLICY)

    def check(self) -> Iterator[tuple[str, str]]:
        app = perform.app
        if app.main == "default" and not app.conf.broker_url:
            yield (
                "no Celery application of the project is loaded, so calls would go to a RabbitMQ on this host.",
                "Make one as Celery's documentation says, and import it in the project's __init__.py.",
            )
        ceiling = app.conf.task_time_limit
        longest = longest_run_limit()
        if ceiling and ceiling <= longest:
            yield (
                f"task_time_limit is {ceiling}: the hard limit has to exceed the longest RUN_LIMIT ({longest:g} s).",
                f"Set it to {math.ceil(longest) + 60} or more.",
            )

    def waiting(self) -> int | None:
        name = conf.QUEUES.get("run", perform.app.conf.task_default_queue)
        with perform.app.connection_or_acquire() as connection:
            try:
                connection.ensure_connection(**RETRY_POLICY)
                with connection.channel() as channel:
                    return int(channel.queue_declare(name, passive=True).message_count)
            except connection.channel_errors:  # Redis has no empty queues
                return 0
            except OperationalError:
                return None


def start_maintenance(sender: Any = None, **kwargs: Any) -> None:
    """Start it in each process that runs calls: in the children of a prefork pool, otherwise in the worker itself."""
    if not getattr(getattr(sender, "pool", None), "uses_semaphore", False):
        maintenance.start()


worker_process_init.connect(start_maintenance, dispatch_uid="django_asyncexchange.maintenance")
worker_ready.connect(start_maintenance, dispatch_uid="django_asyncexchange.maintenance")
