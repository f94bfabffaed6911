"""Pagination with at most 1000 rows; asynchronous calls get the whole collection."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response

from django_asyncexchange.rest.pagination import WholeCollectionMixin
from project.pagination import StrictLimitOffsetPagination

from .mounts import document
from .schema import page_schema


class Pages(StrictLimitOffsetPagination):
    """``limit`` and ``offset``; ``meta`` describes the page. ``meta_type`` is the name of the collection."""

    default_limit = 1000
    max_limit = 1000
    meta_type = ""

    def get_paginated_response(self, data: Any) -> Response:
        body = document(self.request, self.meta_type, rows=data)
        body["meta"] |= {"size": self.count, "limit": self.limit, "offset": self.offset}
        return Response(body)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema)


class RemapPagination(WholeCollectionMixin, Pages):
    """``Pages``; in an asynchronous call all rows, without paging keys."""

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        self.meta_type = view.meta_type
        return super().paginate_queryset(queryset, request, view)

    def frame(self, request: Any, view: Any, count: int) -> None:
        self.meta_type = view.meta_type
        super().frame(request, view, count)
