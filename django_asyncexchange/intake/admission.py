"""Decides whether a call is accepted: eligibility, and the view's own checks of method, authentication and so on.

A refused call gets the view's own 4xx, and nothing is stored. Object permissions and validation need the view itself,
so they are left to the run.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.generics import GenericAPIView
from rest_framework.views import APIView

from ..conf import conf
from ..dialects.base import Dialect
from ..exceptions import (
    AddressRefused,
    CallbackRefused,
    CallerUnknown,
    CallNotStorable,
    IdempotencyKeyMalformed,
    NotAuthenticated,
    NotEligible,
)
from ..identity import snapshot
from ..protocol import address_rules, log_once
from ..protocol.values import Call, Callback
from ..store import db_retry
from . import class_checks, decorator_checks, mark_places, ninja
from .mark_places import attribute, view_class

MARK = "async_exchange"
"""Attribute of a view: whether it may be called asynchronously. True, False, or names of its actions."""
RETENTION = "async_exchange_retention"
"""Attribute of a view: how long the result of a successful call is kept, a ``timedelta``."""
PATIENCE = "async_exchange_patience"
"""Attribute of a view: seconds for which its calls are held, see ``intake.patience``."""
REPEATABLE = "async_exchange_repeatable"
"""Attribute of a view: whether its calls run again after their worker has died."""
AUTH_VIEWS = "django.contrib.auth.views"
ADMIN_VIEWS = frozenset(("django.contrib.admin.sites", name) for name in ("login", "logout", "password_change"))
NOT_ASYNC = (NotAuthenticated, CallerUnknown, CallNotStorable)
"""Errors of calls that cannot be answered later, although their view may answer them now."""
REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
"""Safe methods, which may run twice (RFC 9110 section 9.2.1, RFC 10008)."""


def eligible(request: HttpRequest, view_func: Callable[..., Any], mounts: Sequence[Dialect]) -> Sequence[Dialect]:
    """Those of ``mounts`` in which the view may be called asynchronously."""
    mark = attribute(request, view_func, MARK)
    if mark is None:
        meant = [
            mount for mount in mounts if mount.EVERY_VIEW or _is_listed(request, (*conf.VIEWS, *mount.policy.views))
        ]
        return [] if meant and _logs_in_or_out(view_func) else meant
    if not isinstance(mark, bool):
        places = mark_places.of(view_func, request.method or "")
        has_no_handler = places.handler is None and bool(places.below)
        mark = places.name in mark or has_no_handler  # the view answers 405 to a method that it does not have
    return mounts if mark else ()


def is_eligible(request: HttpRequest, view_func: Callable[..., Any], dialect: Dialect) -> bool:
    """Whether the view may be called asynchronously in ``dialect``."""
    return bool(eligible(request, view_func, (dialect,)))


def _logs_in_or_out(view_func: Callable[..., Any]) -> bool:
    """Whether the view is one of ``django.contrib.auth`` or such a one of the admin: a run keeps no session."""
    cls = mark_places.view_class(view_func)
    if isinstance(cls, type):
        return any(base.__module__ == AUTH_VIEWS for base in cls.__mro__)
    return (getattr(view_func, "__module__", ""), getattr(view_func, "__name__", "")) in ADMIN_VIEWS


def retention(request: HttpRequest, view_func: Callable[..., Any]) -> dt.timedelta | None:
    """How long the result of a successful call is kept; None for the dialect's policy."""
    wanted: dt.timedelta | None = attribute(request, view_func, RETENTION)
    return wanted


def is_repeatable(request: HttpRequest, view_func: Callable[..., Any]) -> bool:
    """Whether the call runs again after its worker has died: the view's attribute, else by its method."""
    wanted = attribute(request, view_func, REPEATABLE)
    return request.method in REPEATABLE_METHODS if wanted is None else bool(wanted)


def _is_listed(request: HttpRequest, names: Sequence[str]) -> bool:
    match = request.resolver_match
    return any(
        fnmatch.fnmatchcase(request.path_info, name) if name.startswith("/") else match and name == match.view_name
        for name in names
    )


