"""Pagination that a deferred run skips: the response has all rows and no paging fields.

Add the mixin to a DRF pagination class and set it on the view:

>>> class Pages(WholeCollectionMixin, LimitOffsetPagination):
...     default_limit = 1000
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet

from ..conf import conf
from ..run_context import run_of

PAGE_FIELDS = frozenset({"limit", "offset", "next", "previous"})
"""Fields of DRF's own pagination classes, and of similar ones, that describe one page."""


class WholeCollectionMixin:
    """Paginates ordinary requests as its base class does; a deferred run gets the whole collection."""

    def is_whole(self, request: Any) -> bool:
        """Whether ``request`` is a deferred run, which gets the whole collection."""
        return run_of(request) is not None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        self.whole = self.is_whole(request)
        if not self.whole:
            return super().paginate_queryset(queryset, request, view=view)  # type: ignore[misc]
        rows = list(queryset.iterator(chunk_size=2000) if _streams(queryset) else queryset)
        self.frame(request, view, len(rows))
        return rows

    def frame(self, request: Any, view: Any, count: int) -> None:
        """Prepare ``get_paginated_response``: one page with all ``count`` rows."""
        self.whole = True
        # Attributes that DRF's pagination classes (offset, page number, cursor) use for their response.
        self.request, self.count, self.limit, self.offset = request, count, count, 0
        self.page = Paginator(range(count), max(count, 1)).page(1)
        self.has_next = self.has_previous = False

    def get_paginated_response(self, data: Any) -> Any:
        response = super().get_paginated_response(data)  # type: ignore[misc]
        if self.whole:
            fields = PAGE_FIELDS.union(*(mount.PAGE_FIELDS for mount in conf.mounts))
            response.data = _without(fields, response.data)
        return response


def _streams(queryset: Any) -> bool:
    return isinstance(queryset, QuerySet) and not queryset._prefetch_related_lookups  # type: ignore[attr-defined]


def _without(fields: frozenset[str], document: Any) -> Any:
    """``document`` without ``fields``, at its top and in ``meta``."""
    if not isinstance(document, Mapping):
        return document
    return {
        key: _without(fields, part) if key == "meta" else part for key, part in document.items() if key not in fields
    }
