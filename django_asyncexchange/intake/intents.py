"""An intent: a request that is to be accepted for later, with the dialect that answers it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO

from django.http import HttpRequest

from ..dialects.base import Dialect
from ..protocol.values import Call
from . import admission, arrival, patience

KEY = "_asyncexchange"


class Intent:
    """A request that a dialect claims, or whose view has ``patience``."""

    def __init__(self, dialect: Dialect, call: Call, url: str, patience: float = 0.0) -> None:
        self.dialect = dialect
        self.call = call
        self.url = url
        self.patience = patience
        """Seconds for which a call is held that did not ask to be answered later."""
        self.body: IO[bytes] = io.BytesIO()
        self.target: tuple[str, str] | None = None
        """Path and raw query with which the synchronous call would have arrived."""
        self.is_answered = False

    def close(self) -> None:
        self.body.close()

    def chunks(self) -> Iterator[bytes]:
        """The body, from its start."""
        self.body.seek(0)
        yield from iter(partial(self.body.read, arrival.SPOOL), b"")

    def is_ignored_after(self, request: HttpRequest, error: Exception) -> bool:
        """Whether the view answers at once after ``error`` (RFC 7240 section 2)."""
        if self.patience:
            return patience.runs_at_once(request, error)
        return self.dialect.OPTIONAL and isinstance(error, admission.NOT_ASYNC)


def put(request: HttpRequest, intent: Intent) -> None:
    """Keep ``intent`` with its request, and close it when the response is closed."""
    request.__dict__[KEY] = intent
    request.close = partial(close, request.close, intent)  # type: ignore[method-assign]


def of(request: HttpRequest) -> Intent | None:
    intent: Intent | None = request.__dict__.get(KEY)
    return intent


def close(others: Callable[[], None], intent: Intent) -> None:
    """Close the recorded body when the response is closed: outer middlewares may read it until then."""
    others()
    intent.close()


def call_of(request: HttpRequest) -> Call:
    """``request`` as the value that dialects take."""
    meta = request.META
    return Call(
        method=request.method or "",
        path=request.path_info,
        query=arrival.meta_text(meta, "QUERY_STRING"),
        header=lambda name: arrival.meta_text(meta, "HTTP_" + name.upper().replace("-", "_")),
    )
