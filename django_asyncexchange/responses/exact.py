"""Parts of responses with exactly the given headers, which can be frozen.

A frozen response is a stored one. It passed the project's middleware when its call ran, and passes it again when it is
fetched; changes that middleware makes then are silently ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from django.http.response import ResponseHeaders

from ..protocol import header_rules as names
from ..protocol.values import Headers

UNCOMPRESSED = ("Content-Encoding", "identity")
"""Keeps middleware from compressing a range, whose bytes are counted in the whole file. It is not sent."""
FORBIDDEN: Mapping[int, frozenset[str]] = {
    204: frozenset({"content-length"}),
    304: frozenset({"content-length", "content-language", "content-type", "content-encoding"}),
}
"""Status → headers that middleware cannot add (RFC 9110 sections 8.6 and 15.4.5)."""
READABLE = 16 * 1024 * 1024
"""A stream of at most this many bytes also has a ``content``."""


class FreezableHeaders(ResponseHeaders):
    """Headers that, once frozen, change only where they belong to the current exchange, such as CORS headers."""

    is_frozen = False
    forbidden: frozenset[str] = frozenset()
    """Names, in lower case, that cannot be set."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if key.lower() not in self.forbidden and (not self.is_frozen or names.is_per_response(key)):
            super().__setitem__(key, value)

    def pop(self, key: str, default: Any = None) -> Any:
        if not self.is_frozen or names.is_per_response(key):
            return super().pop(key, default)
        return self._store.get(key.lower(), default)


class ExactHeaders:
    """A response with exactly the given headers, in their order and with duplicates, and none of Django's own."""

    FROZEN: ClassVar[frozenset[str]] = frozenset({"status_code", "reason_phrase", "headers", "content"})
    """Attributes that do not change once it is frozen."""
    is_stored_answer = False
    """Whether it is a stored response and frozen; the project's middleware may test this to skip it."""
    headers: Any
    status_code: int
    _given: Headers = ()

    @property
    def url(self) -> str:
        """The target of a redirect, as ``HttpResponseRedirect`` has it."""
        if "Location" not in self.headers:
            raise AttributeError("This response is no redirect.")
        return str(self.headers["Location"])

    def __setattr__(self, name: str, value: Any) -> None:
        if not (self.is_stored_answer and name in self.FROZEN):
            super().__setattr__(name, value)

    def freeze(self) -> None:
        self._has_been_logged = True  # Django logged an error when its call ran
        self.headers.is_frozen = self.is_stored_answer = True

    def put_headers(self, headers: Headers) -> None:
        # Django validates and encodes the first header of a name; repeated ones are validated in the same way.
        self.headers, given = FreezableHeaders({}), []
        for name, text in headers:
            checked = ResponseHeaders({}) if name in self.headers else self.headers
            checked[name] = text
            given.append((name, checked[name]))
        self._given = tuple(given)
        self.headers.forbidden = FORBIDDEN.get(self.status_code, frozenset())
        if "content-length" in self.headers.forbidden:
            del self.headers["Content-Length"]

    def items(self) -> Iterable[tuple[str, str]]:
        """The given headers, the first of each name as middleware has left it; then those that middleware has added."""
        visible = [pair for pair in self.headers.items() if pair != UNCOMPRESSED]
        current = {name.lower(): (name, text) for name, text in visible}
        kept = [pair for pair in self._given if pair[0] in self.headers and pair != UNCOMPRESSED]
        return [*(current.pop(name.lower(), (name, text)) for name, text in kept), *current.values()]


class ExactChunks(ExactHeaders):
    """A response of any size. Once it is frozen, middleware that wraps or replaces its content reads the original.

    The chunks that it reads are recorded, and are sent instead of what it makes of them.
    """

    is_async: bool
    streaming_content: Any
    _source: Any = None

    def freeze(self) -> None:
        self._read: deque[bytes] = deque()
        self._source, self._has_async_source = self.streaming_content, self.is_async
        self._recorded_source: Any = self._arecording() if self.is_async else self._recording()
        self.streaming_content = self._recorded_source
        super().freeze()

    @property
    def content(self) -> bytes:
        """The content of a small frozen response, for middleware that expects one. Larger ones have none."""
        if self._source is None or self._has_async_source or int(self.headers.get("Content-Length", 0)) > READABLE:
            raise AttributeError("This response is a stream: use its streaming_content.")
        deque(self._recorded_source, maxlen=0)
        return b"".join(self._read)

    def _recording(self) -> Iterator[bytes]:
        for chunk in self._source:
            self._read.append(chunk)
            yield chunk

    async def _arecording(self) -> AsyncIterator[bytes]:
        async for chunk in self._source:
            self._read.append(chunk)
            yield chunk

    def _pop_recorded(self) -> Iterator[bytes]:
        while self._read:
            yield self._read.popleft()

    def __iter__(self) -> Iterator[bytes]:
        given: Iterator[bytes] = super().__iter__()  # type: ignore[misc]  # a stream's
        if self._source is None or self._has_async_source:
            yield from given
            return
        for _ in given:
            yield from self._pop_recorded()
        yield from self._pop_recorded()
        yield from self._source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in super().__aiter__():  # type: ignore[misc]  # a stream's
            if self._source is None:
                yield chunk
                continue
            for read in self._pop_recorded():
                yield read
        if self._has_async_source:
            async for chunk in self._source:
                yield chunk
