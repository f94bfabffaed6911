"""Loads the caller of a run, and checks with stamps that it is still the one who submitted the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.utils.module_loading import import_string

from ..conf import conf
from . import lookups, stamps, tokens
from .callers import HOLDER, Caller, Holder, Kind, caller
from .snapshot import APPLICATION, ITSELF, KEY, NAMED, Identity, session_hash
from .tokens import IdentityLost


def headers_of(who: Identity) -> Mapping[str, str]:
    """Headers that the project's ``RUN_HEADERS`` adds to the run of ``who``, in place of its credentials."""
    if who.auth_backend != NAMED or not conf.RUN_HEADERS:
        return {}
    _require_match(who.stamp, Kind.NAMED, who.name)
    given: Mapping[str, str] = import_string(conf.RUN_HEADERS)(who.name)
    return given


def is_same_key(who: Identity, request: Any) -> bool:
    """Whether the API key of ``request``, a run of ``who``, is still that caller's."""
    now: Caller = caller(request)
    holder: Holder | None = getattr(request, HOLDER, None)
    if holder is None or holder.authenticator != who.authenticator:
        return False
    if now.kind is Kind.NAMED or now.row is None:
        is_named = now.name == who.name if now.kind is Kind.NAMED else holder.is_named(who.name)
        return is_named and stamps.matches(who.stamp, now.kind.name, who.name)
    model = get_user_model() if now.kind is Kind.USER else type(now.row)
    return stamps.matches(who.stamp, now.kind.name, *stamps.facts_of(now.row, model))


def load(who: Identity) -> tuple[Any, Any]:
    """(``request.user``, ``request.auth``) of a run of ``who``. The user of an application is None.

    Raises IdentityLost if the owner was deleted or replaced, or may not act any more.
    """
    if who.auth_backend == APPLICATION:
        auth = _auth(None, who)
        application = getattr(auth, "application", None)
        if application is None:
            raise IdentityLost
        _require_match(who.stamp, Kind.APPLICATION, *stamps.facts_of(application, type(application)))
        return None, auth
    if who.auth_backend == NAMED:
        _require_match(who.stamp, Kind.NAMED, who.name)
        auth = _auth(None, who)
        return import_string(conf.RESTORE_USER)(who.name, auth), auth
    if who.auth_backend == KEY:
        auth = _auth(None, who)
        if lookups.is_row(auth):
            _require_match(who.stamp, Kind.HOLDER, *stamps.facts_of(auth, type(auth)))
        elif auth is not None:
            _require_match(who.stamp, Kind.HOLDER, who.name)
        return AnonymousUser(), auth
    user = _user(who) if who.auth_backend else AnonymousUser()
    return AnonymousUser() if who.is_holder else user, _auth(user, who)


def _user(who: Identity) -> Any:
    pk = get_user_model()._meta.pk.to_python(who.name) if who.name else who.user_pk
    user = None if pk is None else _get_user(load_backend(who.auth_backend), pk)
    if user is None:
        raise IdentityLost
    _require_match(who.stamp, Kind.USER, *stamps.facts_of(user, get_user_model()))
    if conf.REVOKE_ON_PASSWORD_CHANGE and not _has_same_sessions(user, who.session_stamp):
        raise IdentityLost
    user.backend = who.auth_backend
    return user


def _auth(user: Any, who: Identity) -> Any:
    if who.auth:
        return tokens.from_json(who.auth)
    if who.auth_reference == ITSELF:
        return user
    return import_string(conf.RESTORE_AUTH)(user, who.auth_reference) if who.auth_reference else None


def _require_match(stamp: str, kind: Kind, *facts: str) -> None:
    if not stamps.matches(stamp, kind.name, *facts):
        raise IdentityLost


def _has_same_sessions(user: Any, stamp: str) -> bool:
    former = user.get_session_auth_fallback_hash() if hasattr(user, "get_session_auth_fallback_hash") else ()
    return any(stamps.matches(stamp, "session", *hash) for hash in (session_hash(user), *((text,) for text in former)))


def _get_user(backend: Any, pk: Any) -> Any:
    """``backend.get_user(pk)``; for Django's own backend by a prepared statement."""
    model = get_user_model()
    if type(backend).get_user is not ModelBackend.get_user or not lookups.has_plain_manager(model):
        return backend.get_user(pk)
    return next((user for user in lookups.find(model, "pk", pk) if backend.user_can_authenticate(user)), None)
