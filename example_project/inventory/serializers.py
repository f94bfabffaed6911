"""Serializers of entities in MoySklad's format."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from .documents import EntityLink
from .models import Counterparty, Member, Named, Product, Store
from .mounts import entity_meta


class EntitySerializer(serializers.ModelSerializer[Any]):
    """Base serializer: ``meta``, ``id``, ``accountId``, ``name``."""

    meta = serializers.SerializerMethodField()
    accountId = serializers.UUIDField(source="account_id")  # noqa: N815  (the name on the wire)
    name = serializers.SerializerMethodField()

    @extend_schema_field(EntityLink)
    def get_meta(self, entity: Any) -> dict[str, str]:
        return entity_meta(self.context["base"], self.kind_of(entity), entity.pk)

    def get_name(self, entity: Named) -> str:
        return entity.label(self.context["language"])

    def kind_of(self, entity: Any) -> str:
        return str(self.Meta.model._meta.model_name)


class StoreSerializer(EntitySerializer):
    class Meta:
        model = Store
        fields = ["meta", "id", "accountId", "name"]


class ProductSerializer(EntitySerializer):
    class Meta:
        model = Product
        fields = ["meta", "id", "accountId", "name", "code", "cost", "price"]


class CounterpartySerializer(EntitySerializer):
    class Meta:
        model = Counterparty
        fields = ["meta", "id", "accountId", "name"]


class MemberSerializer(EntitySerializer):
    class Meta:
        model = Member
        fields = ["meta", "id", "accountId", "name"]

    def get_name(self, entity: Member) -> str:
        return entity.user.get_username()

    def kind_of(self, entity: Member) -> str:
        return entity.kind
