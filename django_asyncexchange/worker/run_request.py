"""The request of a run: ``request.user`` and ``request.auth`` are those of the task's owner, also for DRF.

The owner is loaded on first access, at the latest before the view: inside the middleware chain, where a middleware of
the project has chosen the tenant, and with it the database.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, cached_property, empty

from ..identity.restore import headers_of, load
from ..identity.snapshot import Identity
from ..identity.tokens import IdentityLost
from . import run_session

if TYPE_CHECKING:
    Base = HttpRequest
else:
    Base = object


class RunRequestMixin(Base):
    """Added to Django's request class: the attributes by which Django and DRF learn who is calling."""

    _asyncexchange_look: Callable[[], tuple[Any, Any]]
    _asyncexchange_who: Identity

    @cached_property
    def _asyncexchange_owner(self) -> tuple[Any, Any] | None:
        """(``request.user``, ``request.auth``) as of DRF; None if the owner may not act any more."""
        try:
            return self._asyncexchange_look()
        except IdentityLost:
            return None

    @cached_property
    def _cached_user(self) -> Any:
        """Django's ``request.user``: anonymous for an application, and for an owner who may not act any more."""
        run_session.mark_as_read(self)
        user, _ = self._asyncexchange_owner or (None, None)
        return AnonymousUser() if user is None else user

    @cached_property
    def _force_auth_user(self) -> Any:
        """DRF uses no authentication class if this or the token is not None."""
        user, token = self._asyncexchange_owner or (None, None)
        if token is None:  # REST framework's SessionAuthentication has read it
            run_session.mark_as_read(self)
        return None if token is None and isinstance(user, AnonymousUser) else user

    @cached_property
    def _force_auth_token(self) -> Any:
        return (self._asyncexchange_owner or (None, None))[1]

    @property
    def auser(self) -> Callable[[], Any]:
        """As AuthenticationMiddleware sets it, but the user is not that of the session."""
        if "auser" not in self.__dict__:
            raise AttributeError("This request has no auser.")
        ask: Callable[[], Any] = self.__dict__["auser"]
        return ask

    @auser.setter
    def auser(self, ask: Callable[[], Any]) -> None:
        async def auser() -> Any:
            run_session.mark_as_read(self)
            if "_acached_user" not in self.__dict__:
                self.__dict__["_acached_user"] = await sync_to_async(getattr)(self, "_cached_user")
            return await ask()

        self.__dict__["auser"] = auser

    @property
    def session(self) -> Any:
        """As SessionMiddleware sets it, but never saved."""
        if "session" not in self.__dict__:
            raise AttributeError("This request has no session.")
        return self.__dict__["session"]

    @session.setter
    def session(self, store: Any) -> None:
        who = self._asyncexchange_who
        self.__dict__["session"] = run_session.as_run_session(store, who.backend, who.device)


def begin(request: Any, who: Identity, with_retries: Callable[..., Any]) -> None:
    """Make ``request`` one of the caller ``who``. ``with_retries(function, …)`` retries while the database is away."""
    cls: Any = type(request)
    request.__class__ = _run_request_class(cls)
    request._asyncexchange_look = lambda: with_retries(load, who)
    request._asyncexchange_who = who
    request.user = SimpleLazyObject(lambda: request._cached_user)
    try:
        for name, text in with_retries(headers_of, who).items():
            request.META["HTTP_" + name.upper().replace("-", "_")] = text
    except IdentityLost:
        request._asyncexchange_owner = None


def is_owner_active(request: Any) -> bool:
    """Whether the owner may still act. Later accesses need no database."""
    if request._asyncexchange_owner is None:
        return False
    user = request._asyncexchange_owner[0]
    user = AnonymousUser() if user is None else user
    given = request.user
    is_unread = getattr(given, "_wrapped", None) is empty
    with run_session.unmarked(request) if is_unread else contextlib.nullcontext():
        if not getattr(given, "is_authenticated", False):  # for example, RemoteUserMiddleware found no header
            given = request.user = user
    if is_unread:
        request.user = SimpleLazyObject(functools.partial(_on_first_access, request, getattr(given, "_wrapped", given)))
    request._cached_user = request._acached_user = user
    return True


def _on_first_access(request: Any, user: Any) -> Any:
    run_session.mark_as_read(request)
    return user


def is_owner_lost(request: Any) -> bool:
    """Whether the owner was loaded and may not act any more."""
    return request.__dict__.get("_asyncexchange_owner", ()) is None


@functools.cache
def _run_request_class(cls: type[HttpRequest]) -> type[HttpRequest]:
    return type(cls.__name__, (RunRequestMixin, cls), {})
