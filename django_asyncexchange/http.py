"""Between Django's requests and responses and our values, both ways, byte for byte.

``capture`` and ``rebuilt`` are each other's inverse except for what must not survive (contract/security 4.2):
credentials are never stored, and headers that belong to one connection or one representation are dropped.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone, translation

from . import headers
from .conf import conf
from .messages import Headers, Replay, Request, Response

SPOOL = 64 * 1024


class RequestBodyTooLarge(Exception):
    """The body is larger than MAX_REQUEST_BYTES."""


# Request → value ------------------------------------------------------------------------------------------------------


def spool(request: HttpRequest) -> IO[bytes]:
    """Read the request's body once, and leave it readable: by CSRF's form parsing, by DRF, and by ``bodies.write``."""
    limit = conf.MAX_REQUEST_BYTES
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        raise RequestBodyTooLarge
    file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  (the caller closes it)
    while chunk := request.read(SPOOL):
        file.write(chunk)
        if file.tell() > limit:
            file.close()
            raise RequestBodyTooLarge
    rewind(request, file)
    return file


def rewind(request: HttpRequest, file: IO[bytes]) -> None:
    """Let ``request`` be read from the start of ``file``. Django has no public way to give a request another stream."""
    file.seek(0)
    stream: Any = request
    stream._stream, stream._read_started = file, False


def raw_query(request: HttpRequest) -> str:
    """The query string as the client sent it. WSGI hands bytes beyond ASCII over as Latin-1."""
    query: str = request.META.get("QUERY_STRING", "")
    return query.encode("latin-1", "replace").decode("utf-8", "replace") if isinstance(request, WSGIRequest) else query


def capture(request: HttpRequest) -> Request:
    """The call as a value that another process can perform. No credential survives."""
    return Request(
        method=request.method or "GET",
        scheme=request.scheme or "http",
        host=request.get_host(),
        script_name=request.META.get("SCRIPT_NAME", ""),
        path=request.path_info,
        query=request.META.get("QUERY_STRING", ""),
        headers=tuple(_captured_headers(request)),
        remote_addr=request.META.get("REMOTE_ADDR", ""),
        language=translation.get_language() or "",
        time_zone=timezone.get_current_timezone_name(),
    )


def _captured_headers(request: HttpRequest) -> Iterator[tuple[str, str]]:
    proxy_header = (conf.project("SECURE_PROXY_SSL_HEADER") or ("",))[0].removeprefix("HTTP_")
    cookie_language = conf.project("LANGUAGE_COOKIE_NAME") in request.COOKIES
    for name, text in request.headers.items():
        lower = name.lower()
        if headers.is_harmful(lower) or headers.is_secret(lower) or lower.replace("-", "_").upper() == proxy_header:
            continue
        if lower == "if-none-match" and (request.method in ("GET", "HEAD") or text.strip() != "*"):
            continue
        if lower == "accept-language" and cookie_language:
            continue
        yield name, text
    if cookie_language:  # the cookie decided the language and is not stored
        yield "Accept-Language", translation.get_language() or ""


# Value → request ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def rebuilt(call: Request, chunks: Iterable[bytes]) -> Iterator[WSGIRequest]:
    """The call as Django would have received it, ready for a handler. CSRF was checked at submit."""
    with tempfile.SpooledTemporaryFile(SPOOL) as body:
        for chunk in chunks:
            body.write(chunk)
        size = body.tell()
        body.seek(0)
        request = WSGIRequest(_environ(call, body, size))
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        yield request


def _environ(call: Request, body: IO[bytes], size: int) -> dict[str, Any]:
    name, _, port = call.host.partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": _latin(call.script_name),
        "PATH_INFO": _latin(call.path),
        "QUERY_STRING": call.query,
        "SERVER_NAME": name,
        "SERVER_PORT": port or ("443" if call.scheme == "https" else "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": call.remote_addr,
        "HTTP_HOST": call.host,
        "CONTENT_LENGTH": str(size) if size else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": call.scheme,
        "wsgi.input": body,
    }
    for header, text in call.headers:
        key = header.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    return environ


def _latin(text: str) -> str:
    """``text`` as WSGI spells it: UTF-8 bytes in a Latin-1 string (PEP 3333)."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


# Response → value -----------------------------------------------------------------------------------------------------


def stored_headers(response: Any) -> Headers:
    """Every header of ``response`` that may be stored, in order, duplicates kept. Cookies are not in ``items()``."""
    return tuple((name, text) for name, text in response.items() if headers.may_be_stored(name))


def chunks_of(response: Any) -> Iterable[bytes]:
    """The response's body, as it is produced."""
    if not response.streaming:
        return [response.content]
    chunks: Iterable[bytes] = iter(response)  # also turns an asynchronous iterator into an ordinary one
    return chunks


# Value → response -----------------------------------------------------------------------------------------------------


class FaithfulHeaders:
    """A response with exactly the given headers: in this order, duplicates kept, none of Django's own."""

    headers: Any

    def put_headers(self, headers: Headers) -> None:
        del self.headers["Content-Type"]
        self._again: list[tuple[str, str]] = []
        for name, text in headers:
            if name in self.headers:
                self._again.append((name, text))
            else:
                self.headers[name] = text

    def items(self) -> Iterable[tuple[str, str]]:
        return [*self.headers.items(), *getattr(self, "_again", ())]


class FaithfulResponse(FaithfulHeaders, HttpResponse):
    """A whole answer."""


class FaithfulStream(FaithfulHeaders, StreamingHttpResponse):
    """An answer of any size."""


def respond(response: Response) -> HttpResponse:
    """Send a dialect's answer as it stands."""
    answer = FaithfulResponse(response.body, status=response.status)
    answer.put_headers(response.headers)
    return answer


def replayed(
    replay: Replay,
    *,
    status: int,
    reason: str,
    headers: Headers,
    size: int,
    chunks: Iterable[bytes],
    request: HttpRequest,
) -> HttpResponse | StreamingHttpResponse:
    """Send a stored answer, changed as ``replay`` says. Small ones whole, others as a stream."""
    changed = {name.lower() for name, _ in replay.headers} | replay.drop
    kept = tuple((name, text) for name, text in headers if name.lower() not in changed)
    status = replay.status or status
    answer: FaithfulResponse | FaithfulStream
    if size <= conf.INLINE_BYTES:
        answer = FaithfulResponse(b"".join(chunks), status=status)
    elif isinstance(request, ASGIRequest):
        answer = FaithfulStream(_asynchronous(iter(chunks)), status=status)
    else:
        answer = FaithfulStream(chunks, status=status)
    if reason and reason != HTTPStatus(status).phrase:
        answer.reason_phrase = reason
    answer.put_headers((*kept, *replay.headers))
    if size and not answer.has_header("Content-Length"):
        answer.headers["Content-Length"] = str(size)
    return answer


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(partial(next, chunks, None))
    while (chunk := await take()) is not None:
        yield chunk
