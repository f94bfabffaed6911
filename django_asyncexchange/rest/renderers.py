"""Rows as lines: newline-delimited JSON and CSV, for any view of Django REST framework; and each of them, row by row.

>>> class StockReport(WholeCollectionView, ListAPIView):
...     renderer_classes = [JSONRenderer, NDJSONRenderer, CSVRenderer]
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer
from rest_framework.utils.encoders import JSONEncoder

ROWS = ("results", "rows")
"""Keys under which a paged document has its rows."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula."""


class LinesRenderer(BaseRenderer):
    """A renderer of rows; what surrounds them in a paged document is left out."""

    charset: str | None = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"".join(self.lines(rows_of(data)))

    def lines(self, rows: Iterable[Any]) -> Iterator[bytes]:
        """Each of ``rows`` as it is sent."""
        raise NotImplementedError


class NDJSONRenderer(LinesRenderer):
    """One JSON document a line."""

    media_type = "application/x-ndjson"
    format = "ndjson"
    charset = None

    def lines(self, rows: Iterable[Any]) -> Iterator[bytes]:
        for row in rows:
            yield json.dumps(row, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class CSVRenderer(LinesRenderer):
    """Comma-separated values with a header (RFC 4180). The columns are those of the first row.

    What is nested stays JSON. A text that a spreadsheet would calculate gets an apostrophe in front.
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


def cell(value: Any) -> Any:
    """``value`` as a cell shows it."""
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, cls=JSONEncoder, ensure_ascii=False)
    text = str(value)
    if isinstance(value, str) and text.startswith(FORMULA):
        return f"'{text}"
    return text


def rows_of(data: Any) -> list[Any]:
    """The rows of a plain list or of a paged document; any other document is one row by itself."""
    if isinstance(data, Mapping):
        found = next((data[key] for key in ROWS if isinstance(data.get(key), list)), None)
        return [data] if found is None else found
    return data if isinstance(data, list) else [] if data is None else [{"value": data}]
