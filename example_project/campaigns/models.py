"""Model of campaigns."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Status(models.TextChoices):
    ACTIVE = "active"
    BLOCKED = "blocked"
    DELETED = "deleted"


class Campaign(models.Model):
    """An advertiser's campaign."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=255)
    package = models.PositiveIntegerField()
    status = models.CharField(max_length=7, choices=Status.choices, default=Status.ACTIVE)

    def __str__(self) -> str:
        return self.name
