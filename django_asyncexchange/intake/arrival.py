"""A call as it came, before any middleware: what is captured is that, because the run goes through all of them again.

A WSGI server's environment is the very ``request.META`` that middlewares write to, so Django's ``request_started`` is
where it is copied. Of a call that may be for us, what is read of its body is kept beside. ASGI's scope stays as it is.
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


class Kept:
    """``wsgi.input``, of which a copy is kept as it is read; up to ``limit`` bytes, none of a longer one."""

    def __init__(self, stream: Any, limit: int) -> None:
        self.stream, self.limit = stream, limit
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  (who takes the call closes it)
        self.is_over = False

    def read(self, *size: int) -> bytes:
        return self._kept(self.stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._kept(self.stream.readline(*size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __del__(self) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        """Whatever else this server's stream can do."""
        return getattr(self.stream, name)

    def _kept(self, data: bytes) -> bytes:
        if not (self.is_over or self.file.closed):
            self.file.write(data)
            if self.file.tell() > self.limit:
                self.is_over = True
                self.file.close()
        return data


class Arrived:
    """What the server gave, in ``META`` under ``KEY``. A class of its own, so that no page for developers lists it."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = dict(environ)
        self.body: Kept | None = None


def watch() -> None:
    """See every call of this process before its middlewares do."""
    request_started.connect(keep, dispatch_uid="django_asyncexchange.intake.arrival")


def keep(*, environ: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Remember ``environ`` as it is, and see to it that the body of a call that may be for us is kept.

    Not of a deferred run, which says so under ``KEY``: it came long ago.
    """
    if environ is None or KEY in environ:
        return
    arrived = environ[KEY] = Arrived(environ)
    if environ.get("CONTENT_LENGTH", "0") != "0" and _may_be_for_us(environ):
        arrived.body = environ["wsgi.input"] = Kept(environ["wsgi.input"], conf.MAX_REQUEST_BYTES)


def _may_be_for_us(environ: dict[str, Any]) -> bool:
    path = get_path_info(environ) or "/"
    return any(mount.may_want_async(path, environ) for mount in conf.mounts)


@value
class Arrival:
    """A call before any middleware."""

    meta: Mapping[str, Any]
    scheme: str
    method: str
    script_name: str
    path: str
    """Below the script name, percent-decoded."""
    query: str
    """As ``META`` spells it."""
    body: Kept | None = None
    is_known: bool = True
    """False where nobody has looked before the middlewares (``RequestFactory``): this is what they have left."""


def text(meta: Mapping[str, Any], name: str) -> str:
    """What ``META`` says under ``name``; ``""`` where that is no text: middlewares leave all sorts there."""
    said = meta.get(name, "")
    return said if isinstance(said, str) else ""


def of(request: HttpRequest) -> Arrival:
    """How ``request`` came."""
    if isinstance(request, ASGIRequest):
        came = ASGIRequest(request.scope, io.BytesIO())
        return _arrival(came.META, request.scope.get("scheme"), came.META["SCRIPT_NAME"], came.path_info)
    arrived: Arrived | None = request.META.get(KEY)
    if arrived is None:
        known = request.META.get("SCRIPT_NAME", "")
        return _arrival(request.META, request.META.get("wsgi.url_scheme"), known, request.path_info, is_known=False)
    environ = arrived.environ
    name, path = get_script_name(environ), get_path_info(environ) or "/"
    return _arrival(environ, environ.get("wsgi.url_scheme"), name, path, body=arrived.body)


def _arrival(meta: Mapping[str, Any], scheme: str | None, script_name: str, path: str, **more: Any) -> Arrival:
    return Arrival(
        meta=meta,
        scheme=scheme or "http",
        method=meta.get("REQUEST_METHOD", "GET").upper(),
        script_name=script_name,
        path=path,
        query=text(meta, "QUERY_STRING"),
        **more,
    )


def aim(request: HttpRequest, dialect: Dialect, call: Call) -> tuple[str, str]:
    """(path, raw query) that the synchronous call meant by ``call`` would have come with.

    ``call`` is what the middlewares have left of it. Raises CallChanged where the trigger was not to be seen before.
    """
    came = of(request)
    path, _ = dialect.target(call)
    _, query = dialect.target(dataclasses.replace(call, query=came.query))
    if path == call.path:
        return came.path, query
    if not came.path.endswith(call.path):
        raise CallChanged
    return came.path.removesuffix(call.path) + path, query


def point(request: HttpRequest, path: str, query: str) -> None:
    """Let ``request`` be one of this path and raw query."""
    request.path_info = request.META["PATH_INFO"] = path
    request.path = f"{request.META.get('SCRIPT_NAME', '').rstrip('/')}/{path.replace('/', '', 1)}"  # as Django has it
    request.META["QUERY_STRING"] = query
    request.__dict__.pop("GET", None)  # cached, if an earlier middleware looked at it
