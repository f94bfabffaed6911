"""The context in which a dialect renders: its URL for this request, the time, the client's language, the signer."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils import translation

from ..conf import conf
from ..dialects.base import Dialect
from ..exceptions import AsyncExchangeError
from ..identity import callers
from ..models.timestamps import utc_now
from ..protocol import accept
from ..protocol.values import Context, Owner, Response

LANGUAGES = frozenset({"en", "ru"})
"""Languages of the package's messages."""


def context(
    request: Any,
    dialect: Dialect,
    *,
    now: dt.datetime | None = None,
    viewer: Owner | None = None,
    wait: float = 0.0,
) -> Context:
    """The context for a response to ``request`` in ``dialect``; ``now`` is the database's time where it is compared."""
    path = get_script_prefix().rstrip("/") + dialect.prefix
    language = reader_language(request, dialect)

    def translate(text: str) -> str:
        with translation.override(language):
            return translation.gettext(text)

    return Context(
        base=request.build_absolute_uri(path or "/").rstrip("/"),
        path=path,
        now=now or utc_now(),
        viewer=viewer,
        translate=translate,
        signer=conf.signer("download"),
        accept=request.META.get("HTTP_ACCEPT", ""),
        has_events=isinstance(getattr(request, "_request", request), ASGIRequest) or conf.WSGI_EVENTS,
        wait=wait,
    )


def reader_language(request: HttpRequest, dialect: Dialect) -> str:
    """The most preferred available language of ``Accept-Language``, or the mount's, or the project's."""
    for tag in accept.ranked(request.META.get("HTTP_ACCEPT_LANGUAGE", "")):
        language = tag.partition("-")[0]
        if language in LANGUAGES:
            return language
    return dialect.policy.language or translation.get_language() or "en"


def problem(request: Any, dialect: Dialect, error: AsyncExchangeError) -> Response:
    """The dialect's response to ``error``, in the client's language."""
    return dialect.problem(error, context(request, dialect))


def viewer(request: Any) -> Owner | None:
    """Who sent ``request``, or None for an anonymous caller."""
    return callers.owner(request) if callers.is_known(request) else None
