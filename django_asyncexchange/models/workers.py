"""Who runs calls: what a project asks for that would rather refuse a call than keep it for nobody."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .managers import Homed, HomeManager
from .moments import Moment
from .querysets import WorkerQuerySet


class Worker(Homed):
    """One row for each machine with workers, by its name in ``process_id``. Written while ``REQUIRE_WORKER`` is on."""

    name = models.CharField(primary_key=True, max_length=255)
    heard = Moment(db_default=Now(), db_index=True)
    """When any process there was last heard of."""

    objects = HomeManager.from_queryset(WorkerQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
