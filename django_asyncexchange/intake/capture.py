"""From Django's request to our value, and from the value to a request that a worker can perform.

``capture`` and ``rebuilt`` are each other's inverse, but for credentials, which are not kept, and for headers that
belong to one connection or one representation.
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
from . import arrival, asgi_scope, wsgi_environ
from .arrival import SPOOL as SPOOL
from .arrival import Arrival, Kept

BODILY = ("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_CONTENT_ENCODING")
"""Whoever changes a body says so here."""


# Request → value ------------------------------------------------------------------------------------------------------


def spool(request: HttpRequest) -> IO[bytes]:
    """Read the request's body once, as it came, and leave it readable: by CSRF's form parsing, by DRF, by the view.

    Raises RequestTooLarge, and CallChanged where an earlier middleware has left nothing of it.
    """
    came = arrival.of(request)
    limit = conf.MAX_REQUEST_BYTES
    if _announced(came) > limit:
        raise RequestTooLarge(limit=limit)
    if came.body is not None:
        return _kept(request, came, came.body)
    _require_unchanged(request, came)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  (the caller closes it)
    while chunk := request.read(SPOOL):
        file.write(chunk)
        if file.tell() > limit:
            file.close()
            reread(request)
            raise RequestTooLarge(limit=limit)
    rewind(request, file)
    return file


def _kept(request: HttpRequest, came: Arrival, body: Kept) -> IO[bytes]:
    """What was kept of ``body``, the rest of it too. What a middleware has made of it stays what the view reads."""
    stream: Any = request
    is_own = isinstance(stream._stream, LimitedStream)
    others: list[bytes] = []
    while not (body.is_over or hasattr(request, "_body")) and (chunk := request.read(SPOOL)):
        if not is_own:
            others.append(chunk)
    while not body.is_over and (missing := _announced(came) - body.file.tell()) > 0:
        if not body.read(min(missing, SPOOL)):
            break  # the client is gone
    if body.is_over or sum(map(len, others)) > body.limit:
        raise RequestTooLarge(limit=body.limit)
    if others:
        stream._body = b"".join(others)
    rewind(request, body.file)
    return body.file


def _require_unchanged(request: HttpRequest, came: Arrival) -> None:
    """Raise CallChanged where the body is not there as it came. A file, as ASGI's is, may have been read."""
    is_file = isinstance(request, ASGIRequest)
    if not (is_file or _announced(came)):
        return  # there is none
    is_read = getattr(request, "_read_started", False) and not hasattr(request, "_body")
    if is_read and not (is_file and reread(request)):
        raise CallChanged
    if not came.is_known:
        return
    body: bytes | None = getattr(request, "_body", None)
    size = None if body is None else len(body)
    is_cut = size is not None and came.meta.get("CONTENT_LENGTH") and size != _announced(came)
    if is_cut or any(request.META.get(name) != came.meta.get(name) for name in BODILY):
        raise CallChanged


def rewind(request: HttpRequest, file: IO[bytes]) -> None:
    """Let ``request`` be read from the start of ``file``, or of what a middleware has read or made of it already.

    Django has no public way to give a request another stream.
    """
    file.seek(0)
    stream: Any = request
    stream._stream = io.BytesIO(stream._body) if hasattr(request, "_body") else Lent(file)
    stream._read_started = False


def reread(request: HttpRequest) -> bool:
    """Let ``request`` be read again from its own start, if that is possible; ASGI's body is a file."""
    stream: Any = request
    if not (hasattr(stream._stream, "seekable") and stream._stream.seekable()):
        return False
    stream._stream.seek(0)
    stream._read_started = False
    return True


class Lent:
    """A file that its reader cannot close (``request.body`` would), and that is merely empty once its lender has."""

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
        """It is the lender's to close."""


def _announced(came: Arrival) -> int:
    """``Content-Length`` as Django reads it: 0 where it is no number."""
    try:
        return int(came.meta.get("CONTENT_LENGTH") or 0)
    except (TypeError, ValueError):
        return 0


def raw_query(request: HttpRequest) -> str:
    """The query string as the client sent it. WSGI hands bytes beyond ASCII over as Latin-1."""
    query: str = request.META.get("QUERY_STRING", "")
    return query.encode("latin-1", "replace").decode("utf-8", "replace") if isinstance(request, WSGIRequest) else query


def capture(request: HttpRequest, target: tuple[str, str] | None = None) -> Request:
    """The call, as it came, as a value that another process can perform; ``target`` is what ``arrival.aim`` says of it.

    Raises RequestMalformed for a zero character, which no database stores as text.
    """
    came = arrival.of(request)
    path, query = target or (came.path, came.query)
    call = Request(
        method=came.method,
        scheme=came.scheme,
        host=arrival.text(came.meta, "HTTP_HOST"),
        script_name=came.script_name,
        path=path,
        query=header_rules.without_listed(_wsgi(request, query), conf.SECRET_NAMES),
        headers=tuple(_captured_headers(request, came)),
        remote_addr=arrival.text(came.meta, "REMOTE_ADDR"),
        environ=tuple(wsgi_environ.said(came)),
        scope=asgi_scope.said(request.scope, came.path, path) if isinstance(request, ASGIRequest) else None,
        language=translation.get_language() or "",
        time_zone=time_zones.named(timezone.get_current_timezone()),
    )
    if any("\0" in text for text in (call.path, call.query, *(text for _, text in call.headers))):
        raise RequestMalformed
    return call


def _wsgi(request: HttpRequest, query: str) -> str:
    """The raw query as WSGI spells it. ASGI hands bytes beyond ASCII over as text."""
    return wsgi_environ.latin(query) if isinstance(request, ASGIRequest) else query


def _captured_headers(request: HttpRequest, came: Arrival) -> Iterator[tuple[str, str]]:
    cookie_language = conf.project("LANGUAGE_COOKIE_NAME") in request.COOKIES
    of_dialects = {name.lower() for mount in conf.mounts for name in mount.hidden_headers}
    given: Iterable[tuple[str, Any]] = HttpHeaders(came.meta).items()
    if is_asgi := isinstance(request, ASGIRequest):
        given = asgi_scope.headers(request.scope)
    unkept = header_rules.unkept(conf.SECRET_NAMES)
    for name, text in given:
        lower = name.lower().replace("_", "-")
        if is_asgi and lower == "content-length":
            yield name, text  # the body is as long as it was
        if not isinstance(text, str) or header_rules.is_harmful(lower, came.method) or lower in of_dialects:
            continue
        if unkept.match(lower) or (lower == "accept-language" and cookie_language):
            continue
        if lower == "prefer":
            text = prefer_header.without_ours(text)
        if lower == "accept-encoding":
            text = content_encoding.gzip_only(text)
        if text or lower not in ("prefer", "accept-encoding"):
            yield name, text
    if cookie_language:  # the cookie decided the language and is not stored
        yield "Accept-Language", translation.get_language() or ""


# Value → request ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def rebuilt(call: Request, chunks: Iterable[bytes]) -> Iterator[WSGIRequest | ASGIRequest]:
    """The call as Django would have received it, ready for a handler of the same kind.

    CSRF is not checked again where it was at submit: what proves it is never stored. Otherwise whoever checks refuses.
    """
    with tempfile.SpooledTemporaryFile(SPOOL) as body:
        for chunk in chunks:
            body.write(chunk)
        size = body.tell()
        body.seek(0)
        request: Any
        if call.scope is None:
            request = WSGIRequest(wsgi_environ.made(call, body, size))
        else:
            request = ASGIRequest(asgi_scope.made(call), body)
        request._dont_enforce_csrf_checks = call.is_checked
        yield request
