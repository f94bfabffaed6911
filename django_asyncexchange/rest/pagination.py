"""A report that runs asynchronously is built completely (S001-9): every row, no paging keys.

Put the mixin in front of a DRF pagination class and give it to the view:

>>> class Pages(WholeCollectionMixin, LimitOffsetPagination):
...     default_limit = 1000
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet

from ..run_context import run_of

PAGING_KEYS = frozenset({"limit", "offset", "next", "previous", "nextHref", "previousHref"})


class WholeCollectionMixin:
    """Pages an ordinary request as its base class does; steps aside while a call runs deferred."""

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
        """Prepare for ``get_paginated_response``: one page of ``count`` rows, with none before or behind it."""
        self.whole = True
        # What DRF's own pagination classes, by offset, by page and by cursor, read to word their answer.
        self.request, self.count, self.limit, self.offset = request, count, count, 0
        self.page = Paginator(range(count), max(count, 1)).page(1)
        self.has_next = self.has_previous = False

    def get_paginated_response(self, data: Any) -> Any:
        response = super().get_paginated_response(data)  # type: ignore[misc]
        if self.whole:
            response.data = _without_paging(response.data)
        return response


def _streams(queryset: Any) -> bool:
    return isinstance(queryset, QuerySet) and not queryset._prefetch_related_lookups  # type: ignore[attr-defined]


def _without_paging(document: Any) -> Any:
    """``document`` without paging keys, at its top and in ``meta``."""
    if not isinstance(document, Mapping):
        return document
    return {
        key: _without_paging(part) if key == "meta" else part
        for key, part in document.items()
        if key not in PAGING_KEYS
    }
