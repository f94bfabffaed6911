"""From Django's request to our value, and from the value to a request that a worker can perform.

``capture`` and ``rebuilt`` are each other's inverse except for what must not survive (contract/security 4.2):
credentials are never stored, and headers that belong to one connection or one representation are dropped.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.utils import timezone, translation

from . import headers
from .conf import conf
from .dialects.base import Trigger
from .exceptions import RequestMalformed
from .messages import Request

SPOOL = 64 * 1024

CSRF_FIELD_SIZE = 1024
"""More bytes than a form needs for its CSRF token, with all that tells where the token is."""


class RequestBodyTooLarge(Exception):
    """The body is larger than MAX_REQUEST_BYTES."""


class BodyConsumed(Exception):
    """An earlier middleware has read the upload (``request.POST`` does), so it cannot be stored for later."""


# Request → value ------------------------------------------------------------------------------------------------------


def spool(request: HttpRequest) -> IO[bytes]:
    """Read the request's body once, and leave it readable: by CSRF's form parsing, by DRF, and by ``bodies.write``."""
    limit = conf.MAX_REQUEST_BYTES
    if _announced(request) > limit:
        raise RequestBodyTooLarge
    if getattr(request, "_read_started", False) and not hasattr(request, "_body"):
        raise BodyConsumed
    file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  (the caller closes it)
    while chunk := request.read(SPOOL):
        file.write(chunk)
        if file.tell() > limit:
            file.close()
            _reread(request)
            raise RequestBodyTooLarge
    rewind(request, file)
    return file


def rewind(request: HttpRequest, file: IO[bytes]) -> None:
    """Let ``request`` be read from the start of ``file``. Django has no public way to give a request another stream."""
    file.seek(0)
    stream: Any = request
    stream._stream, stream._read_started = Lent(file), False


def _reread(request: HttpRequest) -> None:
    """Let ``request`` be read again from its own start; ASGI's body is a file, with lengths that may be unannounced."""
    stream: Any = request
    if stream._stream.seekable():
        stream._stream.seek(0)
        stream._read_started = False


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


def _announced(request: HttpRequest) -> int:
    """``Content-Length`` as Django reads it: 0 where it is no number."""
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def raw_query(request: HttpRequest) -> str:
    """The query string as the client sent it. WSGI hands bytes beyond ASCII over as Latin-1."""
    query: str = request.META.get("QUERY_STRING", "")
    return query.encode("latin-1", "replace").decode("utf-8", "replace") if isinstance(request, WSGIRequest) else query


def capture(request: HttpRequest) -> Request:
    """The call as a value that another process can perform. No credential survives.

    Raises RequestMalformed for a zero character, which no database stores as text.
    """
    call = Request(
        method=request.method or "GET",
        scheme=request.scheme or "http",
        host=request.get_host(),
        script_name=request.META.get("SCRIPT_NAME", ""),
        path=request.path_info,
        query=_wsgi_query(request),
        headers=tuple(_captured_headers(request)),
        remote_addr=request.META.get("REMOTE_ADDR", ""),
        language=translation.get_language() or "",
        time_zone=timezone.get_current_timezone_name(),
    )
    if any("\0" in text for text in (call.path, call.query, *(text for _, text in call.headers))):
        raise RequestMalformed
    return call


def without_csrf_token(chunks: Iterable[bytes], request: HttpRequest) -> Iterator[bytes]:
    """The body ``chunks`` of ``request``, the CSRF token of a form overwritten by as many ``x``, the rest as it came.

    The token was checked at submit and is not checked again; like a cookie, it is never stored (security 4.2).
    """
    field = _csrf_field(request)
    if field is None:
        yield from chunks
        return
    rest = b"&"  # so that the first field of a form begins as the others do
    is_first = True
    for chunk in chunks:
        rest = field.sub(lambda found: found[1] + b"x" * len(found[2]), rest + chunk)
        ready, rest = rest[:-CSRF_FIELD_SIZE], rest[-CSRF_FIELD_SIZE:]
        if ready:
            yield ready[is_first:]
            is_first = False
    yield rest[is_first:]


def _csrf_field(request: HttpRequest) -> re.Pattern[bytes] | None:
    """The field of Django's CSRF token in a form: what leads to its value, and the value. None: this is no form."""
    if request.content_type == "application/x-www-form-urlencoded":
        return re.compile(rb"(&csrfmiddlewaretoken=)([A-Za-z0-9]{32,200})")
    boundary = re.escape((request.content_params or {}).get("boundary", "").encode())
    if request.content_type != "multipart/form-data" or not boundary:
        return None
    named = rb'[^\r\n]{0,100}name="csrfmiddlewaretoken"[^\r\n]{0,100}\r\n'
    others = rb"(?:[^\r\n]{1,100}\r\n){0,3}"  # further headers of this part
    return re.compile(rb"(--%b\r\n%b%b\r\n)([A-Za-z0-9]{32,200})(?=\r\n--%b)" % (boundary, named, others, boundary))


def _wsgi_query(request: HttpRequest) -> str:
    """The raw query as WSGI spells it. ASGI hands bytes beyond ASCII over as text."""
    query: str = request.META.get("QUERY_STRING", "")
    return _latin(query) if isinstance(request, ASGIRequest) else query


def _captured_headers(request: HttpRequest) -> Iterator[tuple[str, str]]:
    proxy_header = (conf.project("SECURE_PROXY_SSL_HEADER") or ("",))[0].removeprefix("HTTP_")
    cookie_language = conf.project("LANGUAGE_COOKIE_NAME") in request.COOKIES
    triggers = {mount.TRIGGER_NAME.lower() for mount in conf.mounts if mount.TRIGGER is Trigger.HEADER}
    for name, text in request.headers.items():
        lower = name.lower()
        if headers.is_harmful(lower) or headers.is_secret(lower, conf.SECRET_NAMES) or lower in triggers:
            continue
        if lower.replace("-", "_").upper() == proxy_header:
            continue
        if lower == "if-none-match" and (request.method in ("GET", "HEAD") or text.strip() != "*"):
            continue
        if lower == "accept-language" and cookie_language:
            continue
        yield name, headers.mask_query(text, conf.SECRET_NAMES) if lower == "referer" else text
    if cookie_language:  # the cookie decided the language and is not stored
        yield "Accept-Language", translation.get_language() or ""


# Value → request ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def rebuilt(call: Request, chunks: Iterable[bytes]) -> Iterator[WSGIRequest]:
    """The call as Django would have received it, ready for a handler.

    CSRF is not checked again where it was at submit: what proves it is never stored. Otherwise whoever checks refuses.
    """
    with tempfile.SpooledTemporaryFile(SPOOL) as body:
        for chunk in chunks:
            body.write(chunk)
        size = body.tell()
        body.seek(0)
        request = WSGIRequest(_environ(call, body, size))
        request._dont_enforce_csrf_checks = call.is_checked  # type: ignore[attr-defined]
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
