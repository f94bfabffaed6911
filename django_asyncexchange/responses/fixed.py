"""What a response of ours is made of: exactly the given headers; and, once it is ``fixed``, nothing else any more.

A fixed one is a stored answer. It went through the project's middlewares when its call ran, and goes through them again
when it is fetched. What they do to it then is accepted without an error, and is not sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from django.http.response import ResponseHeaders

from ..protocol import header_rules as names
from ..protocol.values import Headers

UNCOMPRESSED = ("Content-Encoding", "identity")
"""Says to middlewares that a part is not to be compressed: it is counted in bytes of the whole. It is not sent."""
BARRED: Mapping[int, frozenset[str]] = {
    204: frozenset({"content-length"}),
    304: frozenset({"content-length", "content-language", "content-type", "content-encoding"}),
}
"""What no middleware adds to an answer of this status (RFC 9110, 8.6 and 15.4.5)."""
READABLE = 16 * 1024 * 1024
"""A stream of at most so many bytes has a ``content``, too."""


class FixableHeaders(ResponseHeaders):
    """Headers that, once they are fixed, change only where they speak of the exchange at hand."""

    is_fixed = False
    barred: frozenset[str] = frozenset()
    """Names that are not written at all."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if key.lower() not in self.barred and (not self.is_fixed or names.is_of_the_exchange(key)):
            super().__setitem__(key, value)

    def pop(self, key: str, default: Any = None) -> Any:
        if not self.is_fixed or names.is_of_the_exchange(key):
            return super().pop(key, default)
        return self._store.get(key.lower(), default)


class FaithfulHeaders:
    """A response with exactly the given headers: in this order, duplicates kept, none of Django's own."""

    FIXED: ClassVar[frozenset[str]] = frozenset({"status_code", "reason_phrase", "headers", "content"})
    """Attributes that do not change once it is fixed."""
    is_stored_answer = False
    """Whether it is fixed. A middleware of the project that would rather pass it over can ask for this."""
    headers: Any
    status_code: int
    _given: Headers = ()

    @property
    def url(self) -> str:
        """Where a redirection leads to, under the name by which Django's own have it."""
        if "Location" not in self.headers:
            raise AttributeError("This answer leads nowhere.")
        return str(self.headers["Location"])

    def __setattr__(self, name: str, value: Any) -> None:
        if not (self.is_stored_answer and name in self.FIXED):
            super().__setattr__(name, value)

    def fix(self) -> None:
        self._has_been_logged = True  # by Django, when its call ran, if it is an error
        self.headers.is_fixed = self.is_stored_answer = True

    def put_headers(self, headers: Headers) -> None:
        # Django checks and encodes the first header of a name; the others must not smuggle anything in either.
        self.headers, given = FixableHeaders({}), []
        for name, text in headers:
            checked = ResponseHeaders({}) if name in self.headers else self.headers
            checked[name] = text
            given.append((name, checked[name]))
        self._given = tuple(given)
        self.headers.barred = BARRED.get(self.status_code, frozenset())
        if "content-length" in self.headers.barred:
            del self.headers["Content-Length"]

    def items(self) -> Iterable[tuple[str, str]]:
        """As given, the first of each name as middlewares have left it; then what they have added."""
        spoken = [pair for pair in self.headers.items() if pair != UNCOMPRESSED]
        current = {name.lower(): (name, text) for name, text in spoken}
        kept = [pair for pair in self._given if pair[0] in self.headers and pair != UNCOMPRESSED]
        return [*(current.pop(name.lower(), (name, text)) for name, text in kept), *current.values()]


class FaithfulChunks(FaithfulHeaders):
    """An answer of any size. Once it is fixed, whoever wraps or replaces its content has a stream to read.

    What has been read of it is noted, and goes out instead of what was made of it.
    """

    is_async: bool
    streaming_content: Any
    _source: Any = None

    def fix(self) -> None:
        self._read: deque[bytes] = deque()
        self._source, self._has_async_source = self.streaming_content, self.is_async
        self._notes: Any = self._noting_async() if self.is_async else self._noting()
        self.streaming_content = self._notes
        super().fix()

    @property
    def content(self) -> bytes:
        """For those who have met such answers whole only. Larger ones have no content, like any stream."""
        if self._source is None or self._has_async_source or int(self.headers.get("Content-Length", 0)) > READABLE:
            raise AttributeError("This answer is a stream: see its streaming_content.")
        deque(self._notes, maxlen=0)
        return b"".join(self._read)

    def _noting(self) -> Iterator[bytes]:
        for chunk in self._source:
            self._read.append(chunk)
            yield chunk

    async def _noting_async(self) -> AsyncIterator[bytes]:
        async for chunk in self._source:
            self._read.append(chunk)
            yield chunk

    def _noted(self) -> Iterator[bytes]:
        while self._read:
            yield self._read.popleft()

    def __iter__(self) -> Iterator[bytes]:
        given: Iterator[bytes] = super().__iter__()  # type: ignore[misc]  # a stream's
        if self._source is None or self._has_async_source:
            yield from given
            return
        for _ in given:
            yield from self._noted()
        yield from self._noted()
        yield from self._source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in super().__aiter__():  # type: ignore[misc]  # a stream's
            if self._source is None:
                yield chunk
                continue
            for read in self._noted():
                yield read
        if self._has_async_source:
            async for chunk in self._source:
                yield chunk
