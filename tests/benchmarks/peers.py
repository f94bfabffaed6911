"""What people write by hand: the call's data goes to a task of Celery or of Django Tasks, its id to the client."""

from __future__ import annotations

import functools
from typing import Any

import django
from celery import shared_task

from .door import Door

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


# The same call by hand ------------------------------------------------------------------------------------------------


def by_hand(id: str, method: str, target: str, token: str, data: Any) -> dict[str, Any]:
    """Run the call through the project's handler; the broker stores what is returned as the task's result."""
    answer = application().call(method, target, token=token, data=data)
    return {"status": answer.status, "headers": answer.headers, "body": answer.content.decode()}


@functools.cache
def application() -> Door:
    return Door()


@shared_task
def by_hand_with_celery(*call: Any) -> dict[str, Any]:
    return by_hand(*call)


@task
def by_hand_with_tasks(*call: Any) -> dict[str, Any]:
    return by_hand(*call)
