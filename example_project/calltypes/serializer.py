"""Serializer of call types, for XML and JSON."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from project.fields import StrictIntegerField, StrictModelSerializer

from .models import CallType


class CallTypeSerializer(StrictModelSerializer):
    """An update may omit any field except the name."""

    refURL = serializers.SerializerMethodField()  # noqa: N815  (the name on the wire)
    serviceLevelThreshold = StrictIntegerField(  # noqa: N815
        source="threshold", min_value=0, max_value=2**31 - 1, required=False, allow_null=True
    )

    class Meta:
        model = CallType
        fields = ["refURL", "name", "description", "serviceLevelThreshold"]

    def get_refURL(self, call_type: CallType) -> str:  # noqa: N802
        return reverse("calltype-detail", args=[call_type.pk])

    def to_representation(self, instance: CallType) -> dict[str, Any]:
        """Omit fields without a value."""
        return {name: value for name, value in super().to_representation(instance).items() if value is not None}
