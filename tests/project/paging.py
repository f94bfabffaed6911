"""A report of more rows than a page holds."""

from __future__ import annotations

from typing import Any

from rest_framework import generics, serializers
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.response import Response

from django_asyncexchange.rest.pagination import WholeCollectionMixin

ROWS = 2135


class Worded(LimitOffsetPagination):
    default_limit = max_limit = 1000

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"meta": {"size": self.count, "limit": self.limit, "offset": self.offset}, "rows": data})


class Pages(WholeCollectionMixin, Worded):
    pass


class Row(serializers.Serializer[Any]):
    number = serializers.IntegerField()


class Report(generics.ListAPIView[Any]):
    serializer_class = Row
    pagination_class = Pages
    async_exchange = True

    def get_queryset(self) -> Any:
        return [{"number": number} for number in range(ROWS)]
