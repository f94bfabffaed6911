"""What a worker needs to become the caller again without a stored credential; who may not act any more does not.

Stored are the user's key, the path of the backend that knows the user, a keyed stamp of who that is, and a reference to
the token in ``request.auth``, never its value. At run time all of them are asked again.
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
"""What stands in the place of an authentication backend for callers whom no backend knows."""
SESSION = "rest_framework.authentication.SessionAuthentication"
KEYS = "django_asyncexchange.intake.ninja.KeyAuthentication"
ITSELF = "itself"
"""Reference to a ``request.auth`` that is the user."""


@value
class Identity:
    """Who a captured call belongs to."""

    owner: Owner
    user_pk: Any = None
    auth_backend: str = ""
    """Dotted path of the authentication backend, or one of BACKENDS; ``""`` = submitted anonymously."""
    auth_reference: str = ""
    """What SNAPSHOT_AUTH made of ``request.auth``."""
    name: str = ""
    """What SNAPSHOT_USER made of a caller who is no row of the user model; the key of a user of another database."""
    stamp: str = ""
    """Shows whether whoever is found at the run is still the same."""
    session_stamp: str = ""
    """Shows whether the user's sessions are still valid, as a change of the password ends them."""
    authenticator: str = ""
    is_holder: bool = False
    auth: str = ""
    device: str = ""
    """These four as in ``messages.Request``."""
    authentication_class: str = ""
    """As in ``models.AsyncTask``."""

    @property
    def backend(self) -> str:
        """The authentication backend that knows the user; ``""`` for whoever is none."""
        return "" if self.auth_backend in BACKENDS.values() else self.auth_backend


def capture(request: Any, challenge: Headers = ()) -> Identity:
    """The identity behind ``request`` (Django's or DRF's).

    Raises NotAuthenticated, with the headers ``challenge``, for nobody where only somebody may submit, and
    CallerUnknown for a caller, or an ``auth``, that no run could have.
    """
    who, auth = caller(request), getattr(request, "auth", None)
    holder: Holder | None = getattr(request, HOLDER, None)
    _require_remembered(request, who, challenge)
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
        session_stamp=stamps.made("session", *session_hash(who.row)) if is_user else "",
        authenticator=holder.authenticator if holder is not None and (who.is_holder or not is_known) else "",
        is_holder=who.is_holder,
        auth=text,
        device=_device_of(request.user) if is_user and not who.is_holder else "",
        authentication_class=_authentication_class(request, who),
    )


def _require_remembered(request: Any, who: Caller, challenge: Headers) -> None:
    """Raise NotAuthenticated or CallerUnknown for whoever may not be answered later, or cannot."""
    if who.kind is Kind.STRANGER:
        holder: Holder | None = getattr(request, HOLDER, None)
        what = f"of type {_type(request.user)}" if holder is None else f"whom {holder.authenticator} knows"
        raise _unknown(f"callers {what}", "SNAPSHOT_USER and RESTORE_USER")
    is_unread = bool(request.META.get("HTTP_AUTHORIZATION")) and getattr(request, "auth", None) is None
    if who.kind is Kind.NOBODY and is_unread:
        raise _unknown(
            "calls with credentials that only their view can read", "SNAPSHOT_USER, RESTORE_USER and RUN_HEADERS"
        )
    is_nobody = not getattr(getattr(request, "user", None), "is_authenticated", False)
    if who.kind is Kind.NAMED and is_nobody and is_unread and not conf.RUN_HEADERS:
        raise _unknown("calls with credentials that only their view can read", "RUN_HEADERS")
    if who.kind is Kind.NOBODY and not conf.ALLOW_ANONYMOUS:
        raise NotAuthenticated(headers=challenge)


def _reference(request: Any, who: Caller, holder: Holder | None) -> tuple[str, str]:
    """(a reference to ``request.auth``, or ``request.auth`` as JSON). Raises CallerUnknown where there is neither."""
    if who.is_holder and who.kind is Kind.USER:
        return ITSELF, ""
    if reference := import_string(conf.SNAPSHOT_AUTH)(request):
        return reference, ""
    if holder is not None and (text := tokens.plain(holder.found, holder.key)):
        return "", text
    raise _unknown(f"calls whose request.auth is of type {_type(request.auth)}", "SNAPSHOT_AUTH and RESTORE_AUTH")


def _device_of(user: Any) -> str:
    """The device by which django-otp has verified ``user``."""
    is_verified = getattr(user, "is_verified", None)
    device = getattr(user, "otp_device", None)
    return str(device.persistent_id) if device is not None and callable(is_verified) and is_verified() else ""


def _authentication_class(request: Any, who: Caller) -> str:
    """What has authenticated DRF's ``request``, or would authenticate Django's at a task address."""
    if not isinstance(request, HttpRequest):
        authenticator = request.successful_authenticator
        path = _type(authenticator) if authenticator is not None else ""
        return path if len(path) <= 255 else ""  # what the column holds
    if who.is_holder:
        return KEYS
    return SESSION if who.kind is Kind.USER else ""


def _stamp(who: Caller) -> str:
    if who.row is not None:
        model = get_user_model() if who.kind is Kind.USER else type(who.row)
        return stamps.made(who.kind.name, *stamps.facts_of(who.row, model))
    return stamps.made(who.kind.name, who.name) if who.name else ""


def session_hash(user: Any) -> tuple[str, ...]:
    """What Django compares to end a user's sessions; a user model of one's own may have nothing of the kind."""
    return (user.get_session_auth_hash(),) if hasattr(user, "get_session_auth_hash") else ()


def _unknown(what: str, settings: str) -> CallerUnknown:
    log_once.once(f"{what} are not accepted for later: no run could be made as them. Name {settings}.")
    return CallerUnknown()


def _type(thing: Any) -> str:
    cls = thing.__class__  # of a lazy object, what it stands for
    return f"{cls.__module__}.{cls.__qualname__}"


def _backend_of(request: Any, user: Any) -> str:
    """The session's backend, or the first that knows the user (a token's user has not logged in by any).

    Backends that only permit (django-axes, django-rules, django-guardian) know nobody.
    """
    session = getattr(request, "session", None)
    said = getattr(user, "backend", None) or (session is not None and session.get(BACKEND_SESSION_KEY))
    if said:
        return str(said)
    backends = [path for path in conf.project("AUTHENTICATION_BACKENDS") if hasattr(load_backend(path), "get_user")]
    if len(backends) == 1:
        return str(backends[0])
    knowing = next((path for path in backends if load_backend(path).get_user(user.pk)), None)
    if knowing is None:
        raise _unknown("calls of a user whom no authentication backend knows", "one in AUTHENTICATION_BACKENDS")
    return str(knowing)


def written_into(call: Request, who: Identity) -> Request:
    """``call`` with what is needed of ``who`` besides the columns of a task."""
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
    """Who submitted ``task``, whose captured call is ``call``."""
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
