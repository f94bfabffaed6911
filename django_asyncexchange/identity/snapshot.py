"""What is stored of a caller, so that a worker can act as that caller without a stored credential.

That is the user's primary key, the path of the authentication backend, a stamp of the user, and a reference to the
token in ``request.auth``, never its value. All of them are loaded and checked again when the call runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model, load_backend
from django.http import HttpRequest
from django.utils.module_loading import import_string

from ..conf import conf
from ..exceptions import CallerUnknown, NotAuthenticated
from ..protocol import log_once
from ..protocol.values import Headers, Owner, Request, value
from . import stamps, tokens
from .callers import HOLDER, Caller, Holder, Kind, caller, owner, reference_to

APPLICATION, NAMED, KEY = "application", "named", "key"
BACKENDS = {Kind.APPLICATION: APPLICATION, Kind.NAMED: NAMED, Kind.HOLDER: KEY}
"""Stored in place of the path of an authentication backend, for callers without one."""
SESSION = "rest_framework.authentication.SessionAuthentication"
KEYS = "django_asyncexchange.intake.ninja.KeyAuthentication"
ITSELF = "itself"
"""Reference to ``request.auth`` if that is the user itself."""


@value
class Identity:
    """What is stored of the caller of a captured call."""

    owner: Owner
    user_pk: Any = None
    auth_backend: str = ""
    """Dotted path of the authentication backend, or one of BACKENDS; ``""`` for an anonymous caller."""
    auth_reference: str = ""
    """The result of SNAPSHOT_AUTH for ``request.auth``."""
    name: str = ""
    """The result of SNAPSHOT_USER; or the primary key of a user in another database."""
    stamp: str = ""
    """Shows whether the caller who is loaded for the run is still the same."""
    session_stamp: str = ""
    """Shows whether the user's sessions are still valid: a change of the password ends them."""
    authenticator: str = ""
    is_holder: bool = False
    auth: str = ""
    device: str = ""
    """These four as in ``protocol.values.Request``."""
    authentication_class: str = ""
    """As in ``models.AsyncTask``."""

    @property
    def backend(self) -> str:
        """Dotted path of the user's authentication backend; ``""`` for other callers."""
        return "" if self.auth_backend in BACKENDS.values() else self.auth_backend


def capture(request: Any, challenge: Headers = ()) -> Identity:
    """The identity of the caller of ``request`` (Django's or DRF's).

    Raises NotAuthenticated with the headers ``challenge`` for an anonymous caller if ALLOW_ANONYMOUS is off, and
    CallerUnknown for a caller or a ``request.auth`` that cannot be restored in a run.
    """
    who, auth = caller(request), getattr(request, "auth", None)
    holder: Holder | None = getattr(request, HOLDER, None)
    _require_restorable(request, who, challenge)
    is_known = auth is None or (holder is not None and holder.is_repeatable)
    reference, text = ("", "") if is_known else _reference(request, who, holder)
    is_user = who.kind is Kind.USER
    user_pk = reference_to(who.row) if is_user else None
    return Identity(
        owner=owner(request),
        user_pk=user_pk,
        auth_backend=_backend_of(request, who.row) if is_user else BACKENDS.get(who.kind, ""),
        auth_reference=reference,
        name=str(who.row.pk) if is_user and user_pk is None else who.name,
        stamp=_stamp(who),
        session_stamp=stamps.make("session", *session_hash(who.row)) if is_user else "",
        authenticator=holder.authenticator if holder is not None and (who.is_holder or not is_known) else "",
        is_holder=who.is_holder,
        auth=text,
        device=_device_of(request.user) if is_user and not who.is_holder else "",
        authentication_class=_authentication_class(request, who),
    )


def _require_restorable(request: Any, who: Caller, challenge: Headers) -> None:
    """Raise NotAuthenticated or CallerUnknown for a caller whose calls cannot be answered later."""
    if who.kind is Kind.UNKNOWN:
        holder: Holder | None = getattr(request, HOLDER, None)
        what = f"of type {_type(request.user)}" if holder is None else f"whom {holder.authenticator} knows"
        raise _unknown(f"callers {what}", "SNAPSHOT_USER and RESTORE_USER")
    is_unread = bool(request.META.get("HTTP_AUTHORIZATION")) and getattr(request, "auth", None) is None
    if who.kind is Kind.ANONYMOUS and is_unread:
        raise _unknown(
            "calls with credentials that only their view can read", "SNAPSHOT_USER, RESTORE_USER and RUN_HEADERS"
        )
    is_nobody = not getattr(getattr(request, "user", None), "is_authenticated", False)
    if who.kind is Kind.NAMED and is_nobody and is_unread and not conf.RUN_HEADERS:
        raise _unknown("calls with credentials that only their view can read", "RUN_HEADERS")
    if who.kind is Kind.ANONYMOUS and not conf.ALLOW_ANONYMOUS:
        raise NotAuthenticated(headers=challenge)


