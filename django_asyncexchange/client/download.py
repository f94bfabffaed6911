"""Continue the body of a result after its connection broke, without any IO (RFC 9110, section 14)."""

from __future__ import annotations

import re

from . import exceptions
from .exchange import Exchange, Steps, is_resumable
from .values import DOWNLOADING, Progress, Reply, Send

PART = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
SAME = ("etag", "content-encoding")
"""Headers that the rest has in common with the beginning, if they are parts of one representation."""


class Download:
    """How much of a result has arrived. Bytes are counted as they are sent: before any decompression."""

    def __init__(self, exchange: Exchange, result: Reply) -> None:
        self.exchange = exchange
        self.result = result
        self.received = 0
        length = result.headers.get("content-length", "")
        self.size = int(length) if length.isascii() and length.isdigit() else None
        self._received_before = 0
        exchange.deadline = None

    def is_over(self, error: Exception | None) -> bool:
        """Whether a body that ended, with ``error`` or without, is all there: some libraries raise no error."""
        return error is None if self.size is None else self.received >= self.size

    def count(self, number: int) -> None:
        """So many bytes more have arrived."""
        self.received += number
        if self.exchange.options.on_progress:
            self.exchange.options.on_progress(Progress(DOWNLOADING, self.received, self.size))

    def rest(self, error: Exception | None) -> Steps:
        """After a body that ended too early: the steps to a response whose body is what is missing.

        Connection errors count as in a row while no byte arrives between them.
        """
        error = error or ConnectionError("The connection was closed before the end of the body.")
        if not is_resumable(self.result):
            raise self._interrupted("It has no strong ETag, so it cannot be continued.") from error
        if self.received > self._received_before:
            self.exchange.lost = 0
        self._received_before = self.received
        yield from self.exchange.after(error)
        reply = yield from self.exchange.sent(self._request(), True)
        if reply.status == 206:
            self._check(reply)
            return reply
        if reply.status in (200, 416):
            raise self._interrupted("The result has changed, or the server sends no parts of it.", reply.status)
        raise (yield from self.exchange.failure(reply.status))

    def _request(self) -> Send:
        bounds = {"Range": f"bytes={self.received}-", "If-Range": self.result.headers["etag"]}
        url = self.exchange.result_url
        return Send("GET", url, self.exchange.headers_for(url) | bounds)

    def _check(self, reply: Reply) -> None:
        part = PART.fullmatch(reply.headers.get("content-range", ""))
        is_next = part is not None and int(part[1]) == self.received and part[2] in ("*", str(self.size or part[2]))
        if not is_next or any(reply.headers.get(name) != self.result.headers.get(name) for name in SAME):
            raise self._interrupted("The server sent another part than the missing one.", reply.status)

    def _interrupted(self, why: str, status: int | None = None) -> exceptions.DownloadInterrupted:
        message = f"The connection broke after {self.received} bytes of the result. {why}"
        return exceptions.DownloadInterrupted(message, self.exchange.status_url, status)
