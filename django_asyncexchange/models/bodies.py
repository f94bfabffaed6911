"""Bodies of captured requests and stored responses."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .managers import PrimaryDatabaseManager, PrimaryDatabaseModel
from .querysets import BodyQuerySet
from .timestamps import UTCDateTimeField


class Body(PrimaryDatabaseModel):
    """A request or response body: ``content`` in the database, or the file ``name`` in ``STORAGES["asyncexchange"]``.

    A table of its own, so that listing tasks never reads bodies.
    """

    REQUEST = "request"
    RESPONSE = "response"
    FAILURE = "failure"
    """Traceback of a failed run, for the admin; never shown to clients."""
    KINDS = (REQUEST, RESPONSE, FAILURE)

    task = models.ForeignKey(
        "asyncexchange.AsyncTask", models.CASCADE, null=True, related_name="bodies", db_index=False
    )
    """NULL while the body is being written. ``asyncexchange_one_body`` is its index."""
    is_sealed = models.BooleanField(default=False)
    kind = models.CharField(max_length=8, choices=[(kind, kind) for kind in KINDS])
    attempt = models.PositiveIntegerField(default=0)
    content = models.BinaryField(null=True)
    name = models.CharField(max_length=255, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    created = UTCDateTimeField(db_default=Now())

    objects = PrimaryDatabaseManager.from_queryset(BodyQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = _("body")
        verbose_name_plural = _("bodies")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["task", "kind", "attempt"], name="asyncexchange_one_body"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.task_id}, {self.size} B"
