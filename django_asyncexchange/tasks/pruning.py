"""Deleting what has expired. Results are unavailable from their deletion date on, whether this has run or not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef

from ..conf import conf
from ..models import AsyncTask, Body, Delivery, DeliveryAttempt, Worker
from ..models.querysets import after
from ..store import bodies
from . import lifecycle

TRIES_KEPT = dt.timedelta(days=7)
"""How long it is known how each try of a delivery went."""

WORKERS_KEPT = dt.timedelta(days=1)
"""How long a machine with workers is remembered that is not heard of any more."""


def prune(batch: int = bodies.BATCH) -> dict[str, int]:
    """Delete what is over: answers past their deletion date, tasks past their window, bodies of nobody or of no use.

    Returns how many ``bodies`` and ``tasks`` went, at most ``batch`` tasks. Any number may run at once.
    """
    for dialect in conf.mounts:
        lifecycle.end_overdue(dialect, batch)
    longest = max((mount.policy.run_limit for mount in conf.mounts), default=dt.timedelta())  # a run may still write
    gone = sum(
        bodies.delete(rows)
        for rows in (
            Body.objects.of_erased_requests(),
            Body.objects.of_expired_tasks(),
            Body.objects.of_forgotten_tasks(),
            Body.objects.abandoned(max(bodies.ABANDONED_AFTER, 2 * longest)),
        )
    )
    told = ~Exists(Delivery.objects.filter(task=OuterRef("pk"), state=Delivery.WAITING))  # whoever is to hear of it has
    forgotten = AsyncTask.objects.forgotten().filter(told, bodies=None)[:batch]
    _deleted(DeliveryAttempt.objects.filter(at__lte=after(-TRIES_KEPT)).order_by("at")[:batch])
    Worker.objects.not_seen_for(WORKERS_KEPT).delete()
    return {"bodies": gone, "tasks": _deleted(forgotten)}


def forget(tasks: Iterable[AsyncTask]) -> int:
    """Delete the finished ones among ``tasks`` with their bodies, before their time.

    Returns how many went; a stored body that resists keeps its task.
    """
    chosen = AsyncTask.objects.filter(pk__in=[task.pk for task in tasks]).finished()
    final = list(chosen.values_list("pk", flat=True))
    while bodies.delete(Body.objects.filter(task__in=final)):
        continue
    return _deleted(AsyncTask.objects.filter(pk__in=final, bodies=None))


def _deleted(rows: models.QuerySet[Any]) -> int:
    """Delete ``rows``, with what hangs on them; returns how many of themselves went."""
    keys = list(rows.values_list("pk", flat=True))
    if not keys:
        return 0  # Django would open a transaction for it, which takes SQLite's only write lock
    _, counts = rows.model._default_manager.filter(pk__in=keys).delete()
    return int(counts.get(rows.model._meta.label, 0))
