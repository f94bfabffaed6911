"""Django's Tasks: ``django.tasks``, or its backport before Django 6.0. Only this module knows them.

One executor for every backend of that interface. It says nothing about leases, so a message whose worker died may stay
"running" for ever there; the task itself is swept, and sent again with a new message.
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


@task
def perform(job: str, id: str) -> None:
    """What a worker runs. This name is stored in queues: never move it."""
    if not getattr(_sending, "here", False):  # a backend that runs calls at once is no worker to keep house in
        maintenance.start()
    call(job, id)


class DjangoTasks(Executor):
    """Sends through ``TASKS["default"]``, to the queue that ``QUEUES`` names for the job."""

    def send(self, id: str, job: str = "run") -> None:
        _sending.here = True
        try:
            perform.using(queue_name=conf.QUEUES.get(job)).enqueue(job, id)
        finally:
            _sending.here = False

    def is_transactional(self, alias: str) -> bool:
        """With django-tasks-db in the same database, the row and its message commit or vanish together."""
        rows = _rows()
        return rows is not None and router.db_for_write(rows.model) == alias

    def check(self) -> Iterator[tuple[str, str]]:
        """What the system checks say of the backend: what is wrong, and what to do."""
        known = perform.get_backend().queues
        if conf.REQUIRE_WORKER:
            yield (
                "REQUIRE_WORKER refuses all calls: a worker of this interface is not heard of before its first one.",
                "Remove REQUIRE_WORKER.",
            )
        for name in sorted(set(conf.QUEUES.values()) - set(known)) if known else ():
            yield (
                f"QUEUES names {name!r}, which is no queue of TASKS['default'], so its messages are refused.",
                f"Add {name!r} to TASKS['default']['QUEUES'].",
            )

    def waiting(self) -> int | None:
        """Messages that no worker has taken yet, where the backend is django-tasks-db."""
        rows = _rows()
        if rows is None:
            return None
        return int(rows.ready().filter(task_path=perform.module_path, args_kwargs__args__0="run").count())


def _rows() -> Any:
    """The messages of django-tasks-db, where that is the backend."""
    if not apps.is_installed("django_tasks_db"):
        return None
    is_used = isinstance(perform.get_backend(), import_string("django_tasks_db.DatabaseBackend"))
    return import_string("django_tasks_db.models.DBTaskResult").objects if is_used else None
