"""Responses with exactly the given headers, in full or as a stream, for either kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from io import BufferedReader
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import ResponseHeaders
from django.utils.text import compress_sequence

from .bodies import CHUNK
from .conf import conf
from .messages import Headers

UNCOMPRESSED = ("Content-Encoding", "identity")
"""Says to middlewares that a part is not to be compressed: it is counted in bytes of the whole. It is not sent."""
RANDOM_BYTES = 100
"""At most so many are put in front of a compressed answer: its length then tells less (as in Django's middleware)."""


class FaithfulHeaders:
    """A response with exactly the given headers: in this order, duplicates kept, none of Django's own."""

    headers: Any
    _given: Headers = ()

    def put_headers(self, headers: Headers) -> None:
        del self.headers["Content-Type"]
        # Django checks and encodes the first header of a name; the others must not smuggle anything in either.
        self._given = tuple(pair for name, text in headers for pair in ResponseHeaders({name: text}).items())
        for name, text in headers:
            self.headers.setdefault(name, text)

    def items(self) -> Iterable[tuple[str, str]]:
        """As given, the first of each name as middlewares have left it; then what they have added."""
        spoken = [pair for pair in self.headers.items() if pair != UNCOMPRESSED]
        current = {name.lower(): (name, text) for name, text in spoken}
        kept = [pair for pair in self._given if pair[0] in self.headers and pair != UNCOMPRESSED]
        return [*(current.pop(name.lower(), (name, text)) for name, text in kept), *current.values()]


class FaithfulResponse(FaithfulHeaders, HttpResponse):
    """A whole answer."""


class FaithfulStream(FaithfulHeaders, StreamingHttpResponse):
    """An answer of any size."""


class FaithfulFile(FaithfulHeaders, FileResponse):
    """An answer that the server may send by itself (PEP 3333, ``wsgi.file_wrapper``)."""

    block_size = CHUNK

    def set_headers(self, filelike: Any) -> None:
        """None of a file's own."""


Faithful: TypeAlias = FaithfulResponse | FaithfulStream | FaithfulFile


def bare(status: int, headers: Headers) -> FaithfulResponse:
    """An answer without a body."""
    response = FaithfulResponse(status=status)
    response.put_headers(headers)
    return response


def full(status: int, headers: Headers, chunks: Iterator[bytes], size: int, request: HttpRequest) -> Faithful:
    """An answer of ``size`` bytes. For HEAD they are not read; not every server would throw them away.

    The first chunk of a stream is read before the answer begins: a storage that fails can then still be told.
    """
    if request.method == "HEAD":
        return bare(status, headers)
    if size <= conf.INLINE_BYTES:
        response: Faithful = FaithfulResponse(b"".join(chunks), status=status)
    else:
        response = _stream(status, _begun(chunks), request)
    response.put_headers(headers)
    return response


def can_send(request: HttpRequest) -> bool:
    """Whether ``request`` can be answered with ``sent``."""
    return request.method != "HEAD" and not isinstance(request, ASGIRequest)


def sent(status: int, headers: Headers, file: BufferedReader) -> FaithfulFile:
    """An answer that is all of an open file."""
    response = FaithfulFile(file, status=status)
    response.put_headers(headers)
    return response


def packed(status: int, headers: Headers, chunks: Iterator[bytes], request: HttpRequest) -> Faithful:
    """An answer compressed on its way, of a length that nobody knows: not even for HEAD."""
    content = iter(()) if request.method == "HEAD" else compress_sequence(_begun(chunks), max_random_bytes=RANDOM_BYTES)
    response = _stream(status, content, request)
    response.put_headers(headers)
    return response


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return _resumed(next(chunks, b""), chunks)


def _resumed(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _stream(status: int, chunks: Iterator[bytes], request: HttpRequest) -> FaithfulStream:
    return FaithfulStream(_asynchronous(chunks) if isinstance(request, ASGIRequest) else chunks, status=status)


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(partial(next, chunks, None))
    while (chunk := await take()) is not None:
        yield chunk
