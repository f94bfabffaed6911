"""Who calls, by one rule for submits and polls.

A caller is a row of the user model, an application that has a name (OAuth2's client credentials), whoever the project
names by ``SNAPSHOT_USER``, whoever holds a key that one of Django Ninja's operations has accepted, or nobody. Anybody
else is a stranger: no run could be made as that caller.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, models, router
from django.utils.module_loading import import_string

from ..conf import conf
from ..models import AsyncTask
from ..protocol.values import Owner, value
from . import lookups, stamps


class Kind(enum.Enum):
    """What a caller is."""

    NOBODY = enum.auto()
    USER = enum.auto()
    APPLICATION = enum.auto()
    NAMED = enum.auto()
    HOLDER = enum.auto()
    """Who holds a key, where ``request.user`` is nobody."""
    STRANGER = enum.auto()
    """Somebody, whom nothing names."""


@value
class Caller:
    """Whoever made a request."""

    kind: Kind
    row: Any = None
    """The user, the application, or what a key belongs to."""
    name: str = ""
    """What ``SNAPSHOT_USER`` says, or a keyed digest of a key that belongs to no row."""
    is_holder: bool = False
    """Whether a key says so, and ``request.user`` is nobody."""


@value
class Holder:
    """What one of an operation's authenticators made of a request; see ``ninja``."""

    authenticator: str
    """Dotted name of the authenticator."""
    found: Any
    """``request.auth``."""
    key: str = ""
    """The credential itself; ``""`` where it is not known what that was."""
    is_repeatable: bool = False
    """Whether it would say the same without what is not kept of a call."""

    @property
    def name(self) -> str:
        return stamps.made("key", self.authenticator, self.key) if self.key else ""

    def is_named(self, name: str) -> bool:
        """Whether ``name`` was made of this key, also with a former ``SECRET_KEY``."""
        return bool(self.key) and stamps.fits(name, "key", self.authenticator, self.key)


HOLDER = "_asyncexchange_holder"
"""Attribute of Django's request with its ``Holder``."""


def caller(request: Any) -> Caller:
    """Who made ``request`` (Django's or DRF's)."""
    user, auth = getattr(request, "user", None), getattr(request, "auth", None)
    if user is None and isinstance(auth, models.Model) and lookups.is_row(getattr(auth, "application", None)):
        return Caller(kind=Kind.APPLICATION, row=auth.application)  # type: ignore[attr-defined]
    if user is None or not getattr(user, "is_authenticated", True):
        return without_a_user(request)
    if lookups.is_row(user, get_user_model()):
        return Caller(kind=Kind.USER, row=user)
    name = _name_of(request)
    return Caller(kind=Kind.NAMED, name=name) if name else Caller(kind=Kind.STRANGER)


def without_a_user(request: Any) -> Caller:
    """Somebody all the same, where the project or a key says so."""
    if name := _name_of(request):
        return Caller(kind=Kind.NAMED, name=name)
    holder: Holder | None = getattr(request, HOLDER, None)
    if holder is None:
        return Caller(kind=Kind.NOBODY)
    if lookups.is_row(holder.found):
        is_user = lookups.is_row(holder.found, get_user_model())
        return Caller(kind=Kind.USER if is_user else Kind.HOLDER, row=holder.found, is_holder=True)
    return Caller(kind=Kind.HOLDER if holder.key else Kind.STRANGER, name=holder.name, is_holder=True)


def _name_of(request: Any) -> str:
    return import_string(conf.SNAPSHOT_USER)(request) if conf.SNAPSHOT_USER and conf.RESTORE_USER else ""


def is_known(request: Any) -> bool:
    """Whether ``request`` is somebody's, and whose can be said."""
    return caller(request).kind not in (Kind.NOBODY, Kind.STRANGER)


def user_of(request: Any) -> Any:
    """The row of the user model that ``request`` is made by, or None."""
    who = caller(request)
    return who.row if who.kind is Kind.USER else None


def owner_of(request: Any) -> Owner:
    """The default account: every caller is alone in it, and callers of different kinds never meet."""
    who = caller(request)
    if who.kind is Kind.USER:
        return Owner(account=account_of(who.row), id=str(who.row.pk))
    if who.kind is Kind.HOLDER:
        name = who.name or f"{who.row._meta.label_lower}:{who.row.pk}"
        digest = hashlib.sha256(name.encode()).hexdigest()  # a row's key may be the secret itself
        return Owner(account=f":holder:{digest}", kind="application", id=digest)
    if who.kind is Kind.APPLICATION:
        name = f"{who.row._meta.label_lower}:{who.row.pk}"
        return Owner(account=f":application:{name}", kind="application", id=name)
    if who.kind is Kind.NAMED:
        digest = hashlib.sha256(who.name.encode()).hexdigest()
        return Owner(account=f":named:{digest}", id=digest)
    return Owner(account="")


def account_of(user: Any) -> str:
    """The user's key; with its database or schema, where that is not the one of our tasks. A leading colon, which the
    accounts of others have, is doubled.
    """
    if places := _abroad():
        return ":".join(("", "user", *places, str(user.pk)))
    return f":{user.pk}" if str(user.pk).startswith(":") else str(user.pk)


def _abroad() -> list[str]:
    """Where the users are that a router or a middleware has chosen: nothing where the tasks are, too."""
    alias = router.db_for_write(get_user_model())
    schema = getattr(connections[alias], "schema_name", None) or "public"  # django-tenants
    is_other = alias != router.db_for_write(AsyncTask)
    return ([alias] if is_other else []) + ([schema] if schema != "public" else [])


def reference_to(user: Any) -> Any:
    """The user's key, for a foreign key of our tables: None where the row lies elsewhere, or there is none."""
    return None if user is None or _abroad() else user.pk


def owner(request: Any) -> Owner:
    """Whose account ``request`` belongs to, by the project's ``OWNER``."""
    resolved: Owner = import_string(conf.OWNER)(request)
    return resolved


def administers(request: Any) -> bool:
    """The default ``WEBHOOK_ADMIN``: staff, and whoever is alone in an account."""
    user = user_of(request)
    return bool(getattr(user, "is_staff", False)) or owner(request).account == owner_of(request).account
