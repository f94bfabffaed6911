"""Responses with exactly the given headers, in full or as a stream, for either kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from io import BufferedReader
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.text import compress_sequence

from ..conf import conf
from ..protocol.values import Headers
from ..store.bodies import CHUNK
from .fixed import FaithfulChunks, FaithfulHeaders

RANDOM_BYTES = 100
"""At most so many are put in front of a compressed answer: its length then tells less (as in Django's middleware)."""


class FaithfulResponse(FaithfulHeaders, HttpResponse):
    """A whole answer."""

    def write(self, content: Any) -> None:
        if not self.is_stored_answer:
            super().write(content)

    def writelines(self, lines: Iterable[Any]) -> None:
        if not self.is_stored_answer:
            super().writelines(lines)


class FaithfulStream(FaithfulChunks, StreamingHttpResponse):  # type: ignore[misc]  # it has a ``content``
    """One whose chunks we read."""


class FaithfulFile(FaithfulChunks, FileResponse):  # type: ignore[misc]  # likewise
    """One that the server may send by itself (PEP 3333, ``wsgi.file_wrapper``), until somebody begins to read it."""

    block_size = CHUNK
    file_to_stream: Any

    def fix(self) -> None:
        file = self.file_to_stream
        super().fix()
        self.file_to_stream = file

    def _noting(self) -> Iterator[bytes]:
        self.file_to_stream = None
        yield from super()._noting()

    def set_headers(self, filelike: Any) -> None:
        """None of a file's own."""


Faithful: TypeAlias = FaithfulResponse | FaithfulStream | FaithfulFile


def bare(status: int, headers: Headers) -> FaithfulResponse:
    """An answer without a body."""
    response = FaithfulResponse(status=status)
    response.put_headers(headers)
    return response


def conditional(
    request: HttpRequest, etag: str | None, modified: int | None, met: HttpResponse
) -> FaithfulResponse | None:
    """304 or 412, where a condition of ``request`` says so instead of ``met`` (RFC 9110 section 13); else None."""
    answer: HttpResponse | None = get_conditional_response(request, etag, modified, met)
    if answer is None or answer is met:
        return None
    return bare(answer.status_code, tuple(pair for pair in answer.items() if pair[0] != "Content-Type"))


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
