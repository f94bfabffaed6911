"""Lists and details of products, stores and counterparties."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from ..models import Counterparty, Product, Store
from ..mounts import base_of
from ..serializers import CounterpartySerializer, ProductSerializer, StoreSerializer
from .report import AccountView

KINDS = {"application", "counterparty", "employee", "product", "store"}


class EntityViewSet(AccountView, ReadOnlyModelViewSet):
    """Entities of the caller's account."""

    model: Any

    @property
    def meta_type(self) -> str:
        return str(self.basename)

    def get_queryset(self) -> QuerySet[Any]:
        return self.model.objects.filter(account=self.account_id)


class CounterpartyViewSet(EntityViewSet):
    model = Counterparty
    serializer_class = CounterpartySerializer
    async_exchange = {"list"}


class AssortmentViewSet(EntityViewSet):
    """Everything that can be sold; here, only products."""

    model = Product
    serializer_class = ProductSerializer
    async_exchange = {"list"}


class ProductViewSet(EntityViewSet):
    model = Product
    serializer_class = ProductSerializer


class StoreViewSet(EntityViewSet):
    model = Store
    serializer_class = StoreSerializer


class Metadata(AccountView):
    """The target of every ``metadataHref``: additional fields of an entity (none)."""

    def get(self, request: Request, kind: str) -> Response:
        if kind not in KINDS:
            raise Http404
        href = f"{base_of(request)}/entity/{kind}/metadata"
        return Response({"meta": {"href": href, "mediaType": "application/json"}, "attributes": []})
