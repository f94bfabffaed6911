"""What every address of a dialect has in common: authentication and permissions are DRF's, the words the dialect's."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from django.core.signals import got_request_exception
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.views import APIView

from . import callers, exceptions, http, httpcaches, ninja, outages, rendering
from .conf import conf
from .dialects.base import Dialect, Route
from .submission import RETRY_AFTER

logger = logging.getLogger("django_asyncexchange")

REFUSALS: Mapping[type[Exception], type[exceptions.AsyncExchangeError]] = {
    drf.NotAuthenticated: exceptions.NotAuthenticated,
    drf.AuthenticationFailed: exceptions.NotAuthenticated,
    drf.PermissionDenied: exceptions.PermissionDenied,
    drf.MethodNotAllowed: exceptions.MethodNotAllowed,
    drf.NotAcceptable: exceptions.NotAcceptable,
    drf.Throttled: exceptions.Throttled,
    drf.ParseError: exceptions.RequestMalformed,
    Http404: exceptions.RouteNotFound,
}
"""What the framework raises → what a dialect words."""


def key_of(id: str) -> uuid.UUID:
    """The primary key named by ``id``. One spelling only: ``uuid.UUID`` itself takes hyphens anywhere."""
    with suppress(ValueError):
        key = uuid.UUID(id)
        if str(key) == id.lower():
            return key
    raise exceptions.MalformedId(id=id)


class AnyMediaType(BaseContentNegotiation):
    """The dialect decides what is sent; no ``Accept`` header is refused."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class IsKnown(BasePermission):
    """For whoever could have submitted a call under a name: DRF's own asks for a user, which an application is not."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return callers.is_known(request)


class Endpoint(APIView):
    """One address of one dialect. ``verbs`` gives, by HTTP method, the name of the route in ``routes``."""

    content_negotiation_class = AnyMediaType
    dialect: Dialect = None  # type: ignore[assignment]  # given by as_view
    routes: Mapping[str, Route] = MappingProxyType({})
    verbs: Mapping[str, str] = MappingProxyType({})

    async_exchange = False  # polling later would never end
    http_method_names = [name for name in APIView.http_method_names if name != "options"]
    """DRF's own answer to OPTIONS is in no dialect's words, and would be 200 at addresses that do not exist."""

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        httpcaches.keep_out(request)
        for method, name in self.verbs.items():
            setattr(self, method.lower(), getattr(self, self.routes[name].verb or name))
        if "GET" in self.verbs:
            self.head = self.get  # type: ignore[attr-defined]  # just set

    @property
    def is_public(self) -> bool:
        """Whether the address itself proves the right to it. An empty address, which serves nothing, does not."""
        return bool(self.verbs) and all(self.routes[name].public for name in self.verbs.values())

    def get_authenticators(self) -> Any:
        # A client may send its credentials along to the file's address, valid there or not: they are not looked at.
        if self.is_public:
            return []
        others = super().get_authenticators()
        return [ninja.KeyAuthentication(others), *others] if ninja.authenticators() else others

    def get_permissions(self) -> Any:
        if self.is_public or conf.ALLOW_ANONYMOUS:
            return [AllowAny()]
        return [IsKnown(), *super().get_permissions()]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None of DRF's own: a replayed answer carries exactly the stored headers."""
        return {}

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.verbs:
            raise exceptions.RouteNotFound
        return super().http_method_not_allowed(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Any:
        return http.respond(rendering.problem(self.request, self.dialect, self.refusal(exc)))

    def refusal(self, exc: Exception) -> exceptions.AsyncExchangeError:
        """``exc`` as one of ours; an unexpected one is reported as Django reports it, and answered with a 500.

        A database that is away is no mistake of ours, and a client that asks again as long as it is told so, succeeds.
        """
        if isinstance(exc, exceptions.AsyncExchangeError):
            return exc
        cls = next((ours for theirs, ours in REFUSALS.items() if isinstance(exc, theirs)), None)
        if cls is None:
            logger.error("a task endpoint failed", exc_info=exc)
            got_request_exception.send(sender=type(self), request=self.request)
            is_away = isinstance(exc, outages.AWAY)
            return exceptions.Unavailable(headers=RETRY_AFTER) if is_away else exceptions.InternalError()
        headers = []
        if cls is exceptions.NotAuthenticated and (challenge := self.get_authenticate_header(self.request)):
            headers.append(("WWW-Authenticate", challenge))
        if cls is exceptions.MethodNotAllowed:
            headers.append(("Allow", ", ".join(sorted(self.verbs))))
        if cls is exceptions.Throttled and getattr(exc, "wait", None):
            headers.append(("Retry-After", str(max(1, int(exc.wait)))))  # type: ignore[attr-defined]
        return cls(headers=tuple(headers))
