"""The response to an accepted call after its hold: the result itself where there is one, or where to wait for it."""

from __future__ import annotations

import dataclasses
from functools import partial

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import parse_http_date_safe

from ..conf import conf
from ..dialects.base import NO_STORE, Dialect
from ..dialects.base.results import result_error
from ..intake import cookies as request_cookies
from ..intake import patience
from ..intake.intents import Intent
from ..models import AsyncTask
from ..protocol.values import Replay, Request
from ..responses import cookies, holds, http, raw, render_context
from . import estimates


def hold(request: HttpRequest, intent: Intent, call: Request, accepted: AsyncTask, *, again: bool) -> None:
    """Hold the response for as long as the view, or the client (RFC 7240 section 4.3), is patient.

    ``again``: ``accepted`` was submitted before, under the same idempotency key.
    """
    dialect, task_id = intent.dialect, accepted.pk
    if intent.patience:
        patient = partial(_patient, request, dialect, call, accepted, again)
        holds.put(request, holds.Hold(task_id, intent.patience, patient))
    elif seconds := min(patience.wanted_wait(request), conf.MAX_WAIT_SECONDS):
        early = partial(_early, request, seconds=seconds, is_preferred=dialect.OPTIONAL)
        holds.put(request, holds.Hold(task_id, seconds, early))


def _patient(
    request: HttpRequest,
    dialect: Dialect,
    call: Request,
    accepted: AsyncTask,
    again: bool,
    task: AsyncTask | None,
) -> HttpResponseBase:
    """The view's own response to a call that did not ask to be answered later; without one, where to wait for it."""
    if task is not None and result_error(task.snapshot(), task.now) is None:
        response = _as_ever(request, task)
        is_caller = not (again and task.is_anonymous)  # anonymous callers may have chosen the same key
        if is_caller and task.response_cookies and _are_taken(task):
            cookies.put(response, request, task.response_cookies)
        return response
    current: AsyncTask = task or AsyncTask.objects.with_now().get(pk=accepted.pk)
    context = render_context.context(request, dialect, now=current.now)
    if "accepted" in dialect.ESTIMATED:
        context = dataclasses.replace(context, estimate=estimates.of(current))
    if patience.redirects(request, dialect):
        is_new = not again and request_cookies.SECRET not in request.META
        if is_new and patience.is_browser(request):
            request_cookies.send_secret(call.csrf_secret, request)  # its result may be a page with a form
        return http.respond(dialect.redirect(current.snapshot(), context, call.patience))
    return http.respond(dialect.accepted(current.snapshot(), context))


def _are_taken(task: AsyncTask) -> bool:
    """Whether this connection is the first to take the cookies of ``task``. Nobody gets them afterwards."""
    return bool(AsyncTask.objects.filter(pk=task.pk).with_cookies().update(response_cookies=""))


def _as_ever(request: HttpRequest, task: AsyncTask) -> HttpResponseBase:
    """The stored response without any addition. The run has not seen the preconditions of ``request``.

    Without a validator none is evaluated, as in Django's ConditionalGetMiddleware.
    """
    response = http.replayed(Replay(defaults=()), task, request, at_own_url=False)
    if response.status_code != 200 or request.method not in ("GET", "HEAD"):
        return response
    etag, modified = response.headers.get("ETag"), parse_http_date_safe(response.headers.get("Last-Modified", ""))
    if not etag and modified is None:
        return response
    return raw.conditional(request, etag, modified, response) or response


def _early(
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
