"""What people write by hand: the call's data goes to a task of Celery or of Django Tasks, its id to the client."""

from __future__ import annotations

from typing import Any

import django
from celery import shared_task

from . import line

if django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


def answer(data: Any) -> dict[str, Any]:
    """The work itself: none."""
    return {"done": True, "fields": len(data)}


@shared_task
def with_celery(data: Any) -> dict[str, Any]:
    return answer(data)


@task
def with_tasks(data: Any) -> dict[str, Any]:
    return answer(data)


# The executors themselves, with nothing to run ------------------------------------------------------------------------


def bare(id: str) -> None:
    line.tell(id)


@shared_task(acks_late=True, ignore_result=True)
def bare_celery(id: str) -> None:
    line.tell(id)


@task
def bare_task(id: str) -> None:
    line.tell(id)