def _reference(request: Any, who: Caller, holder: Holder | None) -> tuple[str, str]:
    """(reference to ``request.auth``, or ``request.auth`` as JSON); the other is ``""``. Raises CallerUnknown."""
    if who.is_holder and who.kind is Kind.USER:
        return ITSELF, ""
    if reference := import_string(conf.SNAPSHOT_AUTH)(request):
        return reference, ""
    if holder is not None and (text := tokens.to_json(holder.found, holder.key)):
        return "", text
    raise _unknown(f"calls whose request.auth is of type {_type(request.auth)}", "SNAPSHOT_AUTH and RESTORE_AUTH")


def _device_of(user: Any) -> str:
    """The device by which django-otp has verified ``user``."""
    is_verified = getattr(user, "is_verified", None)
    device = getattr(user, "otp_device", None)
    return str(device.persistent_id) if device is not None and callable(is_verified) and is_verified() else ""


def _authentication_class(request: Any, who: Caller) -> str:
    """The class that has authenticated DRF's ``request``, or would authenticate Django's at a task address."""
    if not isinstance(request, HttpRequest):
        authenticator = request.successful_authenticator
        path = _type(authenticator) if authenticator is not None else ""
        return path if len(path) <= 255 else ""  # the length of the column
    if who.is_holder:
        return KEYS
    return SESSION if who.kind is Kind.USER else ""


def _stamp(who: Caller) -> str:
    if who.row is not None:
        model = get_user_model() if who.kind is Kind.USER else type(who.row)
        return stamps.make(who.kind.name, *stamps.facts_of(who.row, model))
    return stamps.make(who.kind.name, who.name) if who.name else ""


def session_hash(user: Any) -> tuple[str, ...]:
    """The hash by which Django ends sessions of ``user``, in a tuple; empty if the user model has none."""
    return (user.get_session_auth_hash(),) if hasattr(user, "get_session_auth_hash") else ()


def _unknown(what: str, settings: str) -> CallerUnknown:
    log_once.once(f"{what} are not accepted for later: no run could be made as them. Name {settings}.")
    return CallerUnknown()


def _type(thing: Any) -> str:
    cls = thing.__class__  # not type(): of a lazy object, the class of what it wraps
    return f"{cls.__module__}.{cls.__qualname__}"


def _backend_of(request: Any, user: Any) -> str:
    """The backend of the user's session; without one, as with a token, the first backend that finds the user.

    Backends that only check permissions (django-axes, django-rules, django-guardian) have no ``get_user``.
    """
    session = getattr(request, "session", None)
    known = getattr(user, "backend", None) or (session is not None and session.get(BACKEND_SESSION_KEY))
    if known:
        return str(known)
    backends = [path for path in conf.project("AUTHENTICATION_BACKENDS") if hasattr(load_backend(path), "get_user")]
    if len(backends) == 1:
        return str(backends[0])
    found = next((path for path in backends if load_backend(path).get_user(user.pk)), None)
    if found is None:
        raise _unknown("calls of a user whom no authentication backend knows", "one in AUTHENTICATION_BACKENDS")
    return str(found)


def add_to(call: Request, who: Identity) -> Request:
    """``call`` with those values of ``who`` that have no column in the task."""
    return replace(
        call,
        caller=who.name,
        stamp=who.stamp,
        session_stamp=who.session_stamp,
        authenticator=who.authenticator,
        is_holder=who.is_holder,
        auth=who.auth,
        device=who.device,
    )


def of(task: Any, call: Request) -> Identity:
    """The identity of the caller of ``task``, whose captured call is ``call``."""
    return Identity(
        owner=Owner(account=task.account, kind=task.owner_kind, id=task.owner_reference),
        user_pk=task.owner_id,
        auth_backend=task.auth_backend,
        auth_reference=task.auth_reference,
        name=call.caller,
        stamp=call.stamp,
        session_stamp=call.session_stamp,
        authenticator=call.authenticator,
        is_holder=call.is_holder,
        auth=call.auth,
        device=call.device,
        authentication_class=task.authentication_class,
    )
