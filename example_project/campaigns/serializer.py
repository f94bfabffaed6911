"""A campaign on the wire."""

from __future__ import annotations

from rest_framework import serializers

from .models import Campaign


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    class Meta:
        model = Campaign
        fields = ["id", "name", "package", "status"]
