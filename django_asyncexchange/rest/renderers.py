"""Renderers for DRF views: the browsable API with "Answer later"; newline-delimited JSON and CSV, also row by row.

>>> class StockReport(WholeCollectionView, ListAPIView):
...     renderer_classes = [JSONRenderer, NDJSONRenderer, CSVRenderer]
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.template import loader
from django.utils.module_loading import import_string
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.utils.encoders import JSONEncoder

from ..dialects.prefer import query_parameter
from ..intake import cookies
from ..run_context import run_of

ROWS = ("results", "rows")
"""Keys of the rows in a paginated document."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of texts that spreadsheets take for formulas (CSV injection)."""
IS_POSSIBLE = "django_asyncexchange.rest.answer_later.is_possible"
"""Imported late: it needs ``rest_framework.views``, which loads the renderers that settings name."""


class LinesRenderer(BaseRenderer):
    """Renders rows only, without the paginated document around them."""

    charset: str | None = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"".join(self.lines(rows_of(data)))

    def lines(self, rows: Iterable[Any]) -> Iterator[bytes]:
        """Render each of ``rows``."""
        raise NotImplementedError


class NDJSONRenderer(LinesRenderer):
    """One JSON document per line."""

    media_type = "application/x-ndjson"
    format = "ndjson"
    charset = None

    def lines(self, rows: Iterable[Any]) -> Iterator[bytes]:
        for row in rows:
            yield json.dumps(row, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class CSVRenderer(LinesRenderer):
    """Comma-separated values with a header row (RFC 4180). The columns are those of the first row.

    Nested values are JSON. Texts that spreadsheets take for formulas are prefixed with an apostrophe.
    """

    media_type = "text/csv"
    format = "csv"

    def lines(self, rows: Iterable[Any]) -> Iterator[bytes]:
        columns: list[str] | None = None
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows:
            if columns is None:
                columns = list(row)
                writer.writerow(map(cell, columns))
            writer.writerow([cell(row.get(column)) for column in columns])
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()


class AsyncBrowsableAPIRenderer(BrowsableAPIRenderer):
    """DRF's browsable API where a call can be submitted to be answered later: GET, and POST by the HTML form.

    >>> REST_FRAMEWORK = {
    ...     "DEFAULT_RENDERER_CLASSES": [
    ...         "rest_framework.renderers.JSONRenderer",
    ...         "django_asyncexchange.rest.renderers.AsyncBrowsableAPIRenderer",
    ...     ],
    ... }
    """

    template = "asyncexchange/browsable_api.html"
    button_template = "asyncexchange/answer_later.html"

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> bool:
        """As in DRF, but not in a run that does not know the caller's CSRF secret: its form could not be submitted."""
        is_shown = run_of(request) is None or cookies.SECRET in request.META
        return is_shown and bool(super().show_form_for_method(view, method, request, obj))

    def get_context(self, data: Any, accepted_media_type: str | None, renderer_context: Any) -> dict[str, Any]:
        """DRF's context, with ``answer_later``: the address to GET it from; the form for POST has a second button."""
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        is_possible = import_string(IS_POSSIBLE)
        request, allowed = renderer_context["request"], context["allowed_methods"]
        address = query_parameter.added_to(request.get_full_path())
        if "GET" in allowed and is_possible(request, "GET"):
            context["answer_later"] = address
        if context["post_form"] and is_possible(request, "POST"):
            context["post_form"] += loader.render_to_string(self.button_template, {"address": address})
        return context


def cell(value: Any) -> Any:
    """``value`` as the content of a cell."""
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, cls=JSONEncoder, ensure_ascii=False)
    text = str(value)
    if isinstance(value, str) and text.startswith(FORMULA):
        return f"'{text}"
    return text


def rows_of(data: Any) -> list[Any]:
    """The rows of a list or of a paginated document; any other document is a single row."""
    if isinstance(data, Mapping):
        found = next((data[key] for key in ROWS if isinstance(data.get(key), list)), None)
        return [data] if found is None else found
    return data if isinstance(data, list) else [] if data is None else [{"value": data}]
