"""Stream a whole collection: never all of it in memory, and all of it as of one moment.

>>> class StockReport(WholeCollectionView, ListAPIView):
...     pagination_class = Pages
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from ..run_context import run_of
from . import consistent_read
from .pagination import WholeCollectionMixin
from .renderers import LinesRenderer

PORTION = 2000
"""Rows that are read and serialized at a time."""
PIECE = 64 * 1024
"""Smaller pieces are joined before they are written, in bytes."""


class Count:
    """Progress: rows that were written, and how many there are."""

    done = 0
    total: int | None = None


class WholeCollectionView:
    """A mixin for DRF list views: a deferred run streams all rows, an ordinary call is paginated as before.

    The view's own queryset, filters, serializer, pagination class and renderers apply. A view that is no
    ``ListAPIView`` calls ``whole_collection``, and overrides ``represent`` where its serializer does not make the rows.
    """

    request: Any
    chunk_size = PORTION
    snapshot: str | None = None
    """Database alias for further queries in ``represent``, to see the same moment: ``.using(self.snapshot)``."""

    def list(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if run_of(request) is None:
            return super().list(request, *args, **kwargs)  # type: ignore[misc]
        return self.whole_collection(self.filter_queryset(self.get_queryset()))  # type: ignore[attr-defined]

    def represent(self, portion: Sequence[Any]) -> Iterable[Any]:
        """Serialize ``portion``, some objects of the queryset, into rows."""
        rows: Iterable[Any] = self.get_serializer(portion, many=True).data  # type: ignore[attr-defined]
        return rows

    def whole_collection(self, queryset: QuerySet[Any]) -> Any:
        """The response with all rows of ``queryset``."""
        renderer = self.request.accepted_renderer
        if not _is_streamable(renderer):
            return self._at_once(queryset)
        count = Count()
        answer = StreamingHttpResponse(
            _pieces(self._bytes(queryset, renderer, count)), content_type=_content_type(self.request, renderer)
        )
        answer.progress = count  # type: ignore[attr-defined]
        return answer

    def _at_once(self, queryset: QuerySet[Any]) -> Response:
        """The response for a renderer that needs the whole document."""
        rows: list[Any] = []
        with self._moment(queryset) as found:
            for portion in _portions(found, self.chunk_size):
                rows += self.represent(portion)
        return self._framed(rows, len(rows))

    def _bytes(self, queryset: QuerySet[Any], renderer: Any, count: Count) -> Iterator[bytes]:
        with self._moment(queryset) as found:
            count.total = found.count()
            portions = self._represented(found, count)
            if isinstance(renderer, LinesRenderer):
                yield from renderer.lines(chain.from_iterable(portions))
            else:
                yield from self._json(portions, renderer, count.total)

    @contextlib.contextmanager
    def _moment(self, queryset: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
        """``queryset`` as of one moment."""
        with consistent_read.of(queryset.db) as alias:
            self.snapshot = alias
            yield queryset.using(alias)

    def _represented(self, queryset: QuerySet[Any], count: Count) -> Iterator[Sequence[Any]]:
        """The serialized rows, in non-empty portions."""
        for portion in _portions(queryset, self.chunk_size):
            rows = list(self.represent(portion))
            count.done += len(rows)
            if rows:
                yield rows

    def _json(self, portions: Iterator[Sequence[Any]], renderer: JSONRenderer, total: int) -> Iterator[bytes]:
        """The JSON document, rendered in pieces: its frame around a placeholder, and each portion of rows."""
        context = self.get_renderer_context()  # type: ignore[attr-defined]
        media_type = self.request.accepted_media_type
        indent = renderer.get_indent(media_type, context)
        if indent is not None:
            rows = _Lazy(chain.from_iterable(portions), total)
            yield from _indented(self._framed(rows, total).data, renderer, indent)
            return
        placeholder = uuid.uuid4().hex
        head, tail = renderer.render(self._framed(placeholder, total).data, media_type, context).split(
            f'"{placeholder}"'.encode()
        )
        comma = b"," if renderer.compact else b", "
        yield head + b"["
        for number, portion in enumerate(portions):
            yield (comma if number else b"") + renderer.render(portion, media_type, context)[1:-1]
        yield b"]" + tail

    def _framed(self, rows: Any, count: int) -> Response:
        """The paginated document with ``rows``, or ``rows`` themselves without pagination."""
        paginator: Any = self.paginator  # type: ignore[attr-defined]
        if paginator is None:
            return Response(rows)
        if not isinstance(paginator, WholeCollectionMixin):
            raise ImproperlyConfigured(f"{type(paginator).__name__} needs WholeCollectionMixin in front")
        paginator.frame(self.request, self, count)
        framed: Response = paginator.get_paginated_response(rows)
        return framed


class _Lazy(list[Any]):
    """A list for JSON encoders that yields its rows one at a time."""

    def __init__(self, rows: Iterator[Any], size: int) -> None:
        super().__init__()
        self._rows, self._size = rows, size

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def __len__(self) -> int:
        return self._size


def _indented(document: Any, renderer: JSONRenderer, indent: int) -> Iterator[bytes]:
    """Like ``JSONRenderer.render`` with an indent, but encoded piece by piece."""
    encoder = renderer.encoder_class(
        indent=indent, ensure_ascii=renderer.ensure_ascii, allow_nan=not renderer.strict, separators=(",", ": ")
    )
    for piece in json.JSONEncoder.iterencode(encoder, document):
        yield piece.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def _is_streamable(renderer: Any) -> bool:
    """Whether the output of ``renderer`` is known; a JSON renderer with a ``render`` of its own may do anything."""
    return isinstance(renderer, LinesRenderer) or getattr(type(renderer), "render", None) is JSONRenderer.render


def _content_type(request: Any, renderer: Any) -> str:
    """The ``Content-Type`` that DRF's ``Response`` would have."""
    media_type: str = renderer.media_type
    return f"{media_type}; charset={renderer.charset}" if renderer.charset else media_type


def _portions(queryset: QuerySet[Any], size: int) -> Iterator[list[Any]]:
    portion = []
    for row in queryset.iterator(chunk_size=size):
        portion.append(row)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks``, with small ones joined."""
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
