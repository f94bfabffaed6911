"""Django Ninja: its operations authenticate by themselves, at the submit, in the run, and for the task addresses.

At the submit an authenticator is called a second time, without what is not captured (``Authorization``, cookies). If
the result is the same, as for an API key in another header or in the query, the run is authenticated as any call. If
not, the result is stored and given to the run; a call whose result cannot be stored is not accepted.
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
from ..run_context import run_of
from ..store import db_retry

View = Callable[..., Any]
REQUEST_ATTRIBUTES = {"header": "headers", "query": "GET", "cookie": "COOKIES"}
"""``in`` of an API key (OpenAPI) → attribute of the request."""
CHALLENGES = {"bearer": "Bearer", "basic": 'Basic realm="api"'}
"""Scheme of an authenticator (OpenAPI) → ``WWW-Authenticate``."""
KNOWS_RUNS = "async_exchange_ready"
"""Attribute of an operation that is prepared for runs."""


def view_of(view_func: Any) -> Any:
    """Ninja's ``PathView`` behind ``view_func`` and its decorators; None for other views."""
    while isinstance(view_func, types.FunctionType):
        for cell in view_func.__closure__ or ():
            with suppress(ValueError):  # an empty cell
                if type(cell.cell_contents).__module__ == "ninja.operation":
                    return cell.cell_contents
        view_func = getattr(view_func, "__wrapped__", None)
    return None


def operation_function(request: HttpRequest, view: Any) -> View | None:
    """The project's function for the operation of ``request`` to a ``PathView``, below Ninja's decorators."""
    operation = view._find_operation(request)
    return operation.view_func if operation is not None else None


# At the submit --------------------------------------------------------------------------------------------------------


def refusal(
    request: HttpRequest, view: Any, *, is_throttled: bool
) -> tuple[HttpResponseBase | None, snapshot.Identity | None]:
    """(Ninja's 4xx before the operation's own code, None), or (None, the identity of the caller)."""
    operation = view._find_operation(request)
    if operation is None:
        return view._not_allowed(), None
    refused = run_authenticators(request, operation)
    if refused is not None:
        return refused, None
    who = snapshot.capture(request)  # before throttles count a call that may be left to the view
    return (operation._check_throttles(request) if is_throttled else None), who


def run_authenticators(request: Any, operation: Any) -> HttpResponseBase | None:
    """Call the operation's authenticators in order, and set ``request.auth`` and the ``Holder``; or return the 401."""
    if operation.csrf_exempt:
        request._ninja_csrf_exempt = True
    if not operation.auth_callbacks:
        return None
    for authenticator in operation.auth_callbacks:
        try:
            found = _result(authenticator, request)
        except Exception as error:
            refused: HttpResponseBase = operation.api.on_exception(request, error)
            return refused
        if found:
            request.auth = found
            setattr(request, HOLDER, _holder(authenticator, request, found))
            return None
    return _unauthorized(request, operation)


def _unauthorized(request: Any, operation: Any) -> HttpResponseBase:
    refused: HttpResponseBase = operation.api.on_exception(request, import_string("ninja.errors.AuthenticationError")())
    return refused


def _result(authenticator: View, request: Any) -> Any:
    found = authenticator(request)
    return async_to_sync(_awaited)(found) if inspect.isawaitable(found) else found


async def _awaited(found: Any) -> Any:
    return await found


def _holder(authenticator: View, request: Any, found: Any) -> Holder:
    return Holder(
        authenticator=_name(authenticator),
        found=found,
        key=_key(authenticator, request),
        is_repeatable=run_of(request) is not None or _gives_same(authenticator, request, found),
    )


def _name(authenticator: Any) -> str:
    named = authenticator if inspect.isroutine(authenticator) else type(authenticator)
    return f"{named.__module__}.{named.__qualname__}"


def _key(authenticator: Any, request: Any) -> str:
    """The credential that ``authenticator`` reads from ``request``."""
    if place := REQUEST_ATTRIBUTES.get(getattr(authenticator, "openapi_in", "")):
        return getattr(request, place).get(authenticator.param_name) or ""
    header: str = request.headers.get(getattr(authenticator, "header", None) or "") or ""
    if hasattr(authenticator, "decode_authorization"):  # Basic
        return ":".join(authenticator.decode_authorization(header))
    return header.partition(" ")[2] or header


