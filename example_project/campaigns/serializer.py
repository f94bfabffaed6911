"""Serializer of campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from rest_framework import serializers

from .models import Campaign


class PackageField(serializers.IntegerField):
    """The number of a package, also in the vendor's format ``{"id": 18}``."""

    def to_internal_value(self, data: Any) -> int:
        return super().to_internal_value(data.get("id") if isinstance(data, Mapping) else data)


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.PositiveIntegerField: PackageField,
    }

    class Meta:
        model = Campaign
        fields = ["id", "name", "package", "status"]