def refusal(
    request: HttpRequest, view_func: Callable[..., Any], args: Any, kwargs: Any, dialect: Dialect
) -> tuple[HttpResponseBase | None, snapshot.Identity | None]:
    """(the view's own 4xx, None), or (None, the identity of the caller as the view authenticates it).

    Raises NotAuthenticated or CallerUnknown for a caller who may not, or cannot, be answered later.
    """
    cls = view_class(view_func)
    if what := decorator_checks.missing_credential(request, view_func, cls):
        log_once.once(f"calls of {_name(view_func)} are not accepted: a decorator or mixin of the view needs {what}.")
        raise CallerUnknown
    for place in (view_func, getattr(cls, "dispatch", None)):
        refused = decorator_checks.refusal(request, place, args, kwargs)
        if refused is not None:
            return refused, None
    view_of_ninja = ninja.view_of(view_func)
    if view_of_ninja is not None:
        return ninja.refusal(request, view_of_ninja, is_throttled=dialect.THROTTLED)
    challenge: tuple[tuple[str, str], ...] = ()
    who: snapshot.Identity | None = None
    seen: Any = request
    if isinstance(cls, type) and issubclass(cls, APIView):
        view = _instance(request, view_func, args, kwargs)
        if not dialect.THROTTLED:
            skip_throttles(view)
        seen = view.initialize_request(request, *args, **kwargs)
        who = _capture_before_throttles(seen) if dialect.OPTIONAL else None
        refused = _drf_refusal(view, seen, args, kwargs, validate=dialect.VALIDATES)
        if refused is not None:
            return refused, None
        scheme = view.get_authenticate_header(seen)
        challenge = (("WWW-Authenticate", scheme),) if scheme else ()
    elif cls is not None:
        refused = class_checks.refusal(_instance(request, view_func, args, kwargs), request)
        if refused is not None:
            return refused, None
    return None, who or snapshot.capture(seen, challenge)


def skip_throttles(view: Any) -> None:
    """Have this instance of a DRF view check no throttles; its class is not changed."""
    view.check_throttles = _pass


def _pass(request: Any) -> None:
    """In place of ``APIView.check_throttles``."""


def _name(view: Any) -> str:
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def _capture_before_throttles(request: Any) -> snapshot.Identity:
    """``snapshot.capture()``, before throttles count a call that may be left to the view."""
    before = getattr(request._request, "user", None)
    try:
        try:
            _ = request.user
        except db_retry.UNAVAILABLE:  # the caller is not known: the client may try again
            raise
        except Exception as error:  # the view answers with it
            raise NotAuthenticated from error
        return snapshot.capture(request)
    except NOT_ASYNC:
        request._request.user = before  # DRF has replaced it
        raise


def _instance(request: HttpRequest, view_func: Any, args: Any, kwargs: Any) -> Any:
    """An instance of the view as ``as_view()`` makes it, before its dispatch."""
    initkwargs = getattr(view_func, "initkwargs", None) or getattr(view_func, "view_initkwargs", {})
    view = view_class(view_func)(**initkwargs)
    actions = getattr(view_func, "actions", None)
    if actions:
        view.action_map = actions
        for method, action in actions.items():
            setattr(view, method, getattr(view, action))
    view.setup(request, *args, **kwargs)
    return view


def _drf_refusal(view: Any, request: Any, args: Any, kwargs: Any, *, validate: bool) -> HttpResponseBase | None:
    """The 4xx of DRF before the view's own code: the first half of ``APIView.dispatch()``."""
    view.request, view.headers = request, view.default_response_headers
    try:
        view.initial(request, *args, **kwargs)
        if class_checks.is_method_known(view, request) or class_checks.dispatches_itself(type(view)):
            if validate:
                _validate(view, request)
            return None
        response = view.http_method_not_allowed(request, *args, **kwargs)
    except Exception as error:
        response = view.handle_exception(error)
    response = view.finalize_response(request, response, *args, **kwargs)
    if hasattr(response, "render"):
        response.render()
    refused: HttpResponseBase = response
    return refused


def _validate(view: Any, request: Any) -> None:
    """Raise the view's validation errors, by its ``validate_async()`` or the serializer of a generic view.

    Nothing is saved, and the view validates again in the run.
    """
    if hasattr(view, "validate_async"):
        view.validate_async(request)
    elif isinstance(view, GenericAPIView):
        is_detail = (view.lookup_url_kwarg or view.lookup_field) in view.kwargs
        instance = view.get_object() if is_detail else None
        if request.method != "DELETE":
            serializer = view.get_serializer(instance, data=request.data, partial=request.method == "PATCH")
            serializer.is_valid(raise_exception=True)


def require_eligible(request: HttpRequest, view_func: Callable[..., Any], dialect: Dialect) -> None:
    """Raise NotEligible if the view may not be called asynchronously in ``dialect``."""
    if not is_eligible(request, view_func, dialect):
        raise NotEligible(path=request.path_info)


def idempotency_key(call: Call) -> str:
    """The ``Idempotency-Key`` of the call; ``""`` for none. Raises IdempotencyKeyMalformed."""
    key = call.header("Idempotency-Key")
    if key and not re.fullmatch(r"[!-~]{1,255}", key):
        raise IdempotencyKeyMalformed
    return key


def callback(dialect: Dialect, call: Call) -> Callback | None:
    """Where the end of the call is reported. Raises CallbackRefused for an address that may not be called.

    A preference for such an address is ignored instead (RFC 7240 section 2).
    """
    wanted = dialect.callback(call)
    if wanted is None:
        return None
    try:
        address_rules.check(wanted.url, conf.rules(dialect.policy))
    except AddressRefused as error:
        if dialect.OPTIONAL:
            return None
        raise CallbackRefused from error
    return wanted
