"""The response that streams events (``text/event-stream``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from django.http import StreamingHttpResponse

from ..protocol.values import Headers
from .exact import UNCOMPRESSED, ExactHeaders

HEADERS: Headers = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store, no-transform"),
    ("X-Accel-Buffering", "no"),
    UNCOMPRESSED,
)
"""``X-Accel-Buffering`` keeps nginx from collecting events."""


class EventStreamResponse(ExactHeaders, StreamingHttpResponse):
    """Sends each chunk as soon as there is one; middleware does not compress it."""

    def __init__(self, chunks: Iterator[bytes] | AsyncIterator[bytes]) -> None:
        super().__init__(chunks)
        self.put_headers(HEADERS)
