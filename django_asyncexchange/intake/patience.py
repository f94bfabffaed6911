"""Patience: calls that did not ask for it are accepted as tasks, and held for so many seconds while they run.

A quick call is answered as ever. The client of a slow one is sent to its status address before a proxy gives up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from ..conf import conf
from ..dialects.base import Dialect, prefer_header
from ..exceptions import AsyncExchangeError, IdempotencyKeyReused, NotConfigured, NoWorker, SubmitFailed
from ..protocol import accept
from . import admission, arrival
from .mark_places import attribute

SAFE_METHODS = frozenset({"GET", "HEAD"})
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
"""Media types of what a browser submits."""
NOT_STORED = (NoWorker, NotConfigured)
"""Kinds of SubmitFailed after which nothing can have been stored."""


def of(request: HttpRequest, view_func: Callable[..., Any], dialect: Dialect) -> float:
    """Seconds for which a call without a trigger is held; 0 = it is not accepted for later.

    A client that waits for less long says so by ``Prefer: wait``.
    """
    if not arrival.is_patience_used() or request.method == "OPTIONS":
        return 0.0
    seconds: float | None = attribute(request, view_func, admission.PATIENCE)
    if seconds is None and conf.has_patience:
        seconds = conf.PATIENCE if dialect.policy.patience is None else dialect.policy.patience
    return min(float(seconds), wanted_wait(request) or seconds) if seconds else 0.0


def wanted_wait(request: HttpRequest) -> float:
    """The seconds of ``Prefer: wait``; 0 without it."""
    header = arrival.meta_text(request.META, "HTTP_PREFER")
    return prefer_header.wait_of(header, float("inf")) if header else 0.0


def runs_at_once(request: HttpRequest, error: Exception) -> bool:
    """Whether a call that could not be accepted runs at once instead, as if the view had no patience.

    A key that was used for another request forbids that. So does a failed commit, where the call is not safe: it may
    have been stored, and would run twice.
    """
    if isinstance(error, IdempotencyKeyReused):
        return False
    if isinstance(error, AsyncExchangeError) and (not isinstance(error, SubmitFailed) or isinstance(error, NOT_STORED)):
        return True
    return request.method in SAFE_METHODS


def redirects(request: HttpRequest, dialect: Dialect) -> bool:
    """Whether the client of a slow call is redirected to the status (303), rather than told of it (202).

    By default that are safe methods, and forms of browsers, whose users would see the document of a 202.
    """
    if dialect.policy.after_patience != "auto":
        return dialect.policy.after_patience == "redirect"
    if request.method in SAFE_METHODS:
        return True
    media_type = arrival.meta_text(request.META, "CONTENT_TYPE").partition(";")[0].strip().lower()
    return media_type in FORMS and is_browser(request)


def is_browser(request: HttpRequest) -> bool:
    """Whether the client asks for HTML by name."""
    return "text/html" in accept.ranked(arrival.meta_text(request.META, "HTTP_ACCEPT"))
