"""Celery. Only this module knows it.

The message holds a job and an id; it is acknowledged when the run is over, keeps no result, and one that comes again is
a no-op. A child of the prefork pool runs calls in its main thread, so that a run limit interrupts them there.
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

ONE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""A connection that the broker has closed is opened again, once; a client waits for no broker that is away."""


@shared_task(name="asyncexchange.perform", acks_late=True, ignore_result=True)  # type: ignore[untyped-decorator]
def perform(job: str, id: str) -> None:
    """What a worker runs. This name is stored in queues: never change it."""
    call(job, id)


class Celery(Executor):
    """Sends through the project's current Celery application, to the queue that ``QUEUES`` names for the job."""

    def send(self, id: str, job: str = "run") -> None:
        perform.apply_async((job, id), queue=conf.QUEUES.get(job), retry=True, retry_policy=ONE_MORE)

    def check(self) -> Iterator[tuple[str, str]]:
        """What the system checks say of the project's application: what is wrong, and what to do."""
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
        """Messages that no worker has taken yet; None where the broker is away."""
        name = conf.QUEUES.get("run", perform.app.conf.task_default_queue)
        with perform.app.connection_or_acquire() as connection:
            try:
                connection.ensure_connection(**ONE_MORE)
                with connection.channel() as channel:
                    return int(channel.queue_declare(name, passive=True).message_count)
            except connection.channel_errors:  # Redis has no empty queues
                return 0
            except OperationalError:
                return None


def start_housekeeper(sender: Any = None, **kwargs: Any) -> None:
    """Each process that runs calls has one: the children of a prefork pool, otherwise the worker itself."""
    if not getattr(getattr(sender, "pool", None), "uses_semaphore", False):
        maintenance.start()


worker_process_init.connect(start_housekeeper, dispatch_uid="django_asyncexchange.housekeeper")
worker_ready.connect(start_housekeeper, dispatch_uid="django_asyncexchange.housekeeper")
