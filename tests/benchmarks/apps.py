"""The application of the benchmarks. The end of each of our tasks is told, and the storing of each result by hand."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save

UID = "tests.benchmarks"


class Benchmarks(AppConfig):
    name = "tests.benchmarks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from celery.signals import task_success
        from django_q.models import Task
        from django_tasks_db import compat

        from django_asyncexchange.signals import task_finished

        task_finished.connect(ended, dispatch_uid=UID)
        post_save.connect(stored_by_django_q, sender=Task, dispatch_uid=UID)
        task_success.connect(stored_by_celery, dispatch_uid=UID)
        compat.task_finished.connect(stored_by_django_tasks, dispatch_uid=UID)


def ended(task: Any, **kwargs: Any) -> None:
    _tell(task.id)


def stored_by_django_q(instance: Any, **kwargs: Any) -> None:
    if instance.func.startswith("tests.benchmarks."):
        _tell(instance.name)


def stored_by_celery(sender: Any, **kwargs: Any) -> None:
    if sender.name.startswith("tests.benchmarks."):
        _tell(sender.request.id)


def stored_by_django_tasks(task_result: Any, **kwargs: Any) -> None:
    if task_result.task.module_path.startswith("tests.benchmarks."):
        _tell(task_result.args[0])


def _tell(id: object) -> None:
    from . import line

    line.report(str(id))
