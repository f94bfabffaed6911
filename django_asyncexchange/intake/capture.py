"""Captures Django's request as a value, and rebuilds a request from it in a worker.

``capture()`` and ``rebuilt()`` are inverse to each other, except for credentials, which are not stored, and for headers
of a single connection or representation.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import LimitedStream, WSGIRequest
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.utils import timezone, translation

from ..conf import conf
from ..dialects.base import prefer_header
from ..exceptions import CallChanged, RequestMalformed, RequestTooLarge
from ..protocol import content_encoding, header_rules, time_zones
from ..protocol.values import Request
from . import arrival, asgi_scope, cookies, wsgi_environ
from .arrival import SPOOL as SPOOL
from .arrival import OriginalRequest, RecordingInput

BODY_HEADERS = ("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_CONTENT_ENCODING")
"""A middleware that changes the body changes these."""


# Request → value ------------------------------------------------------------------------------------------------------


def spool(request: HttpRequest) -> IO[bytes]:
    """Read the body as it arrived into a file, and leave it readable for CSRF's form parsing, DRF and the view.

    Raises RequestTooLarge; and CallChanged if an earlier middleware has consumed it.
    """
    original = arrival.of(request)
    limit = conf.MAX_REQUEST_BYTES
    if _content_length(original) > limit:
        raise RequestTooLarge(limit=limit)
    if original.body is not None:
        return _recorded_body(request, original, original.body)
    _require_unchanged(request, original)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  (closed by the caller)
    while chunk := request.read(SPOOL):
        file.write(chunk)
        if file.tell() > limit:
            file.close()
            reread(request)
            raise RequestTooLarge(limit=limit)
    rewind(request, file)
    return file


def _recorded_body(request: HttpRequest, original: OriginalRequest, body: RecordingInput) -> IO[bytes]:
    """The recorded ``body``, read to its end. The view reads what a middleware has put in its place, if any."""
    stream: Any = request
    is_own = isinstance(stream._stream, LimitedStream)
    others: list[bytes] = []
    while not (body.is_over or hasattr(request, "_body")) and (chunk := request.read(SPOOL)):
        if not is_own:
            others.append(chunk)
    while not body.is_over and (missing := _content_length(original) - body.file.tell()) > 0:
        if not body.read(min(missing, SPOOL)):
            break  # the client is gone
    if body.is_over or sum(map(len, others)) > body.limit:
        raise RequestTooLarge(limit=body.limit)
    if others:
        stream._body = b"".join(others)
    rewind(request, body.file)
    return body.file


def _require_unchanged(request: HttpRequest, original: OriginalRequest) -> None:
    """Raise CallChanged if the body is not as it arrived. ASGI's body is a file, and may have been read."""
    is_file = isinstance(request, ASGIRequest)
    if not (is_file or _content_length(original)):
        return  # there is none
    is_read = getattr(request, "_read_started", False) and not hasattr(request, "_body")
    if is_read and not (is_file and reread(request)):
        raise CallChanged
    if not original.is_known:
        return
    body: bytes | None = getattr(request, "_body", None)
    size = None if body is None else len(body)
    is_cut = size is not None and original.meta.get("CONTENT_LENGTH") and size != _content_length(original)
    if is_cut or any(request.META.get(name) != original.meta.get(name) for name in BODY_HEADERS):
        raise CallChanged


def rewind(request: HttpRequest, file: IO[bytes]) -> None:
    """Have ``request`` read ``file`` from its start; or the body that a middleware has read or replaced already.

    Django has no public API to replace the stream of a request.
    """
    file.seek(0)
    stream: Any = request
    stream._stream = io.BytesIO(stream._body) if hasattr(request, "_body") else BorrowedFile(file)
    stream._read_started = False


def reread(request: HttpRequest) -> bool:
    """Rewind the stream of ``request``, and return whether that is possible (ASGI's body is a file)."""
    stream: Any = request
    if not (hasattr(stream._stream, "seekable") and stream._stream.seekable()):
        return False
    stream._stream.seek(0)
    stream._read_started = False
    return True


