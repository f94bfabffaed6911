"""Heartbeats of workers: whether one is alive that would run a call."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .managers import PrimaryDatabaseManager, PrimaryDatabaseModel
from .querysets import WorkerQuerySet
from .timestamps import UTCDateTimeField


class Worker(PrimaryDatabaseModel):
    """One row per host with workers, named as in ``process_id``."""

    name = models.CharField(primary_key=True, max_length=255)
    heard = UTCDateTimeField(db_default=Now(), db_index=True)
    """Time of the last heartbeat of any worker process on that host."""

    objects = PrimaryDatabaseManager.from_queryset(WorkerQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
