"""Model of call types."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models


class CallType(models.Model):
    """A category of incoming calls."""

    name = models.CharField(
        max_length=32,
        unique=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9_.]+\Z", "Letters, digits, underscores and periods only.")],
    )
    description = models.CharField(max_length=255, blank=True, default="")
    threshold = models.PositiveIntegerField(null=True, blank=True)
    """Seconds within which a call should be answered."""

    def __str__(self) -> str:
        return self.name
