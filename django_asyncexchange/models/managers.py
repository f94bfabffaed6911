"""Our tables are read where they are written: a replica that lags behind would have calls run twice, or not be found.

Every read of ours decides something, or answers somebody who was told of it a moment ago. ``using`` asks elsewhere.
"""

from __future__ import annotations

from typing import Any

from django.db import models, router


class HomeManager(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Any]:
        rows = super().get_queryset()
        named: str | None = self._db
        return rows if named else rows.using(router.db_for_write(self.model))


class Homed(models.Model):
    """A model whose rows, and those that others refer to, are read where they are written."""

    objects = HomeManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
