"""Django Ninja, whose operations authenticate by themselves: asked at the submit, at the run and at the polls.

At the submit an authenticator is asked a second time, without what is not kept of a call (``Authorization``, cookies).
If it says the same, as for an API key in a header or in the query, the run is asked again as any call is. If not, what
it has found is remembered, and the run is given that; who cannot be remembered is not accepted.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import get_resolver, get_urlconf
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication

from .. import exceptions
from ..conf import conf
from ..identity import callers, lookups, restore, snapshot
from ..identity.callers import HOLDER, Holder
from ..protocol import header_rules
from ..store import db_retry

View = Callable[..., Any]
PLACES = {"header": "headers", "query": "GET", "cookie": "COOKIES"}
"""``in`` of an API key (OpenAPI) → the request's attribute."""
CHALLENGES = {"bearer": "Bearer", "basic": 'Basic realm="api"'}
"""Scheme of an authenticator (OpenAPI) → ``WWW-Authenticate``."""
READY = "async_exchange_ready"
"""Attribute of an operation that knows deferred runs."""


def view_of(view_func: Any) -> Any:
    """Ninja's own view (``PathView``) behind ``view_func``, whatever decorates it; None where there is none."""
    while isinstance(view_func, types.FunctionType):
        for cell in view_func.__closure__ or ():
            with suppress(ValueError):  # of a variable that is gone
                if type(cell.cell_contents).__module__ == "ninja.operation":
                    return cell.cell_contents
        view_func = getattr(view_func, "__wrapped__", None)
    return None


def written(request: HttpRequest, view_func: Any) -> View | None:
    """The function that was written for the operation of ``request``, below Ninja's decorators."""
    view = view_of(view_func)
    operation = view._find_operation(request) if view is not None else None
    return operation.view_func if operation is not None else None


# At the submit --------------------------------------------------------------------------------------------------------


def refusal(
    request: HttpRequest, view: Any, *, is_throttled: bool
) -> tuple[HttpResponseBase | None, snapshot.Identity | None]:
    """(what Ninja would refuse before the operation's own code, None), or (None, who calls)."""
    operation = view._find_operation(request)
    if operation is None:
        return view._not_allowed(), None
    refused = asked(request, operation)
    if refused is not None:
        return refused, None
    who = snapshot.capture(request)  # before a throttle has counted a call that may be left to the view
    return (operation._check_throttles(request) if is_throttled else None), who


def asked(request: Any, operation: Any) -> HttpResponseBase | None:
    """Ask the operation's authenticators in their order, and note who has passed; or their refusal."""
    if operation.csrf_exempt:
        request._ninja_csrf_exempt = True
    if not operation.auth_callbacks:
        return None
    for authenticator in operation.auth_callbacks:
        try:
            found = _said(authenticator, request)
        except Exception as error:
            refused: HttpResponseBase = operation.api.on_exception(request, error)
            return refused
        if found:
            request.auth = found
            setattr(request, HOLDER, _holder(authenticator, request, found))
            return None
    return _unknown(request, operation)


def _unknown(request: Any, operation: Any) -> HttpResponseBase:
    refused: HttpResponseBase = operation.api.on_exception(request, import_string("ninja.errors.AuthenticationError")())
    return refused


def _said(authenticator: View, request: Any) -> Any:
    found = authenticator(request)
    return async_to_sync(_awaited)(found) if inspect.isawaitable(found) else found


async def _awaited(found: Any) -> Any:
    return await found


def _holder(authenticator: View, request: Any, found: Any) -> Holder:
    return Holder(
        authenticator=_name(authenticator),
        found=found,
        key=_key(authenticator, request),
        is_repeatable=getattr(request, "async_task", None) is not None or _says_so_again(authenticator, request, found),
    )


def _name(authenticator: Any) -> str:
    named = authenticator if inspect.isroutine(authenticator) else type(authenticator)
    return f"{named.__module__}.{named.__qualname__}"


def _key(authenticator: Any, request: Any) -> str:
    """The credential that ``authenticator`` has read."""
    if place := PLACES.get(getattr(authenticator, "openapi_in", "")):
        return getattr(request, place).get(authenticator.param_name) or ""
    said: str = request.headers.get(getattr(authenticator, "header", None) or "") or ""
    if hasattr(authenticator, "decode_authorization"):  # Basic
        return ":".join(authenticator.decode_authorization(said))
    return said.partition(" ")[2] or said


def _says_so_again(authenticator: View, request: HttpRequest, found: Any) -> bool:
    """Whether ``authenticator`` would say the same in a run."""
    try:
        again = _said(authenticator, _as_in_a_run(request))
    except db_retry.UNAVAILABLE:
        raise
    except Exception:
        return False
    return bool(again) and (again == found or (type(again) is type(found) and not lookups.is_row(found)))


