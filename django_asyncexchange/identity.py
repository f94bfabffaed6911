"""Who submitted a call, and how a worker becomes that person again without a stored credential (security 4.3).

Stored are the user's key, the path of the backend that knows the user, and a reference to the token object in
``request.auth``, never its value. At run time the backend is asked again: a deactivated, deleted or revoked identity
does not run.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from django.apps import apps
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, UserManager
from django.db import models, router
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from .conf import conf
from .messages import Owner, value
from .prepared import PreparedRows, Slot

PLAIN: tuple[Any, ...] = (models.Manager, UserManager)
"""Managers that always find the same rows. One of the project's own may hide some, or ask who is asking."""


class IdentityLost(Exception):
    """The owner may not act any more: deactivated, deleted, or the token was revoked."""


@value
class Identity:
    """Who a captured call belongs to."""

    owner: Owner
    user_pk: Any = None
    auth_backend: str = ""
    """Dotted path of the authentication backend; ``""`` = submitted anonymously."""
    auth_reference: str = ""
    """What SNAPSHOT_AUTH made of ``request.auth``."""


def owner_of(request: Any) -> Owner:
    """The default account: every user is alone in it."""
    user = request.user
    return Owner(account=str(user.pk), id=str(user.pk)) if user.is_authenticated else Owner(account="")


def owner(request: Any) -> Owner:
    """Whose account ``request`` belongs to, by the project's ``OWNER``."""
    resolved: Owner = import_string(conf.OWNER)(request)
    return resolved


def administers(request: Any) -> bool:
    """The default ``WEBHOOK_ADMIN``: staff, and whoever is alone in an account."""
    return bool(request.user.is_staff) or owner(request).account == str(request.user.pk)


def capture(request: Any) -> Identity:
    """The identity behind ``request`` (Django's or DRF's)."""
    user = request.user
    if not user.is_authenticated:
        return Identity(owner=owner(request))
    return Identity(
        owner=owner(request),
        user_pk=user.pk,
        auth_backend=_backend_of(request, user),
        auth_reference=import_string(conf.SNAPSHOT_AUTH)(request),
    )


def _backend_of(request: Any, user: Any) -> str:
    """The session's backend, or the first that knows the user (a token's user has not logged in by any)."""
    session = getattr(request, "session", None)
    if getattr(user, "backend", None):
        return str(user.backend)
    if session is not None and session.get(BACKEND_SESSION_KEY):
        return str(session[BACKEND_SESSION_KEY])
    backends: list[str] = conf.project("AUTHENTICATION_BACKENDS")
    if len(backends) == 1:
        return backends[0]
    return next((path for path in backends if load_backend(path).get_user(user.pk)), backends[0])


def snapshot_auth(request: Any) -> str:
    """The default ``SNAPSHOT_AUTH``: which token object ``request.auth`` is, if it is a model's instance."""
    auth = getattr(request, "auth", None)
    return f"{auth._meta.label}:{_digest(auth)}" if isinstance(auth, models.Model) else ""


def restore_auth(user: Any, reference: str) -> Any:
    """The default ``RESTORE_AUTH``: that token object, fetched anew. Raises IdentityLost if gone or expired."""
    label, _, digest = reference.partition(":")
    model = apps.get_model(label)
    key = next((field.attname for field in model._meta.fields if field.related_model is type(user)), None)
    tokens = _found(model, key, user.pk) if key else model._default_manager.all()
    token: Any = next((token for token in tokens if constant_time_compare(_digest(token), digest)), None)
    if token is None or (callable(getattr(token, "is_expired", None)) and token.is_expired()):
        raise IdentityLost
    return token


def _digest(auth: models.Model) -> str:
    """Names a token without its value: DRF's own ``Token`` has the secret itself as primary key.

    Not keyed with SECRET_KEY, so that a rotation does not revoke what is queued; a token is no text to be guessed.
    """
    return hashlib.sha256(f"{auth._meta.label}\0{auth.pk}".encode()).hexdigest()


def of(task: Any) -> Identity:
    """Who submitted ``task``."""
    return Identity(
        owner=Owner(account=task.account, kind=task.owner_kind, id=task.owner_reference),
        user_pk=task.owner_id,
        auth_backend=task.auth_backend,
        auth_reference=task.auth_reference,
    )


def assume(request: HttpRequest, identity: Identity) -> None:
    """Let every layer see the owner: sessions' ``user`` and ``auser``, and DRF's ``user`` and ``auth``."""
    user: Any = AnonymousUser()
    if identity.auth_backend:
        user = _known(load_backend(identity.auth_backend), identity.user_pk)
        if user is None:
            raise IdentityLost
        user.backend = identity.auth_backend
    auth = import_string(conf.RESTORE_AUTH)(user, identity.auth_reference) if identity.auth_reference else None
    put_on(request, user)
    if identity.auth_backend:
        request._force_auth_user, request._force_auth_token = user, auth  # type: ignore[attr-defined]


def _known(backend: Any, pk: Any) -> Any:
    """What ``get_user`` says. Django's own is not called but done, without translating its question each time."""
    if type(backend).get_user is not ModelBackend.get_user or type(get_user_model()._default_manager) not in PLAIN:
        return backend.get_user(pk)
    return next((user for user in _found(get_user_model(), "pk", pk) if backend.user_can_authenticate(user)), None)


def _found(model: type[models.Model], name: str, wanted: Any) -> list[Any]:
    """The rows that the model's manager finds."""
    manager: Any = model._default_manager
    if type(manager) in PLAIN:
        return _prepared(model, name).all(router.db_for_read(model), wanted=wanted)
    return list(manager.filter(**{name: wanted}))


@functools.cache
def _prepared(model: type[models.Model], name: str) -> PreparedRows:
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return PreparedRows(lambda: model._default_manager.filter(**{name: Slot("wanted", field)}))


def put_on(request: HttpRequest, user: Any) -> None:
    """Let ``request`` be the user's, for Django's lazy and asynchronous ways of asking too."""
    request.user = user
    request._cached_user = request._acached_user = user  # type: ignore[attr-defined]
