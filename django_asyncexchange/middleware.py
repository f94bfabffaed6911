"""The middleware that accepts calls to be answered later. It must be the last entry of MIDDLEWARE.

``__call__`` asks the dialects whether one of them claims the request. Other requests pass unchanged, without a query,
and their body is not read. A claimed request is accepted in ``process_view``: after sessions, authentication, URL
resolution and the CSRF check. So is a request whose view has patience. At the end ``__call__`` waits, where the request
has a hold.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from . import configuration
from .conf import conf, urlconf
from .dialects.base import Dialect
from .exceptions import (
    AsyncExchangeError,
    CallChanged,
    InternalError,
    NotConfigured,
    RequestTooLarge,
    RouteNotFound,
    SubmitFailed,
)
from .exceptions import PermissionDenied as Forbidden
from .identity import snapshot
from .intake import admission, arrival, capture, cookies, csrf, intents, patience
from .intake.intents import Intent
from .protocol import log_once
from .responses import accepted, holds, http, http_caches, render_context
from .run_context import run_of
from .store import db_retry
from .tasks import estimates, held_calls, presence, waiting
from .tasks.submit import RETRY_AFTER, Submission, submit

logger = logging.getLogger("django_asyncexchange")


class AsyncExchangeMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        configuration.require_usable()
        arrival.connect()
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.__acall__(request)
        intent = detect(request)
        refused = prepare(request, intent) if intent is not None else None
        response = refused or refused_earlier(request, intent, self.get_response(request))
        hold = holds.of(request)
        if hold is None:
            return accepted.varied(request, response)
        task = hold.end(accepted.spared(partial(waiting.until_final, hold.task_id, hold.seconds)))
        if hold.answer is None:
            again: HttpResponseBase = self.get_response(request)
            return again
        return accepted.spared(partial(hold.answer, task)) or accepted.varied(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        intent = detect(request)
        refused = prepare(request, intent) if intent is not None else None
        response = refused or refused_earlier(request, intent, await self.get_response(request))
        hold = holds.of(request)
        if hold is None:
            return accepted.varied(request, response)
        task = hold.end(await accepted.aspared(waiting.auntil_final(hold.task_id, hold.seconds)))
        if hold.answer is None:
            again: HttpResponseBase = await self.get_response(request)
            return again
        answer = await sync_to_async(accepted.spared)(partial(hold.answer, task))
        return answer or accepted.varied(request, response)

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        preferring = admission.eligible(request, view_func, conf.optional_mounts)
        request.__dict__["_varies"] = bool(preferring)
        intent = intents.of(request) or patient_intent(request, view_func, preferring)
        if intent is None:
            return None
        intent.is_answered = True
        try:
            if intent.dialect.OPTIONAL and not intent.patience:
                claiming = (mount for mount in preferring if mount.covers(intent.call.path))
                chosen = next((mount for mount in claiming if mount.wants_async(intent.call)), None)
                if chosen is None:
                    return None
                intent.dialect = chosen
            return accept(request, intent, view_func, view_args, view_kwargs)
        except ImproperlyConfigured as error:
            return not_configured(request, intent, error)
        except AsyncExchangeError as error:
            if intent.is_ignored_after(request, error):
                capture.reread(request)
                return None
            return error_response(request, intent, error)
        except (PermissionDenied, SuspiciousOperation, Http404):
            raise  # the view's own refusal: Django answers it
        except Exception as error:
            refused = unexpected(request, intent, error)
            if intent.is_ignored_after(request, error):
                capture.reread(request)
                return None
            return refused


def patient_intent(request: HttpRequest, view_func: Callable[..., Any], mounts: Sequence[Dialect]) -> Intent | None:
    """The intent for a call that no dialect claims, of a view with patience; None if it runs at once.

    ``mounts``: those whose trigger is a preference, and in which the view is eligible.
    """
    if not mounts or run_of(request) is not None:
        return None
    seconds = patience.of(request, view_func, mounts[0])
    if seconds <= 0 or not accepted.spared(presence.is_in_sight):
        return None
    prepare(request, Intent(mounts[0], intents.call_of(request), request.build_absolute_uri(), seconds))
    return intents.of(request)


def detect(request: HttpRequest) -> Intent | None:
    """The dialect that claims ``request``, if any. Called for every request of the project."""
    if run_of(request) is not None:
        return None  # this is a run
    request.async_task = None  # type: ignore[attr-defined]
    meta, path = request.META, request.path_info
    mounts = [mount for mount in conf.mounts if mount.may_want_async(path, meta)]
    if not mounts:
        return None
    call = intents.call_of(request)
    claiming = [mount for mount in mounts if mount.wants_async(call)]
    if not claiming:
        return None
    dialect = next((mount for mount in claiming if mount.METHODS is None or call.method in mount.METHODS), claiming[0])
    return Intent(dialect, call, request.build_absolute_uri())


def prepare(request: HttpRequest, intent: Intent) -> HttpResponseBase | None:
    """Turn a claimed request into the synchronous call that is meant, and record its body; or refuse it."""
    target = intent.dialect.target(intent.call)
    if target != (intent.call.path, intent.call.query):
        arrival.set_target(request, *target)
    try:
        intent.target = arrival.target(request, intent.dialect, intent.call)
        intent.body = capture.spool(request)
    except (RequestTooLarge, CallChanged) as error:
        if intent.dialect.OPTIONAL:
            return None  # a preference that cannot be met is ignored (RFC 7240 section 2)
        logger.warning("an asynchronous call is refused: %s", error)
        return error_response(request, intent, error)
    intents.put(request, intent)
    return None


def accept(
    request: HttpRequest, intent: Intent, view_func: Callable[..., Any], args: Any, kwargs: Any
) -> HttpResponseBase | None:
    """Check, capture and store the call. Returns the 202, or the view's own refusal."""
    dialect, call = intent.dialect, intent.call
    admission.require_eligible(request, view_func, dialect)
    configuration.require_usable()
    configuration.require_executor()
    urlconf.require_reachable(dialect)
    dialect.admit(call)
    refused, who = admission.refusal(request, view_func, args, kwargs, dialect)
    if refused is not None or who is None:
        return refused
    context = render_context.context(request, dialect)
    captured = csrf.add_to(snapshot.add_to(capture.capture(request, intent.target), who), request)
    wanted = Submission(
        call=cookies.add_to(captured, request, intent.patience),
        method=call.method,
        url=intent.url,
        base=context.base,
        dialect=dialect,
        identity=who,
        retention=admission.retention(request, view_func),
        is_repeatable=admission.is_repeatable(request, view_func),
        callback=admission.callback(dialect, call),
        muted=dialect.muted(call),
        idempotency_key=admission.idempotency_key(call),
    )
    http_caches.keep_out(request)
    task, again = submit(wanted, intent.chunks())
    held_calls.hold(request, intent, wanted.call, task, again=again)
    capture.reread(request)
    request.__dict__["_varies"] = True  # the client's ``wait`` changes the response
    context = context if again else estimates.add_to(context, task, dialect)
    response = http.respond(dialect.accepted(task.snapshot(), context))
    if again:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def refused_earlier(request: HttpRequest, intent: Intent | None, response: HttpResponseBase) -> HttpResponseBase:
    """Convert a refusal from before ``process_view`` (unknown address, CSRF) to the error of the claiming dialect."""
    if intent is None:
        return response
    arrival.set_target(request, intent.call.path, intent.call.query)  # APPEND_SLASH has to keep the trigger
    refusals: dict[int, type[AsyncExchangeError]] = {404: RouteNotFound, 403: Forbidden}
    if intent.is_answered or intent.dialect.OPTIONAL or response.status_code not in refusals:
        return response
    response.close()
    return error_response(request, intent, refusals[response.status_code]())


def not_configured(request: HttpRequest, intent: Intent, error: ImproperlyConfigured) -> HttpResponseBase | None:
    """Refuse a call that could not be run, or whose result could not be read; ignore a preference."""
    log_once.once(f"no call is accepted for later: {error}")
    if intent.dialect.OPTIONAL:
        capture.reread(request)
        return None
    return error_response(request, intent, NotConfigured())


def unexpected(request: HttpRequest, intent: Intent, error: Exception) -> HttpResponseBase:
    """The dialect's 500 for an unexpected error, which is reported as Django reports those of views.

    If the database is away, the dialect's 503: the client may try again.
    """
    logger.error("an asynchronous call could not be accepted: %s", error.__doc__, exc_info=error)
    got_request_exception.send(sender=AsyncExchangeMiddleware, request=request)
    is_away = isinstance(error, db_retry.UNAVAILABLE)
    return error_response(request, intent, SubmitFailed(headers=RETRY_AFTER) if is_away else InternalError())


def error_response(request: HttpRequest, intent: Intent, error: AsyncExchangeError) -> HttpResponseBase:
    return http.respond(render_context.problem(request, intent.dialect, error))