def _as_in_a_run(request: HttpRequest) -> Any:
    """``request`` with what a run of it has."""
    bare: Any = copy.copy(request)
    unkept = header_rules.unkept(conf.SECRET_NAMES)
    bare.META = {
        name: said
        for name, said in request.META.items()
        if not (name.startswith("HTTP_") and unkept.match(name[5:].replace("_", "-").lower()))
    }
    bare.META["QUERY_STRING"] = header_rules.without_listed(bare.META.get("QUERY_STRING", ""), conf.SECRET_NAMES)
    bare.environ = bare.META  # where WSGI's request looks for cookies and query
    for name in ("headers", "COOKIES", "GET"):
        bare.__dict__.pop(name, None)
    bare.session = SessionBase()
    bare._dont_enforce_csrf_checks = True
    return bare


# At the run -----------------------------------------------------------------------------------------------------------


def prepare(request: HttpRequest, view_func: Any) -> None:
    """Let the operation that ``request`` leads to know deferred runs. Throttles have fired at the submit."""
    view = view_of(view_func)
    operation = None if view is None else view._find_operation(request)
    if operation is None or hasattr(operation, READY):
        return
    authenticate, check_throttles = operation._run_authentication, operation._check_throttles

    def run_authentication(request: Any) -> Any:
        return _proven(request, operation) if _is_run(request) else authenticate(request)

    async def arun_authentication(request: Any) -> Any:
        return await (sync_to_async(_proven)(request, operation) if _is_run(request) else authenticate(request))

    operation._run_authentication = arun_authentication if operation.is_async else run_authentication
    operation._check_throttles = lambda request: None if _is_run(request) else check_throttles(request)
    setattr(operation, READY, True)


def _is_run(request: Any) -> bool:
    return getattr(request, "async_task", None) is not None


def _proven(request: Any, operation: Any) -> HttpResponseBase | None:
    """No more than the submit has proved: the same caller, by the same authenticator, asked anew if it can be."""
    who: snapshot.Identity = request._asyncexchange_who
    if not who.authenticator:
        return asked(request, operation)
    if who.authenticator not in map(_name, operation.auth_callbacks):
        return _unknown(request, operation)
    _, found = request._asyncexchange_owner
    if found is not None:
        request.auth = found
        return None
    refused = asked(request, operation)
    return _unknown(request, operation) if refused is None and not restore.is_same(who, request) else refused


# At the polls ---------------------------------------------------------------------------------------------------------


class KeyAuthentication(BaseAuthentication):
    """For the task addresses: whoever the authenticators of the project's operations know, where there is no user."""

    is_meant = False
    """Whether a key is asked for although there is a user."""
    account: str | None = None
    """Whose task is asked for, where it is one: whoever of several knows the credential as theirs is heard."""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        bare = request._request
        user = getattr(bare, "user", None)
        if getattr(user, "is_authenticated", False) and not self.is_meant:
            return None
        forged: exceptions.CsrfFailed | None = None
        known: Holder | None = None
        for authenticator in authenticators():
            try:
                found = _said(authenticator, bare)
            except db_retry.UNAVAILABLE:
                raise
            except Exception as error:  # a refusal of one that the caller may not have meant
                if _is_forged(error, authenticator, bare):
                    forged = exceptions.CsrfFailed(reason=str(error))
                continue
            if not found or (self.is_meant and found == user):
                continue
            holder = Holder(authenticator=_name(authenticator), found=found, key=_key(authenticator, bare))
            account = _account_of(bare, holder)
            if account is not None and (known is None or account == self.account):
                known = holder
            if known is not None and self.account in (None, account):
                break
        if known is None and forged is not None:
            raise forged
        if known is None:
            return None
        setattr(bare, HOLDER, known)
        bare.auth = known.found
        return AnonymousUser(), known.found

    def authenticate_header(self, request: Any) -> Any:
        schemes = (getattr(each, "openapi_scheme", None) for each in authenticators())
        return ", ".join(dict.fromkeys(CHALLENGES[scheme] for scheme in schemes if scheme in CHALLENGES)) or None


def _account_of(request: HttpRequest, holder: Holder) -> str | None:
    """Whose tasks ``holder`` may read; None for a stranger."""
    asked: Any = copy.copy(request)
    asked.user, asked.auth = AnonymousUser(), holder.found
    setattr(asked, HOLDER, holder)
    return None if callers.caller(asked).kind is callers.Kind.STRANGER else callers.owner(asked).account


def _is_forged(error: Exception, authenticator: Any, request: Any) -> bool:
    """Whether a cookie was refused because of the CSRF check, which is made before anybody looks for the cookie."""
    is_cookie = getattr(authenticator, "openapi_in", "") == "cookie" and authenticator.param_name in request.COOKIES
    return is_cookie and getattr(error, "status_code", None) == 403


def authenticators() -> tuple[View, ...]:
    """Those of all operations of the project, each once."""
    return _authenticators(get_urlconf() or conf.project("ROOT_URLCONF"))


@functools.cache
def _authenticators(urlconf: Any) -> tuple[View, ...]:
    views = filter(None, map(view_of, _callbacks(get_resolver(urlconf).url_patterns)))
    operations = (operation for view in views for operation in view.operations)
    return tuple({id(each): each for operation in operations for each in operation.auth_callbacks}.values())


def _callbacks(patterns: Any) -> Iterator[Any]:
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _callbacks(pattern.url_patterns)
        else:
            yield pattern.callback
