"""The base view of all endpoints: DRF's authentication, permissions and throttling, the dialect's error documents."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions as drf
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from .. import exceptions
from ..conf import conf
from ..dialects.base import Dialect, Route
from ..identity import callers
from ..models import AsyncTask
from ..responses import holds, http, http_caches, render_context
from ..store import db_retry
from ..tasks.submit import RETRY_AFTER
from . import authentication

logger = logging.getLogger("django_asyncexchange")

REFUSALS: Mapping[type[Exception], type[exceptions.AsyncExchangeError]] = {
    drf.ParseError: exceptions.RequestMalformed,
    BadRequest: exceptions.RequestMalformed,
    SuspiciousOperation: exceptions.RequestMalformed,
    UnreadablePostError: exceptions.RequestMalformed,
    PermissionDenied: exceptions.PermissionDenied,
    Http404: exceptions.RouteNotFound,
}
"""Exception of Django or DRF → exception of the package."""
STATUSES: Mapping[int, type[exceptions.AsyncExchangeError]] = {
    401: exceptions.NotAuthenticated,
    403: exceptions.PermissionDenied,
    404: exceptions.RouteNotFound,
    405: exceptions.MethodNotAllowed,
    406: exceptions.NotAcceptable,
    429: exceptions.Throttled,
    503: exceptions.Unavailable,
}
"""Status of any other ``APIException`` → exception of the package."""
ERRORS = frozenset(status for status in HTTPStatus if status >= 400)


def key_of(id: str) -> uuid.UUID:
    """Parse ``id`` in the canonical form of a UUID only. Raises MalformedId."""
    with suppress(ValueError):
        key = uuid.UUID(id)
        if str(key) == id.lower():
            return key
    raise exceptions.MalformedId(id=id)


class AnyMediaType(DefaultContentNegotiation):
    """Accept any ``Accept`` header, as the dialect decides what is sent, and any content type."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return super().select_parser(request, parsers) or parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class IsKnown(BasePermission):
    """Like DRF's ``IsAuthenticated``, but for callers that are no users too, such as applications."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return callers.is_known(request)


class CallerRateThrottle(SimpleRateThrottle):
    """Throttle all endpoints together by ``THROTTLE_RATE``; the project's own rates are for its views."""

    scope = "asyncexchange"

    def get_rate(self) -> str | None:
        return conf.THROTTLE_RATE or None

    def get_cache_key(self, request: Any, view: Any) -> str:
        who = render_context.viewer(request)
        ident = self.get_ident(request) if who is None else repr((who.account, who.kind, who.id))
        return self.cache_format % {"scope": self.scope, "ident": hashlib.sha256(ident.encode()).hexdigest()}


class Endpoint(APIView):
    """One endpoint of one dialect. ``verbs`` maps HTTP methods to names of routes in ``routes``.

    DRF's default settings of the project do not apply, because they are meant for the project's views.
    """

    content_negotiation_class = AnyMediaType
    parser_classes: tuple[type[BaseParser], ...] = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    throttle_classes = (CallerRateThrottle,)
    versioning_class = None
    dialect: Dialect = None  # type: ignore[assignment]  # set by as_view
    routes: Mapping[str, Route] = MappingProxyType({})
    verbs: Mapping[str, str] = MappingProxyType({})

    task: AsyncTask | None = None
    """The task of the URL, whether or not the caller may see it."""
    refused: Exception | None = None
    """The refusal of authentication, raised if the caller does not turn out to be the submitter."""

    async_exchange = False  # an asynchronous poll would never end
    http_method_names = [name for name in APIView.http_method_names if name != "options"]
    """DRF's response to OPTIONS is in no dialect's format, and would be 200 at URLs that do not exist."""

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        http_caches.keep_out(request)
        self.user_before = holds.restore_user(request)
        for method, name in self.verbs.items():
            setattr(self, method.lower(), getattr(self, self.routes[name].verb or name))
        if "GET" in self.verbs:
            self.head = self.get  # type: ignore[attr-defined]  # set above

    @property
    def is_public(self) -> bool:
        """Whether the URL is its own authorization (a signed link)."""
        return bool(self.verbs) and all(self.routes[name].public for name in self.verbs.values())

    def get_authenticators(self) -> Any:
        # Clients may send credentials to a signed link too; they are ignored.
        if self.is_public:
            return []
        return [authentication.AnyOf(self)]

    def get_permissions(self) -> Any:
        if self.is_public or conf.ALLOW_ANONYMOUS:
            return [AllowAny()]
        return [IsKnown()]

    def document(self) -> object:
        """The request's body as JSON, whatever its content type. Raises RequestMalformed."""
        try:
            return json.loads(self.request._request.body)
        except (ValueError, RecursionError):
            raise exceptions.RequestMalformed from None

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None of DRF's: a replayed response has exactly the stored headers."""
        return {}

    def check_throttles(self, request: Any) -> None:
        if holds.of(request._request) is None:  # otherwise it was counted before the hold
            super().check_throttles(request)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.verbs:
            raise exceptions.RouteNotFound
        return super().http_method_not_allowed(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Any:
        return http.respond(render_context.problem(self.request, self.dialect, self.refusal(exc)))

    def refusal(self, exc: Exception) -> exceptions.AsyncExchangeError:
        """Convert ``exc`` to an error of the package; an unexpected one is logged and reported by Django's signal.

        An unavailable database is a 503 with ``Retry-After``, anything else unexpected a 500.
        """
        error = exc if isinstance(exc, exceptions.AsyncExchangeError) else as_package_error(exc)
        if error is None:
            logger.error("a task endpoint failed", exc_info=exc)
            got_request_exception.send(sender=type(self), request=self.request)
            is_away = isinstance(exc, db_retry.UNAVAILABLE)
            return exceptions.Unavailable(headers=RETRY_AFTER) if is_away else exceptions.InternalError()
        if isinstance(error, exceptions.NotAuthenticated) and (challenge := self.get_authenticate_header(self.request)):
            error.headers = (("WWW-Authenticate", challenge),)
        if isinstance(error, exceptions.MethodNotAllowed):
            error.headers = (("Allow", ", ".join(sorted(self.verbs))),)
        return error


def as_package_error(exc: Exception) -> exceptions.AsyncExchangeError | None:
    """The package's exception for one of Django, DRF or the project, with its status; None for any other exception."""
    if isinstance(exc, SuspiciousOperation):
        logging.getLogger(f"django.security.{type(exc).__name__}").error("%s", exc, exc_info=exc)
    if cls := next((error for cls, error in REFUSALS.items() if isinstance(exc, cls)), None):
        return cls()
    if not isinstance(exc, drf.APIException) or exc.status_code not in ERRORS:
        return None
    wait = getattr(exc, "wait", None)
    retry = (("Retry-After", str(max(1, int(wait)))),) if wait else ()
    other = exceptions.HttpRefused if exc.status_code < 500 else exceptions.InternalError
    cls = STATUSES.get(exc.status_code, other)
    error = cls(headers=retry or (RETRY_AFTER if cls is exceptions.Unavailable else ()))
    error.status = exc.status_code
    return error
