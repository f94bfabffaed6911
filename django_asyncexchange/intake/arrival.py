"""The request as it arrived, before any middleware. That is what is captured: a run passes all middlewares again.

Middlewares change the WSGI environment, which is ``request.META``, so it is copied on Django's ``request_started``. The
body of a request that a dialect may claim is recorded while it is read. ASGI's scope is not changed by middlewares.
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import get_path_info, get_script_name
from django.core.signals import request_started
from django.http import HttpRequest

from ..conf import conf
from ..dialects.base import Dialect
from ..exceptions import CallChanged
from ..protocol.values import Call, value

KEY = "django_asyncexchange.intake.arrival"
SPOOL = 64 * 1024

_records_all = False
"""Whether a view of this process has patience: any call may be one of its."""


class RecordingInput:
    """``wsgi.input``, of which what is read is copied to ``file``; nothing, if it is longer than ``limit`` bytes."""

    def __init__(self, stream: Any, limit: int) -> None:
        self.stream, self.limit = stream, limit
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  (closed with the request)
        self.is_over = False

    def read(self, *size: int) -> bytes:
        return self._record(self.stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._record(self.stream.readline(*size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __del__(self) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the server's stream."""
        return getattr(self.stream, name)

    def _record(self, data: bytes) -> bytes:
        if not (self.is_over or self.file.closed):
            self.file.write(data)
            if self.file.tell() > self.limit:
                self.is_over = True
                self.file.close()
        return data


class OriginalEnviron:
    """The server's environment, in ``META`` under ``KEY``. No dictionary, so that debug pages do not list it."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = dict(environ)
        self.body: RecordingInput | None = None


def connect() -> None:
    """Record every request of this process before its middlewares."""
    request_started.connect(record, dispatch_uid="django_asyncexchange.intake.arrival")


def record_all() -> None:
    """Record the body of every request from now on."""
    global _records_all
    _records_all = True


def is_patience_used() -> bool:
    """Whether a view, a mount or the settings have patience: any call may be accepted for later."""
    return _records_all or conf.has_patience


def record(*, environ: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Copy ``environ``, and record the body of a request that a dialect may claim.

    The request of a run has ``KEY`` already, and is not recorded.
    """
    if environ is None or KEY in environ:
        return
    arrived = environ[KEY] = OriginalEnviron(environ)
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") and _may_be_claimed(environ):
        arrived.body = environ["wsgi.input"] = RecordingInput(environ["wsgi.input"], conf.MAX_REQUEST_BYTES)


def _may_be_claimed(environ: dict[str, Any]) -> bool:
    if is_patience_used():
        return True
    path = get_path_info(environ) or "/"
    return any(mount.may_want_async(path, environ) for mount in conf.mounts)


@value
class OriginalRequest:
    """A request before any middleware."""

    meta: Mapping[str, Any]
    scheme: str
    method: str
    script_name: str
    path: str
    """Below the script name, percent-decoded."""
    query: str
    """As ``META`` spells it."""
    body: RecordingInput | None = None
    is_known: bool = True
    """False if it was not recorded (``RequestFactory``): these are the values after the middlewares."""


def meta_text(meta: Mapping[str, Any], name: str) -> str:
    """``META[name]``; ``""`` if it is missing or no string: middlewares store other objects there, too."""
    value = meta.get(name, "")
    return value if isinstance(value, str) else ""


def of(request: HttpRequest) -> OriginalRequest:
    """``request`` as it arrived."""
    if isinstance(request, ASGIRequest):
        original = ASGIRequest(request.scope, io.BytesIO())
        return _original(original.META, request.scope.get("scheme"), original.META["SCRIPT_NAME"], original.path_info)
    arrived: OriginalEnviron | None = request.META.get(KEY)
    if arrived is None:
        known = request.META.get("SCRIPT_NAME", "")
        return _original(request.META, request.META.get("wsgi.url_scheme"), known, request.path_info, is_known=False)
    environ = arrived.environ
    name, path = get_script_name(environ), get_path_info(environ) or "/"
    return _original(environ, environ.get("wsgi.url_scheme"), name, path, body=arrived.body)


def _original(meta: Mapping[str, Any], scheme: str | None, script_name: str, path: str, **more: Any) -> OriginalRequest:
    return OriginalRequest(
        meta=meta,
        scheme=scheme or "http",
        method=meta.get("REQUEST_METHOD", "GET").upper(),
        script_name=script_name,
        path=path,
        query=meta_text(meta, "QUERY_STRING"),
        **more,
    )


def target(request: HttpRequest, dialect: Dialect, call: Call) -> tuple[str, str]:
    """(path, raw query) with which the synchronous call would have arrived.

    ``call`` is the call after the middlewares. Raises CallChanged if one of them has added the trigger.
    """
    original = of(request)
    path, _ = dialect.target(call)
    _, query = dialect.target(dataclasses.replace(call, query=original.query))
    if path == call.path:
        return original.path, query
    if not original.path.endswith(call.path):
        raise CallChanged
    return original.path.removesuffix(call.path) + path, query


def set_target(request: HttpRequest, path: str, query: str) -> None:
    """Change the path and raw query of ``request``."""
    request.path_info = request.META["PATH_INFO"] = path
    # As in WSGIRequest:
    request.path = f"{request.META.get('SCRIPT_NAME', '').rstrip('/')}/{path.replace('/', '', 1)}"
    request.META["QUERY_STRING"] = query
    request.__dict__.pop("GET", None)  # cached, if an earlier middleware has read it
