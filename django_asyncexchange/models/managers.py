"""Manager and base model that read from the primary database, where a router sends writes (``db_for_write``).

A replica may lag behind: a call could run twice, or a task that was just accepted not be found. ``using()`` still
selects another database.
"""

from __future__ import annotations

from typing import Any

from django.db import models, router


class PrimaryDatabaseManager(models.Manager[Any]):
    """Manager whose querysets read from ``db_for_write``."""

    def get_queryset(self) -> models.QuerySet[Any]:
        rows = super().get_queryset()
        named: str | None = self._db
        return rows if named else rows.using(router.db_for_write(self.model))


class PrimaryDatabaseModel(models.Model):
    """Abstract model that is read from ``db_for_write``, related objects included."""

    objects = PrimaryDatabaseManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
