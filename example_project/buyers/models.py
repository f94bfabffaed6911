"""Model of buyers."""

from __future__ import annotations

from django.db import models


class Buyer(models.Model):
    """A buyer. The shop chooses ``uuid``, which can be any string."""

    uuid = models.CharField(max_length=255, unique=True)
    pin = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.uuid
