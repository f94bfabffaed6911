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
from .exact import ExactChunks, ExactHeaders

RANDOM_BYTES = 100
"""Most random bytes in front of a compressed response, against BREACH (as in Django's ``GZipMiddleware``)."""


class ExactResponse(ExactHeaders, HttpResponse):
    """A response with its whole content."""

    def write(self, content: Any) -> None:
        if not self.is_stored_answer:
            super().write(content)

    def writelines(self, lines: Iterable[Any]) -> None:
        if not self.is_stored_answer:
            super().writelines(lines)


class ExactStreamingResponse(ExactChunks, StreamingHttpResponse):  # type: ignore[misc]  # it has a ``content``
    """A stream whose chunks are read here."""


class ExactFileResponse(ExactChunks, FileResponse):  # type: ignore[misc]  # likewise
    """A file that the server may send itself (PEP 3333, ``wsgi.file_wrapper``), unless middleware reads it."""

    block_size = CHUNK
    file_to_stream: Any

    def freeze(self) -> None:
        file = self.file_to_stream
        super().freeze()
        self.file_to_stream = file

    def _recording(self) -> Iterator[bytes]:
        self.file_to_stream = None
        yield from super()._recording()

    def set_headers(self, filelike: Any) -> None:
        """Set none of ``FileResponse``'s headers."""


Exact: TypeAlias = ExactResponse | ExactStreamingResponse | ExactFileResponse


def bare(status: int, headers: Headers) -> ExactResponse:
    """A response without a body."""
    response = ExactResponse(status=status)
    response.put_headers(headers)
    return response


def conditional(request: HttpRequest, etag: str | None, modified: int | None, met: Any) -> ExactResponse | None:
    """304 or 412 instead of ``met`` where a precondition of ``request`` is not met (RFC 9110 section 13); else None."""
    answer: HttpResponse | None = get_conditional_response(request, etag, modified, met)
    if answer is None or answer is met:
        return None
    return bare(answer.status_code, tuple(pair for pair in answer.items() if pair[0] != "Content-Type"))


def full(status: int, headers: Headers, chunks: Iterator[bytes], size: int, request: HttpRequest) -> Exact:
    """A response of ``size`` bytes. For HEAD they are not read, because not every server discards them.

    The first chunk of a stream is read before the response begins, so that a failing storage still becomes an error.
    """
    if request.method == "HEAD":
        return bare(status, headers)
    if size <= conf.INLINE_BYTES:
        response: Exact = ExactResponse(b"".join(chunks), status=status)
    else:
        response = _stream(status, _begun(chunks), request)
    response.put_headers(headers)
    return response


def can_send(request: HttpRequest) -> bool:
    """Whether ``request`` can be answered by ``sent``."""
    return request.method != "HEAD" and not isinstance(request, ASGIRequest)


def sent(status: int, headers: Headers, file: BufferedReader) -> ExactFileResponse:
    """A response with all of an open file."""
    response = ExactFileResponse(file, status=status)
    response.put_headers(headers)
    return response


def packed(status: int, headers: Headers, chunks: Iterator[bytes], request: HttpRequest) -> Exact:
    """A response that is compressed while it is sent, without ``Content-Length``."""
    content = iter(()) if request.method == "HEAD" else compress_sequence(_begun(chunks), max_random_bytes=RANDOM_BYTES)
    response = _stream(status, content, request)
    response.put_headers(headers)
    return response


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return _resumed(next(chunks, b""), chunks)


def _resumed(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _stream(status: int, chunks: Iterator[bytes], request: HttpRequest) -> ExactStreamingResponse:
    return ExactStreamingResponse(_asynchronous(chunks) if isinstance(request, ASGIRequest) else chunks, status=status)


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(partial(next, chunks, None))
    while (chunk := await take()) is not None:
        yield chunk
