"""The response to an accepted call after its hold: the result itself where there is one, or where to wait for it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_http_date_safe

from ..dialects.base import NO_STORE, Dialect
from ..dialects.base.results import result_error
from ..intake import patience
from ..models import AsyncTask
from ..protocol.values import Replay
from . import http, raw, render_context

logger = logging.getLogger("django_asyncexchange")

T = TypeVar("T")


def spared(work: Callable[[], T]) -> T | None:
    """The result of ``work``, or None where it raises: once a call is accepted, its client gets at least the 202."""
    try:
        return work()
    except Exception:
        _give_up()
        return None


async def aspared(work: Awaitable[T]) -> T | None:
    """``spared`` in an event loop."""
    try:
        return await work
    except Exception:
        _give_up()
        return None


def _give_up() -> None:
    logger.exception("an accepted call could not be answered with more than a 202")
    close_old_connections()  # a broken connection would fail the next request too


def patient(
    request: HttpRequest, task_id: uuid.UUID, dialect: Dialect, seconds: float, task: AsyncTask | None
) -> HttpResponseBase:
    """The view's own response to a call that did not ask to be answered later; without one, where to wait for it."""
    if task is not None and result_error(task.snapshot(), task.now) is None:
        return _as_ever(request, task)
    current: AsyncTask = task or AsyncTask.objects.with_now().get(pk=task_id)
    context = render_context.context(request, dialect, now=current.now)
    if patience.redirects(request, dialect):
        return http.respond(dialect.redirect(current.snapshot(), context, seconds))
    return http.respond(dialect.accepted(current.snapshot(), context))


def _as_ever(request: HttpRequest, task: AsyncTask) -> HttpResponseBase:
    """The stored response without any addition. The run has not seen the preconditions of ``request``."""
    response = http.replayed(Replay(defaults=()), task, request, at_own_url=False)
    if response.status_code != 200 or request.method not in ("GET", "HEAD"):
        return response
    modified = parse_http_date_safe(response.headers.get("Last-Modified", ""))
    return raw.conditional(request, response.headers.get("ETag"), modified, response) or response


def early(
    request: HttpRequest, task: AsyncTask | None, *, seconds: float, is_preferred: bool
) -> HttpResponseBase | None:
    """The result, where the client waited for it (``Prefer: wait``) and there is one; otherwise None.

    Caches must not store it under the call's URL, where requests without the preference get something else.
    """
    if task is None or result_error(task.snapshot(), task.now) is not None:
        return None
    preferred = "respond-async, " if is_preferred else ""
    applied = (("Preference-Applied", f"{preferred}wait={seconds:g}"), *NO_STORE)
    return http.replayed(Replay(headers=applied, vary=("Prefer",)), task, request, at_own_url=False)


def varied(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """``response`` with ``Vary: Prefer`` where a preference could have changed it (RFC 7240 section 2)."""
    if request.__dict__.get("_varies"):
        patch_vary_headers(response, ("Prefer",))
    return response
