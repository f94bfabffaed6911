"""Serializer of buyers."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from .models import Buyer


class BuyerSerializer(serializers.ModelSerializer[Buyer]):
    """The five fields of Solitude's API."""

    paypal = serializers.SerializerMethodField()
    resource_pk = serializers.IntegerField(source="pk", read_only=True)
    resource_uri = serializers.SerializerMethodField()

    class Meta:
        model = Buyer
        fields = ["paypal", "pin", "resource_pk", "resource_uri", "uuid"]

    def get_paypal(self, buyer: Buyer) -> Any:
        """Always null: buyers of this example have no PayPal account."""
        return None

    def get_resource_uri(self, buyer: Buyer) -> str:
        return reverse("buyer-detail", args=[buyer.pk])