class BorrowedFile:
    """A file that its reader does not close (``request.body`` would). Empty after its owner has closed it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, *size: int) -> bytes:
        return b"" if self.file.closed else self.file.read(*size)

    def readline(self, *size: int) -> bytes:
        return b"" if self.file.closed else self.file.readline(*size)

    def seekable(self) -> bool:
        return not self.file.closed

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def close(self) -> None:
        """Left to the owner."""


def _content_length(original: OriginalRequest) -> int:
    """``Content-Length`` as Django reads it: 0 if it is no number."""
    try:
        return int(original.meta.get("CONTENT_LENGTH") or 0)
    except (TypeError, ValueError):
        return 0


def raw_query(request: HttpRequest) -> str:
    """The query string as the client sent it. WSGI has bytes beyond ASCII as Latin-1."""
    query: str = request.META.get("QUERY_STRING", "")
    return query.encode("latin-1", "replace").decode("utf-8", "replace") if isinstance(request, WSGIRequest) else query


def capture(request: HttpRequest, target: tuple[str, str] | None = None) -> Request:
    """The request as it arrived, as a value; ``target``: its path and raw query from ``arrival.target()``.

    Raises RequestMalformed for a NUL character, which databases do not store as text.
    """
    original = arrival.of(request)
    path, query = target or (original.path, original.query)
    call = Request(
        method=original.method,
        scheme=original.scheme,
        host=arrival.meta_text(original.meta, "HTTP_HOST"),
        script_name=original.script_name,
        path=path,
        query=header_rules.without_listed(_query_for_wsgi(request, query), conf.SECRET_NAMES),
        headers=tuple(_captured_headers(request, original)),
        remote_addr=arrival.meta_text(original.meta, "REMOTE_ADDR"),
        environ=tuple(wsgi_environ.captured(original)),
        scope=asgi_scope.captured(request.scope, original.path, path) if isinstance(request, ASGIRequest) else None,
        language=translation.get_language() or "",
        time_zone=time_zones.named(timezone.get_current_timezone()),
    )
    if any("\0" in text for text in (call.path, call.query, *(text for _, text in call.headers))):
        raise RequestMalformed
    return call


def _query_for_wsgi(request: HttpRequest, query: str) -> str:
    """The raw query as WSGI represents it. ASGI has bytes beyond ASCII as text."""
    return wsgi_environ.wsgi_string(query) if isinstance(request, ASGIRequest) else query


def _captured_headers(request: HttpRequest, original: OriginalRequest) -> Iterator[tuple[str, str]]:
    cookie_language = conf.project("LANGUAGE_COOKIE_NAME") in request.COOKIES
    of_dialects = {name.lower() for mount in conf.mounts for name in mount.hidden_headers}
    fields: Iterable[tuple[str, Any]] = HttpHeaders(original.meta).items()
    if is_asgi := isinstance(request, ASGIRequest):
        fields = asgi_scope.headers(request.scope)
    unkept = header_rules.unkept(conf.SECRET_NAMES)
    for name, text in fields:
        lower = name.lower().replace("_", "-")
        if is_asgi and lower == "content-length":
            yield name, text  # the body has the same length in the run
        if not isinstance(text, str) or header_rules.is_harmful(lower, original.method) or lower in of_dialects:
            continue
        if unkept.match(lower) or (lower == "accept-language" and cookie_language):
            continue
        if lower == "prefer":
            text = prefer_header.without_ours(text)
        if lower == "accept-encoding":
            text = content_encoding.gzip_only(text)
        if text or lower not in ("prefer", "accept-encoding"):
            yield name, text
    if cookie_language:  # the cookie has set the language, and is not stored
        yield "Accept-Language", translation.get_language() or ""


# Value → request ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def rebuilt(call: Request, chunks: Iterable[bytes]) -> Iterator[WSGIRequest | ASGIRequest]:
    """The request as Django would have received it, for a handler of the same kind (WSGI or ASGI).

    CSRF is not checked again if it was at the submit: its token is never stored. Otherwise the check fails in the run.
    """
    with tempfile.SpooledTemporaryFile(SPOOL) as body:
        for chunk in chunks:
            body.write(chunk)
        size = body.tell()
        body.seek(0)
        request: Any
        if call.scope is None:
            request = WSGIRequest(wsgi_environ.build(call, body, size))
        else:
            request = ASGIRequest(asgi_scope.build(call), body)
        request._dont_enforce_csrf_checks = call.is_checked
        cookies.restore(call, request)
        yield request
