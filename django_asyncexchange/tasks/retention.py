"""Change when the result of a finished task is deleted. No state changes, so no event is sent."""

from __future__ import annotations

import datetime as dt

from ..models import AsyncTask, Body
from ..models.timestamps import Now
from ..store import bodies


def expire(task: AsyncTask) -> None:
    """Delete the result of ``task`` now, if it is finished and not cancelled; the task is still listed.

    From the first commit on the result is unavailable. A file that cannot be deleted is left to pruning.
    """
    AsyncTask.objects.filter(pk=task.pk).keeping_result().update(deletion_date=Now(), response_cookies="")
    bodies.delete(Body.objects.filter(task=task.pk).of_expired_tasks())


def keep_until(task: AsyncTask, moment: dt.datetime) -> bool:
    """Delete the result of ``task`` at ``moment`` (aware) instead, and the task not before.

    False if the task is unfinished or cancelled, or its result has expired.
    """
    purge_date = max(task.purge_date or moment, moment)  # once a task is finished, nothing else changes it
    rows = AsyncTask.objects.filter(pk=task.pk).keeping_result()
    return bool(rows.update(deletion_date=moment, purge_date=purge_date))
