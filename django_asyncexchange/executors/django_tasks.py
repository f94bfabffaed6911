"""The executor that sends calls to Django Tasks: ``django.tasks``, or its backport before Django 6.0; any backend.

The interface knows no leases. So a message whose worker died may stay "running" for ever, while the call is recovered
and sent again with a new message.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import django
from django.apps import apps
from django.db import router
from django.utils.module_loading import import_string

from ..conf import conf
from . import maintenance
from .base import Executor
from .base import perform as call

if django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task  # type: ignore[no-redef]

_sending = threading.local()
"""``active`` in a thread that enqueues: a backend may run the task at once, in the web process."""


@task
def perform(job: str, id: str) -> None:
    """The task of Django Tasks. Queues store its dotted path: never move it."""
    if not getattr(_sending, "active", False):
        maintenance.start()
    call(job, id)


class DjangoTasks(Executor):
    """Sends through ``TASKS["default"]``, to the queue that ``QUEUES`` names for the job."""

    def send(self, id: str, job: str = "run") -> None:
        _sending.active = True
        try:
            perform.using(queue_name=conf.QUEUES.get(job)).enqueue(job, id)
        finally:
            _sending.active = False

    def is_transactional(self, alias: str) -> bool:
        """True for django-tasks-db in the same database."""
        rows = _rows()
        return rows is not None and router.db_for_write(rows.model) == alias

    def check(self) -> Iterator[tuple[str, str]]:
        known = perform.get_backend().queues
        if conf.REQUIRE_WORKER:
            yield (
                "REQUIRE_WORKER refuses all calls: workers of Django Tasks are not known before their first call.",
                "Remove REQUIRE_WORKER.",
            )
        for name in sorted(set(conf.QUEUES.values()) - set(known)) if known else ():
            yield (
                f"QUEUES names {name!r}, which is no queue of TASKS['default'], so its messages are refused.",
                f"Add {name!r} to TASKS['default']['QUEUES'].",
            )

    def waiting(self) -> int | None:
        """Known for django-tasks-db only."""
        rows = _rows()
        if rows is None:
            return None
        return int(rows.ready().filter(task_path=perform.module_path, args_kwargs__args__0="run").count())


def _rows() -> Any:
    """The manager of the messages of django-tasks-db; None for another backend."""
    if not apps.is_installed("django_tasks_db"):
        return None
    is_used = isinstance(perform.get_backend(), import_string("django_tasks_db.DatabaseBackend"))
    return import_string("django_tasks_db.models.DBTaskResult").objects if is_used else None
