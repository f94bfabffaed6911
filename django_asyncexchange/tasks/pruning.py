"""Pruning: delete what has expired. Results are unavailable from their deletion date on, pruned or not."""

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

ATTEMPTS_KEPT = dt.timedelta(days=7)
"""How long delivery attempts are kept."""

WORKERS_KEPT = dt.timedelta(days=1)
"""How long a machine without a worker's heartbeat is kept."""


def prune(batch: int = bodies.BATCH) -> dict[str, int]:
    """Delete results past their deletion date, tasks past their purge date, and bodies that are abandoned or not
    needed.

    Returns the number of deleted ``bodies`` and ``tasks``, at most ``batch`` tasks. Any number of processes may prune
    at once.
    """
    for dialect in conf.mounts:
        lifecycle.end_overdue(dialect, batch)
    longest_run = max((mount.policy.run_limit for mount in conf.mounts), default=dt.timedelta())
    deleted = sum(
        bodies.delete(rows)
        for rows in (
            Body.objects.of_erased_requests(),
            Body.objects.of_expired_tasks(),
            Body.objects.of_purgeable_tasks(),
            Body.objects.abandoned(max(bodies.ABANDONED_AFTER, 2 * longest_run)),  # a run may still be writing
        )
    )
    if untaken := list(AsyncTask.objects.expired().with_cookies().values_list("pk", flat=True)[:batch]):
        AsyncTask.objects.filter(pk__in=untaken).update(response_cookies="")
    nothing_to_send = ~Exists(Delivery.objects.filter(task=OuterRef("pk"), state=Delivery.WAITING))
    purgeable = AsyncTask.objects.purgeable().filter(nothing_to_send, bodies=None)[:batch]
    _deleted(DeliveryAttempt.objects.filter(at__lte=after(-ATTEMPTS_KEPT)).order_by("at")[:batch])
    Worker.objects.not_seen_for(WORKERS_KEPT).delete()
    return {"bodies": deleted, "tasks": _deleted(purgeable)}


def delete_finished(tasks: Iterable[AsyncTask]) -> int:
    """Delete the finished ones of ``tasks`` with their bodies, before their purge date.

    Returns their number. A task whose stored body cannot be deleted is kept.
    """
    chosen = AsyncTask.objects.filter(pk__in=[task.pk for task in tasks]).finished()
    final = list(chosen.values_list("pk", flat=True))
    while bodies.delete(Body.objects.filter(task__in=final)):
        continue
    return _deleted(AsyncTask.objects.filter(pk__in=final, bodies=None))


def _deleted(rows: models.QuerySet[Any]) -> int:
    """Delete ``rows`` and, by cascade, what refers to them; return the number of ``rows`` deleted."""
    keys = list(rows.values_list("pk", flat=True))
    if not keys:
        return 0  # an empty delete would open a transaction, which takes SQLite's only write lock
    _, counts = rows.model._default_manager.filter(pk__in=keys).delete()
    return int(counts.get(rows.model._meta.label, 0))
