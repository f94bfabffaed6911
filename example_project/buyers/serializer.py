"""Serializer of buyers."""

from __future__ import annotations

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from project.fields import StrictModelSerializer

from .models import Buyer


class BuyerSerializer(StrictModelSerializer):
    """The five fields of Solitude's API."""

    paypal = serializers.SerializerMethodField()
    resource_pk = serializers.IntegerField(source="pk", read_only=True)
    resource_uri = serializers.SerializerMethodField()

    class Meta:
        model = Buyer
        fields = ["paypal", "pin", "resource_pk", "resource_uri", "uuid"]

    @extend_schema_field({"type": "null"})
    def get_paypal(self, buyer: Buyer) -> None:
        """Always null: buyers of this example have no PayPal account."""
        return None

    def get_resource_uri(self, buyer: Buyer) -> str:
        return reverse("buyer-detail", args=[buyer.pk])
