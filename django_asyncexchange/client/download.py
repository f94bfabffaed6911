"""Continue the body of a result after its connection broke, without any IO (RFC 9110, section 14).

The server compresses large text while it sends it, each time to other bytes, and weakens the ETag: parts of that do not
fit together. Such a body is decompressed here, so that it can be continued by a part of the uncompressed result, whose
ETag is the same without the mark of a weak one.
"""

from __future__ import annotations

import re
import zlib

from . import exceptions
from .exchange import Exchange, Steps, is_compressed, is_resumable
from .values import DOWNLOADING, Progress, Reply, Send

PART = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Download:
    """How much of a result has arrived, in bytes as they are stored."""

    def __init__(self, exchange: Exchange, result: Reply) -> None:
        self.exchange = exchange
        self.result = result
        self.received = 0
        length = result.headers.get("content-length", "")
        self._gzip = zlib.decompressobj(wbits=31) if is_compressed(result) else None
        self.size = int(length) if self._gzip is None and length.isascii() and length.isdigit() else None
        self.without = frozenset({"content-encoding", "content-length"} if self._gzip else ())
        """Headers, in lower case, that are not true of the decompressed body."""
        self._etag = result.headers.get("etag", "").removeprefix("W/")
        self._coding = None if self._gzip else result.headers.get("content-encoding")
        self._received_before = 0
        exchange.deadline = None

    def taken(self, chunk: bytes) -> bytes:
        """What has arrived with ``chunk``."""
        try:
            data = self._gzip.decompress(chunk) if self._gzip else chunk
        except zlib.error as error:
            raise self._interrupted(f"What came is not gzip: {error}") from error
        self.received += len(data)
        if self.exchange.options.on_progress and data:
            self.exchange.options.on_progress(Progress(DOWNLOADING, self.received, self.size))
        return data

    def is_over(self, error: Exception | None) -> bool:
        """Whether a body that ended, with ``error`` or without, is all there: some libraries raise no error."""
        if self._gzip:
            return self._gzip.eof
        return error is None if self.size is None else self.received >= self.size

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
            self._begin(reply)
            return reply
        if reply.status in (200, 416):
            raise self._interrupted("The result has changed, or the server sends no parts of it.", reply.status)
        raise (yield from self.exchange.failure(reply.status))

    def _request(self) -> Send:
        url = self.exchange.result_url
        headers = self.exchange.headers_for(url)
        if self.without:
            headers = {name: text for name, text in headers.items() if name.lower() != "accept-encoding"}
            headers["Accept-Encoding"] = "identity"
        return Send("GET", url, headers | {"Range": f"bytes={self.received}-", "If-Range": self._etag})

    def _begin(self, reply: Reply) -> None:
        """Go on with the uncompressed body of ``reply``, if it is the missing part."""
        part = PART.fullmatch(reply.headers.get("content-range", ""))
        is_next = part is not None and int(part[1]) == self.received and part[2] in ("*", str(self.size or part[2]))
        is_same = (reply.headers.get("etag"), reply.headers.get("content-encoding")) == (self._etag, self._coding)
        if part is None or not (is_next and is_same):
            raise self._interrupted("The server sent another part than the missing one.", reply.status)
        self._gzip = None
        if part[2] != "*":
            self.size = int(part[2])

    def _interrupted(self, why: str, status: int | None = None) -> exceptions.DownloadInterrupted:
        message = f"The connection broke after {self.received} bytes of the result. {why}"
        return exceptions.DownloadInterrupted(message, self.exchange.status_url, status)
