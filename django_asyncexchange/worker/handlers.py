"""Django's request handlers, for the requests of runs: WSGI's and ASGI's, without a server around them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import set_script_prefix, set_urlconf

from ..intake import ninja
from ..responses import cookies, http
from . import run_request, run_session, throttles

if TYPE_CHECKING:
    Base = BaseHandler
else:
    Base = object


class RunHandlerMixin(Base):
    """What the handlers of runs do besides: the caller is known, and throttles have counted the call."""

    def load_middleware(self, is_async: bool = False) -> None:
        throttles.skip_in_runs()
        super().load_middleware(is_async=is_async)

    def resolve_request(self, request: HttpRequest) -> Any:
        match = super().resolve_request(request)
        ninja.prepare_operation(request, match.func)
        return match


class Handler(RunHandlerMixin, BaseHandler):
    """Handles the run of a call that came by WSGI."""

    def __call__(self, request: HttpRequest) -> Any:
        signals.request_started.send(sender=type(self), environ=request.META)
        set_script_prefix(request.META["SCRIPT_NAME"] or "/")
        set_urlconf(None)
        return http.decompressed(self.get_response(request))

    def _get_response(self, request: HttpRequest) -> Any:
        """Call the view, as Django does behind the last middleware; or answer 401 if the owner may not act any more."""
        if not run_request.is_owner_active(request):
            return HttpResponse(status=401)
        with run_session.refuse_writes(request):
            try:
                return cookies.mark(request, super()._get_response(request))  # type: ignore[misc]
            finally:
                _drop_accept_encoding(request)


class AsyncHandler(RunHandlerMixin, ASGIHandler):
    """Handles the run of a call that came by ASGI."""

    async def __call__(self, request: ASGIRequest) -> Any:  # type: ignore[override]
        set_script_prefix(get_script_prefix(request.scope))
        await signals.request_started.asend(sender=type(self), scope=request.scope)
        return http.decompressed(await self.run_get_response(request))

    async def _get_response_async(self, request: HttpRequest) -> Any:
        if not await sync_to_async(run_request.is_owner_active)(request):
            return HttpResponse(status=401)
        with run_session.refuse_writes(request):
            try:
                return cookies.mark(request, await super()._get_response_async(request))  # type: ignore[misc]
            finally:
                _drop_accept_encoding(request)


def _drop_accept_encoding(request: HttpRequest) -> None:
    """Remove ``Accept-Encoding``: the response is stored as it is, so no middleware may compress it."""
    request.META.pop("HTTP_ACCEPT_ENCODING", None)
    request.__dict__.pop("headers", None)


@cache
def handler() -> Handler:
    """The handler of this process for WSGI, its middleware loaded once."""
    ready = Handler()
    ready.load_middleware()
    return ready


@cache
def async_handler() -> AsyncHandler:
    """The handler of this process for ASGI."""
    return AsyncHandler()  # loads its middleware itself


@receiver(signals.setting_changed, dispatch_uid="django_asyncexchange.worker.handlers")
def forget(**kwargs: Any) -> None:
    """Make new handlers after a test has overridden settings."""
    handler.cache_clear()
    async_handler.cache_clear()
