"""Django's handler, for requests that no server has received."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import set_script_prefix, set_urlconf
from rest_framework.views import APIView

from ..intake import admission, ninja
from ..responses import http
from . import run_request, run_session

if TYPE_CHECKING:
    Base = BaseHandler
else:
    Base = object

SPARING = "async_exchange_sparing"
"""Attribute of a view class's throttle check that knows deferred runs."""


class Spared(Base):
    """What a run's handler does otherwise than Django's."""

    def resolve_request(self, request: HttpRequest) -> Any:
        match = super().resolve_request(request)
        spare_throttles(match.func)
        ninja.prepare(request, match.func)
        return match


class Handler(Spared, BaseHandler):
    """Django's handler, without a server around it."""

    def __call__(self, request: HttpRequest) -> Any:
        signals.request_started.send(sender=type(self), environ=request.META)
        set_script_prefix(request.META["SCRIPT_NAME"] or "/")
        set_urlconf(None)
        return http.decompressed(self.get_response(request))

    def _get_response(self, request: HttpRequest) -> Any:
        """Django's own, behind the last middleware; the view does not run where its owner may not act any more."""
        if not run_request.stands(request):
            return HttpResponse(status=401)
        with run_session.refusing(request):
            try:
                return super()._get_response(request)  # type: ignore[misc]
            finally:
                _forget_codings(request)


class AsyncHandler(Spared, ASGIHandler):
    """The same for a call that came by ASGI."""

    async def __call__(self, request: ASGIRequest) -> Any:  # type: ignore[override]
        set_script_prefix(get_script_prefix(request.scope))
        await signals.request_started.asend(sender=type(self), scope=request.scope)
        return http.decompressed(await self.run_get_response(request))

    async def _get_response_async(self, request: HttpRequest) -> Any:
        if not await sync_to_async(run_request.stands)(request):
            return HttpResponse(status=401)
        with run_session.refusing(request):
            try:
                return await super()._get_response_async(request)  # type: ignore[misc]
            finally:
                _forget_codings(request)


def _forget_codings(request: HttpRequest) -> None:
    """No middleware has to compress what is stored as it is."""
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    request.__dict__.pop("headers", None)


def spare_throttles(view_func: Callable[..., Any]) -> None:
    """Let the DRF view behind ``view_func`` skip its throttles in a deferred run: they have fired at submit.

    DRF asks the view class alone, and a URLconf may wrap the view any number of times, so the class itself learns to
    look at the request, once; every ordinary request is throttled as before.
    """
    cls = admission.view_class(view_func)
    if not (isinstance(cls, type) and issubclass(cls, APIView)) or hasattr(cls.check_throttles, SPARING):
        return
    check: Any = cls.check_throttles

    @wraps(check)
    def check_throttles(self: Any, request: Any) -> None:
        if getattr(request, "async_task", None) is None:
            check(self, request)

    setattr(check_throttles, SPARING, True)
    cls.check_throttles = check_throttles  # type: ignore[method-assign]


@cache
def handler() -> Handler:
    """This process's handler, its middleware loaded once."""
    ready = Handler()
    ready.load_middleware()
    return ready


@cache
def async_handler() -> AsyncHandler:
    """The other one. Django's loads its middleware when it is made."""
    return AsyncHandler()


@receiver(signals.setting_changed, dispatch_uid="django_asyncexchange.worker.handlers")
def forget(**kwargs: Any) -> None:
    """Load it again, where a test overrides what it was made of."""
    handler.cache_clear()
    async_handler.cache_clear()