def _gives_same(authenticator: View, request: HttpRequest, found: Any) -> bool:
    """Whether ``authenticator`` gives the same result in a run."""
    try:
        again = _result(authenticator, _without_credentials(request))
    except db_retry.UNAVAILABLE:
        raise
    except Exception:
        return False
    return bool(again) and (again == found or (type(again) is type(found) and not lookups.is_row(found)))


def _without_credentials(request: HttpRequest) -> Any:
    """A copy of ``request`` with what a run of it has."""
    bare: Any = copy.copy(request)
    unkept = header_rules.unkept(conf.SECRET_NAMES)
    bare.META = {
        name: value
        for name, value in request.META.items()
        if not (name.startswith("HTTP_") and unkept.match(name[5:].replace("_", "-").lower()))
    }
    bare.META["QUERY_STRING"] = header_rules.without_listed(bare.META.get("QUERY_STRING", ""), conf.SECRET_NAMES)
    bare.environ = bare.META  # from which WSGIRequest reads cookies and query
    for name in ("headers", "COOKIES", "GET"):
        bare.__dict__.pop(name, None)
    bare.session = SessionBase()
    bare._dont_enforce_csrf_checks = True
    return bare


# At the run -----------------------------------------------------------------------------------------------------------


def prepare_operation(request: HttpRequest, view_func: Any) -> None:
    """Have the operation of ``request`` authenticate runs by their task, and skip throttles in runs.

    Only this instance is changed. Throttles have counted the call at the submit.
    """
    view = view_of(view_func)
    operation = None if view is None else view._find_operation(request)
    if operation is None or hasattr(operation, KNOWS_RUNS):
        return
    authenticate, check_throttles = operation._run_authentication, operation._check_throttles

    def run_authentication(request: Any) -> Any:
        return authenticate(request) if run_of(request) is None else _authenticate_run(request, operation)

    async def arun_authentication(request: Any) -> Any:
        if run_of(request) is None:
            return await authenticate(request)
        return await sync_to_async(_authenticate_run)(request, operation)

    operation._run_authentication = arun_authentication if operation.is_async else run_authentication
    operation._check_throttles = lambda request: check_throttles(request) if run_of(request) is None else None
    setattr(operation, KNOWS_RUNS, True)


def _authenticate_run(request: Any, operation: Any) -> HttpResponseBase | None:
    """Authenticate a run as the caller of the submit, by the same authenticator, called again if possible."""
    who: snapshot.Identity = request._asyncexchange_who
    if not who.authenticator:
        return run_authenticators(request, operation)
    if who.authenticator not in map(_name, operation.auth_callbacks):
        return _unauthorized(request, operation)
    _, found = request._asyncexchange_owner
    if found is not None:
        request.auth = found
        return None
    refused = run_authenticators(request, operation)
    return _unauthorized(request, operation) if refused is None and not restore.is_same_key(who, request) else refused


# At the task addresses ------------------------------------------------------------------------------------------------


class KeyAuthentication(BaseAuthentication):
    """For the task addresses: authenticates by the authenticators of the project's operations, if there is no user."""

    is_meant = False
    """Whether API keys count although there is a user."""
    account: str | None = None
    """The account of the requested task, if any: of several authenticators that accept a credential, its one counts."""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        bare = request._request
        user = getattr(bare, "user", None)
        if getattr(user, "is_authenticated", False) and not self.is_meant:
            return None
        forged: exceptions.CsrfFailed | None = None
        known: Holder | None = None
        for authenticator in authenticators():
            try:
                found = _result(authenticator, bare)
            except db_retry.UNAVAILABLE:
                raise
            except Exception as error:  # it may be meant for another authenticator
                if _is_csrf_failure(error, authenticator, bare):
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
    """The account of ``holder``; None for an unknown caller."""
    probe: Any = copy.copy(request)
    probe.user, probe.auth = AnonymousUser(), holder.found
    setattr(probe, HOLDER, holder)
    return None if callers.caller(probe).kind is callers.Kind.UNKNOWN else callers.owner(probe).account


def _is_csrf_failure(error: Exception, authenticator: Any, request: Any) -> bool:
    """Whether a cookie was refused by the CSRF check, which precedes the check of the cookie."""
    is_cookie = getattr(authenticator, "openapi_in", "") == "cookie" and authenticator.param_name in request.COOKIES
    return is_cookie and getattr(error, "status_code", None) == 403


def authenticators() -> tuple[View, ...]:
    """The authenticators of all operations of the project, each once."""
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
