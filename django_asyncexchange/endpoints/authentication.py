"""Authentication at the endpoints: whoever may submit a call may poll it, with the same credentials.

The class that authenticated the task's submit is tried first, then Django Ninja's keys, the authentication classes of
all asynchronous views, the project's default classes, and the user that Django's middleware has found. The setting
``AUTHENTICATION_CLASSES`` replaces all of these.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.urls import get_resolver, get_urlconf
from django.urls.resolvers import LocalePrefixPattern
from django.utils.module_loading import import_string
from rest_framework import exceptions as drf
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from .. import exceptions
from ..conf import conf
from ..identity import callers
from ..identity.callers import Kind
from ..intake import admission, csrf, ninja
from ..intake.mark_places import view_class
from ..models import AsyncTask
from ..protocol import log_once
from ..protocol.values import value
from ..store import db_retry

Found = tuple[Any, Any]
"""``request.user`` and ``request.auth``."""
UNKNOWN = (Kind.ANONYMOUS, Kind.UNKNOWN)


class RequestUser(SessionAuthentication):
    """The user that Django's middleware has found: by the session, or by a token that browsers do not send unasked."""

    def enforce_csrf(self, request: Any) -> None:
        bare = request._request
        if not (bare.META.get("HTTP_AUTHORIZATION") and csrf.is_ruled_out(bare)):
            super().enforce_csrf(request)


class AnyOf(BaseAuthentication):
    """Tries all authenticators until one knows the caller; a refusal by one does not stop the others."""

    def __init__(self, view: Any) -> None:
        self.view = view

    def authenticate(self, request: Any) -> Found | None:
        task: AsyncTask | None = self.view.task
        known = authenticators()
        own = _class_of(task)
        mine = [each for each in known if own and _is_by(each, own)]
        for keys in (each for each in mine if isinstance(each, ninja.KeyAuthentication)):
            keys.is_meant, keys.account = True, task.account if task is not None else None
        stranger: Found | None = None
        refusals: list[tuple[int, Exception]] = []
        for each in (*mine, *(each for each in known if each not in mine)):
            try:
                found = each.authenticate(request)
                kind = Kind.ANONYMOUS if found is None else _kind(found, request)
            except db_retry.UNAVAILABLE:
                raise
            except Exception as error:
                refusals.append((known.index(each), _with_csrf_error(each, error)))
                if not is_refusal(error):  # another one may know the caller
                    log_once.once(f"{type(each).__qualname__} failed at a task endpoint", error)
                continue
            if kind not in UNKNOWN:
                return found  # type: ignore[no-any-return]
            stranger = found if kind is Kind.UNKNOWN and stranger is None else stranger
        refused = _most_relevant(refusals)
        if (found := found_by_submit_class(task, request)) is not None:
            self.view.refused = refused or (None if conf.ALLOW_ANONYMOUS else drf.NotAuthenticated())
            return found
        if refused is not None and stranger is None and not _needs_no_class(task, request):
            raise refused
        return stranger

    def authenticate_header(self, request: Any) -> str | None:
        """The distinct challenges of all authenticators."""
        challenges = (_challenge(request, each) for each in authenticators())
        return ", ".join(dict.fromkeys(filter(None, challenges))) or None


def found_by_submit_class(task: AsyncTask | None, request: Any) -> Found | None:
    """What the class that authenticated the submit of ``task`` returns, where no known view uses that class."""
    own = _class_of(task)
    if own is None or conf.AUTHENTICATION_CLASSES or any(_is_by(each, own) for each in authenticators()):
        return None
    try:
        found: Found | None = own().authenticate(request)
        return found if found is not None and _kind(found, request) not in UNKNOWN else None
    except db_retry.UNAVAILABLE:
        raise
    except Exception:  # the response is that of a task that does not exist
        return None


def _class_of(task: AsyncTask | None) -> Any:
    try:
        return import_string(task.authentication_class) if task is not None else None
    except ImportError:
        return None


def _is_by(authenticator: Any, cls: Any) -> bool:
    return type(authenticator) is cls or (cls is SessionAuthentication and isinstance(authenticator, cls))


def _kind(found: Found, request: Any) -> callers.Kind:
    """The kind of caller that ``found`` is. DRF also sets it on Django's request, which is restored."""
    bare = request._request
    before = {name: bare.__dict__[name] for name in ("user", "auth") if name in bare.__dict__}
    asked = Request(bare)
    asked.user, asked.auth = found
    try:
        return callers.caller(asked).kind
    finally:
        for name in ("user", "auth"):
            bare.__dict__.pop(name, None)
        bare.__dict__.update(before)


def _needs_no_class(task: AsyncTask | None, request: Any) -> bool:
    """Whether no class has to know the caller: ``SNAPSHOT_USER`` names it, or it reads an anonymous task."""
    if conf.ALLOW_ANONYMOUS and task is not None and task.is_anonymous:
        return True
    return _kind((AnonymousUser(), None), request) is Kind.NAMED


# Refusals -------------------------------------------------------------------------------------------------------------


def _with_csrf_error(authenticator: Any, error: Exception) -> Exception:
    """``error``, or CsrfFailed for the ``PermissionDenied`` by which ``SessionAuthentication`` reports it."""
    if isinstance(authenticator, SessionAuthentication) and isinstance(error, drf.PermissionDenied):
        return exceptions.CsrfFailed(reason=str(error.detail).removeprefix("CSRF Failed: "))
    return error


