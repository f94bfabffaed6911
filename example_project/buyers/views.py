"""Create, read and update buyers. No view is marked: the Solitude dialect makes every view callable asynchronously."""

from __future__ import annotations

from typing import Any

from rest_framework import mixins
from rest_framework.viewsets import GenericViewSet

from project.pagination import StrictLimitOffsetPagination

from .models import Buyer
from .schema import BuyerSchema, described, page_schema
from .serializer import BuyerSerializer


class BuyerPagination(StrictLimitOffsetPagination):
    default_limit = 20
    max_limit = 1000

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema)


@described
class BuyerViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    GenericViewSet,
):
    queryset = Buyer.objects.order_by("pk")
    serializer_class = BuyerSerializer
    pagination_class = BuyerPagination
    schema = BuyerSchema()
