"""Lists and details of products, stores and counterparties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from ..documents import MetadataDocument
from ..models import Counterparty, Product, Store
from ..mounts import base_of
from ..serializers import CounterpartySerializer, ProductSerializer, StoreSerializer
from .report import AccountView

KINDS = ("application", "counterparty", "employee", "product", "store")


def described(many: str, one: str) -> Callable[[type[EntityViewSet]], type[EntityViewSet]]:
    """Name the entities in the OpenAPI document."""
    return extend_schema_view(
        list=extend_schema(description=f"{many} of the caller's account."),
        retrieve=extend_schema(description=f"{one} of the caller's account."),
    )


class EntityViewSet(AccountView, ReadOnlyModelViewSet):
    """Entities of the caller's account."""

    model: Any

    @property
    def meta_type(self) -> str:
        return str(self.basename)

    def get_queryset(self) -> QuerySet[Any]:
        return self.model.objects.filter(account=self.account_id)


@described("Counterparties", "A counterparty")
class CounterpartyViewSet(EntityViewSet):
    model = Counterparty
    serializer_class = CounterpartySerializer
    async_exchange = {"list"}


@described("Everything that can be sold", "Something that can be sold")
class AssortmentViewSet(EntityViewSet):
    """Everything that can be sold; here, only products."""

    model = Product
    serializer_class = ProductSerializer
    async_exchange = {"list"}


@described("Products", "A product")
class ProductViewSet(EntityViewSet):
    model = Product
    serializer_class = ProductSerializer


@described("Stores", "A store")
class StoreViewSet(EntityViewSet):
    model = Store
    serializer_class = StoreSerializer


class Metadata(AccountView):
    """Additional fields of entities: none. The target of every ``metadataHref``."""

    @extend_schema(responses=MetadataDocument)
    def get(self, request: Request, kind: str) -> Response:
        href = f"{base_of(request)}/entity/{kind}/metadata"
        return Response({"meta": {"href": href, "mediaType": "application/json"}, "attributes": []})