def _most_relevant(refusals: Iterable[tuple[int, Exception]]) -> Exception | None:
    """The error for a caller that no authenticator knows, independent of the order in which they were tried.

    An unexpected exception goes first, because that authenticator may have known the caller.
    """
    ranked = sorted(refusals, key=lambda each: (is_refusal(each[1]), not _is_forgery(each[1]), each[0]))
    return ranked[0][1] if ranked else None


def is_refusal(error: Exception) -> bool:
    """Whether ``error`` is about the request, not a bug or an outage."""
    if isinstance(error, drf.APIException):
        return 400 <= error.status_code < 500
    return isinstance(error, exceptions.AsyncExchangeError | PermissionDenied | SuspiciousOperation | Http404)


def _is_forgery(error: Exception) -> bool:
    return isinstance(error, exceptions.CsrfFailed)


def _challenge(request: Any, authenticator: Any) -> str | None:
    try:
        challenge: str | None = authenticator.authenticate_header(request)
    except Exception:  # an error is being handled already
        return None
    return challenge


# Authenticators -------------------------------------------------------------------------------------------------------


def authenticators() -> list[Any]:
    """New instances, as for each request, in the order in which they are tried."""
    if conf.AUTHENTICATION_CLASSES:
        return [import_string(path)() for path in conf.AUTHENTICATION_CLASSES]
    urlconf = get_urlconf() or conf.project("ROOT_URLCONF")
    of_views = _of_views(urlconf, tuple(conf.VIEWS), conf.mounts)
    found = [make() for make in _once((*of_views, *api_settings.DEFAULT_AUTHENTICATION_CLASSES))]
    keys = [ninja.KeyAuthentication()] if ninja.authenticators() else []
    has_sessions = any(isinstance(each, SessionAuthentication) for each in found)
    return [*keys, *found, *([] if has_sessions else [RequestUser()])]


@functools.lru_cache(maxsize=64)
def _of_views(urlconf: Any, listed: tuple[str, ...], mounts: tuple[Any, ...]) -> tuple[Callable[[], Any], ...]:
    """Factories of the authenticators of all asynchronous views, without duplicates."""
    names = (*listed, *(name for mount in mounts for name in mount.policy.views))
    is_every = any(mount.EVERY_VIEW for mount in mounts)
    return _once(
        make
        for view in _views(get_resolver(urlconf).url_patterns)
        if isinstance(view.cls, type) and issubclass(view.cls, APIView) and view.may_run_asynchronously(names, is_every)
        for make in _makers(view)
    )


def _once(makers: Iterable[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    found.extend(make for make in makers if make not in found)
    return tuple(found)


def _makers(view: View) -> tuple[Callable[[], Any], ...]:
    given = getattr(view.callback, "initkwargs", {})
    if view.cls.get_authenticators is APIView.get_authenticators:
        return tuple(given.get("authentication_classes", view.cls.authentication_classes))
    try:
        return tuple(map(Copies, view.cls(**given).get_authenticators()))
    except Exception:  # it needs a request; the task remembers its own class
        return tuple(view.cls.authentication_classes)


class Copies:
    """A factory that copies an authenticator which a view's ``get_authenticators`` has made."""

    def __init__(self, one: Any) -> None:
        self.one = one

    def __call__(self) -> Any:
        return copy.copy(self.one)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Copies):
            return other is type(self.one) and not vars(self.one)
        return type(self.one) is type(other.one) and vars(self.one) == vars(other.one)

    def __hash__(self) -> int:
        return hash(type(self.one))


@value
class View:
    """A view in the URLconf."""

    callback: Any
    name: str
    """As ``ResolverMatch.view_name``."""
    path: str
    """The fixed beginning of its paths."""

    @property
    def cls(self) -> Any:
        return view_class(self.callback)

    def may_run_asynchronously(self, listed: Iterable[str], is_every: bool) -> bool:
        """Whether ``admission.is_eligible`` would accept a call of it, as far as that is known without one."""
        actions = getattr(self.callback, "actions", None) or {}
        handlers = (*actions.values(), *getattr(self.cls, "http_method_names", ()))
        if any(getattr(getattr(self.cls, name, None), admission.MARK, False) for name in handlers):
            return True
        marks = (getattr(place, admission.MARK, None) for place in (self.callback, self.cls))
        mark = next((each for each in marks if each is not None), None)
        return bool(mark) if mark is not None else is_every or any(map(self._is_meant, listed))

    def _is_meant(self, name: str) -> bool:
        if not name.startswith("/"):
            return name == self.name
        start = re.split(r"[*?\[]", name)[0]
        return start.startswith(self.path) or self.path.startswith(start)


def _views(patterns: Any, path: str = "/", spaces: tuple[str, ...] = ()) -> Iterator[View]:
    for pattern in patterns:
        varies = isinstance(pattern.pattern, LocalePrefixPattern)
        here = path + ("(" if varies else str(pattern.pattern).removeprefix("^"))
        if hasattr(pattern, "url_patterns"):
            yield from _views(pattern.url_patterns, here, (*spaces, pattern.namespace) if pattern.namespace else spaces)
        else:
            name = ":".join((*spaces, pattern.name or pattern.lookup_str))
            yield View(callback=pattern.callback, name=name, path=re.split(r"[<(\\\[?*+.|{$]", here)[0])
