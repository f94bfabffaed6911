"""Deleting what has expired. Results are unavailable from their deletion date on, whether this has run or not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from . import bodies, lifecycle
from .conf import conf
from .models import AsyncTask, Body


def prune(batch: int = bodies.BATCH) -> dict[str, int]:
    """Delete what has expired: answers past their deletion date, tasks past their window, bodies of nobody.

    Returns how many ``bodies`` and ``tasks`` went, at most ``batch`` tasks. Any number may run at once.
    """
    for dialect in conf.mounts:
        lifecycle.drop_overdue(dialect, batch)
    longest = max((mount.policy.run_limit for mount in conf.mounts), default=dt.timedelta())  # a run may still write
    gone = sum(
        bodies.delete(rows)
        for rows in (
            Body.objects.of_expired_tasks(),
            Body.objects.of_forgotten_tasks(),
            Body.objects.abandoned(max(bodies.ABANDONED_AFTER, 2 * longest)),
        )
    )
    forgotten = AsyncTask.objects.forgotten().filter(bodies=None).values_list("pk", flat=True)[:batch]
    tasks, _ = AsyncTask.objects.filter(pk__in=list(forgotten)).delete()
    return {"bodies": gone, "tasks": tasks}


def forget(tasks: Iterable[AsyncTask]) -> int:
    """Delete the finished ones among ``tasks`` with their bodies, before their time.

    Returns how many went; a stored body that resists keeps its task.
    """
    chosen = AsyncTask.objects.filter(pk__in=[task.pk for task in tasks]).finished()
    final = list(chosen.values_list("pk", flat=True))
    while bodies.delete(Body.objects.filter(task__in=final)):
        continue
    gone, _ = AsyncTask.objects.filter(pk__in=final, bodies=None).delete()
    return gone
