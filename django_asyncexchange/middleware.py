"""Notices that a client wants its answer later, and takes the call over. Must be the last entry of MIDDLEWARE.

``__call__`` only asks the dialects; a call that is not for us passes untouched, without a query and without reading its
body. Our own work happens in ``process_view``: after URL resolution, sessions, authentication and the CSRF check.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import IO, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from . import admission, http, identity, lifecycle, rendering
from .conf import conf
from .dialects.base import Dialect
from .exceptions import AsyncExchangeError, InternalError, RequestTooLarge, RouteNotFound
from .exceptions import PermissionDenied as Forbidden
from .messages import Call

logger = logging.getLogger("django_asyncexchange")


class Submission:
    """A call that one of the dialects claims, on its way to ``process_view``."""

    def __init__(self, dialect: Dialect, call: Call, url: str, method: str) -> None:
        self.dialect = dialect
        self.call = call
        self.url = url
        self.method = method
        self.body: IO[bytes] | None = None
        self.is_answered = False

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.body is not None:
            self.body.close()

    def chunks(self) -> Iterator[bytes]:
        """The body, from its start."""
        if self.body is not None:
            self.body.seek(0)
            yield from iter(partial(self.body.read, http.SPOOL), b"")


class AsyncExchangeMiddleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self.__acall__(request)
        submission = detect(request)
        if submission is None:
            return self.get_response(request)  # type: ignore[no-any-return]
        with submission:
            return prepare(request, submission) or late(request, submission, self.get_response(request))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        submission = detect(request)
        if submission is None:
            return await self.get_response(request)  # type: ignore[no-any-return]
        with submission:
            return prepare(request, submission) or late(request, submission, await self.get_response(request))

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        submission: Submission | None = getattr(request, "_asyncexchange", None)
        if submission is None:
            return None
        submission.is_answered = True
        try:
            return accept(request, submission, view_func, view_args, view_kwargs)
        except AsyncExchangeError as error:
            return problem(request, submission, error)
        except (PermissionDenied, SuspiciousOperation, Http404):
            raise  # the view's own refusal: Django words it
        except Exception:
            logger.exception("an asynchronous call could not be accepted")
            got_request_exception.send(sender=type(self), request=request)
            return problem(request, submission, InternalError())


def detect(request: HttpRequest) -> Submission | None:
    """The dialect that claims ``request``, if any. Asked of every request of the project."""
    if getattr(request, "async_task", None) is not None:
        return None  # this is the deferred run itself
    request.async_task = None  # type: ignore[attr-defined]
    meta = request.META
    call = Call(
        method=request.method or "",
        path=request.path_info,
        query=meta.get("QUERY_STRING", ""),
        header=lambda name: meta.get("HTTP_" + name.upper().replace("-", "_"), ""),
    )
    claiming = [mount for mount in conf.mounts if mount.covers(call.path) and mount.wants_async(call)]
    if not claiming:
        return None
    dialect = next((mount for mount in claiming if mount.METHODS is None or call.method in mount.METHODS), claiming[0])
    return Submission(dialect, call, request.build_absolute_uri(), call.method)


def prepare(request: HttpRequest, submission: Submission) -> HttpResponseBase | None:
    """Turn a claimed request into the synchronous call that it means, its body kept; or refuse it at once."""
    path, query = submission.dialect.target(submission.call)
    request.path_info = request.META["PATH_INFO"] = path
    request.path = f"{request.META.get('SCRIPT_NAME', '').rstrip('/')}{path}"
    request.META["QUERY_STRING"] = query
    request.__dict__.pop("GET", None)  # cached, if an earlier middleware looked at it
    try:
        submission.body = http.spool(request)
    except http.RequestBodyTooLarge:
        return problem(request, submission, RequestTooLarge(limit=conf.MAX_REQUEST_BYTES))
    request._asyncexchange = submission  # type: ignore[attr-defined]
    return None


def accept(
    request: HttpRequest, submission: Submission, view_func: Callable[..., Any], args: Any, kwargs: Any
) -> HttpResponseBase:
    """Admit, capture, store; the 202 or the view's own refusal."""
    dialect = submission.dialect
    admission.require_eligible(request, view_func, dialect)
    dialect.admit(submission.call)
    refused, seen = admission.refusal(request, view_func, args, kwargs)
    if refused is not None:
        return refused
    task = lifecycle.submit(
        http.capture(request),
        submission.chunks(),
        method=submission.method,
        url=submission.url,
        dialect=dialect,
        identity=identity.capture(seen),
    )
    return http.respond(dialect.accepted(task.snapshot(), rendering.context(request, dialect)))


def late(request: HttpRequest, submission: Submission, response: HttpResponseBase) -> HttpResponseBase:
    """Word what was refused before ``process_view`` (no such address, CSRF) as the dialect would."""
    if submission.is_answered or response.status_code < 400:
        return response
    refusals: dict[int, type[AsyncExchangeError]] = {404: RouteNotFound, 403: Forbidden}
    if response.status_code not in refusals:
        return response
    response.close()
    return problem(request, submission, refusals[response.status_code]())


def problem(request: HttpRequest, submission: Submission, error: AsyncExchangeError) -> HttpResponseBase:
    return http.respond(rendering.problem(request, submission.dialect, error))
