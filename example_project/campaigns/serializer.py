"""Serializer of campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from project.fields import StrictIntegerField, StrictModelSerializer

from .models import Campaign


class PackageField(StrictIntegerField):
    """The number of a package, also in the vendor's format ``{"id": 18}``."""

    def to_internal_value(self, data: Any) -> int:
        return super().to_internal_value(data.get("id") if isinstance(data, Mapping) else data)


class CampaignSerializer(StrictModelSerializer):
    package = PackageField(min_value=0, max_value=2**31 - 1)

    class Meta:
        model = Campaign
        fields = ["id", "name", "package", "status"]
