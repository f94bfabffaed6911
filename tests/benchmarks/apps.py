"""The application of the benchmarks: reports the end of each task to the measuring process."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class Benchmarks(AppConfig):
    name = "tests.benchmarks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_asyncexchange.signals import task_finished

        task_finished.connect(tell, dispatch_uid="tests.benchmarks")


def tell(task: Any, **kwargs: Any) -> None:
    from . import line

    line.tell(str(task.id))
