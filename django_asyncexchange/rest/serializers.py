"""A serializer of tasks for a project's own DRF views; dialects have their own documents."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from rest_framework import serializers

from ..models import AsyncTask


class AsyncTaskSerializer(serializers.ModelSerializer[AsyncTask]):
    """Read-only. ``request`` is the URL as submitted; dates are ISO 8601."""

    request = serializers.CharField(source="url", read_only=True)

    class Meta:
        model = AsyncTask
        fields: ClassVar[list[str]] = [
            "id",
            "dialect",
            "state",
            "reason",
            "method",
            "request",
            "status_code",
            "created",
            "started",
            "finished",
            "deletion_date",
        ]
        read_only_fields = fields
        extra_kwargs: ClassVar[dict[str, Any]] = {
            name: {"default_timezone": dt.UTC} for name in ("created", "started", "finished", "deletion_date")
        }
