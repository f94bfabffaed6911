"""Identifies the caller of a request, by the same rules for submits and polls.

A caller is a row of the user model, an application (OAuth2's client credentials), somebody whom the project names with
``SNAPSHOT_USER``, the holder of an API key of Django Ninja, or anonymous. A run cannot act as anybody else.
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
    """Kinds of callers. Names of members are part of stored stamps."""

    ANONYMOUS = enum.auto()
    USER = enum.auto()
    APPLICATION = enum.auto()
    NAMED = enum.auto()
    HOLDER = enum.auto()
    """The holder of an API key, where ``request.user`` is anonymous."""
    UNKNOWN = enum.auto()
    """Authenticated, but without a name by which a run could act."""


@value
class Caller:
    """The caller of a request."""

    kind: Kind
    row: Any = None
    """The user, the application, or the row that an API key belongs to."""
    name: str = ""
    """The result of ``SNAPSHOT_USER``, or the stamp of an API key that belongs to no row."""
    is_holder: bool = False
    """Whether the caller is known by an API key, and ``request.user`` is anonymous."""


@value
class Holder:
    """The result of an authenticator of a Django Ninja operation; see ``intake.ninja``."""

    authenticator: str
    """Dotted path of the authenticator."""
    found: Any
    """``request.auth``."""
    key: str = ""
    """The credential; ``""`` if it is not known."""
    is_repeatable: bool = False
    """Whether the authenticator gives the same result for the captured call, without its credentials."""

    @property
    def name(self) -> str:
        return stamps.make("key", self.authenticator, self.key) if self.key else ""

    def is_named(self, name: str) -> bool:
        """Whether ``name`` is the stamp of this key, also with a former ``SECRET_KEY``."""
        return bool(self.key) and stamps.matches(name, "key", self.authenticator, self.key)


HOLDER = "_asyncexchange_holder"
"""Attribute of Django's request: its ``Holder``."""


def caller(request: Any) -> Caller:
    """The caller of ``request`` (Django's or DRF's)."""
    user, auth = getattr(request, "user", None), getattr(request, "auth", None)
    if user is None and isinstance(auth, models.Model) and lookups.is_row(getattr(auth, "application", None)):
        return Caller(kind=Kind.APPLICATION, row=auth.application)  # type: ignore[attr-defined]
    if user is None or not getattr(user, "is_authenticated", True):
        return caller_without_user(request)
    if lookups.is_row(user, get_user_model()):
        return Caller(kind=Kind.USER, row=user)
    name = _name_of(request)
    return Caller(kind=Kind.NAMED, name=name) if name else Caller(kind=Kind.UNKNOWN)


def caller_without_user(request: Any) -> Caller:
    """The caller of a request without a user: named by the project, the holder of an API key, or anonymous."""
    if name := _name_of(request):
        return Caller(kind=Kind.NAMED, name=name)
    holder: Holder | None = getattr(request, HOLDER, None)
    if holder is None:
        return Caller(kind=Kind.ANONYMOUS)
    if lookups.is_row(holder.found):
        is_user = lookups.is_row(holder.found, get_user_model())
        return Caller(kind=Kind.USER if is_user else Kind.HOLDER, row=holder.found, is_holder=True)
    return Caller(kind=Kind.HOLDER if holder.key else Kind.UNKNOWN, name=holder.name, is_holder=True)


def _name_of(request: Any) -> str:
    return import_string(conf.SNAPSHOT_USER)(request) if conf.SNAPSHOT_USER and conf.RESTORE_USER else ""


def is_known(request: Any) -> bool:
    """Whether ``request`` is neither anonymous nor of an unknown caller."""
    return caller(request).kind not in (Kind.ANONYMOUS, Kind.UNKNOWN)


def user_of(request: Any) -> Any:
    """The user who made ``request``, a row of the user model; None for other callers."""
    who = caller(request)
    return who.row if who.kind is Kind.USER else None


def owner_of(request: Any) -> Owner:
    """The default ``OWNER``: one account for each caller."""
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
    """The account of ``user``: the primary key; with database and schema, if the tasks are in another one.

    Accounts of other callers begin with a colon, so a leading colon of a key is doubled.
    """
    if places := _foreign_place():
        return ":".join(("", "user", *places, str(user.pk)))
    return f":{user.pk}" if str(user.pk).startswith(":") else str(user.pk)


def _foreign_place() -> list[str]:
    """(database, schema) of the user table that a router or middleware has chosen; without those of the tasks."""
    alias = router.db_for_write(get_user_model())
    schema = getattr(connections[alias], "schema_name", None) or "public"  # django-tenants
    is_other = alias != router.db_for_write(AsyncTask)
    return ([alias] if is_other else []) + ([schema] if schema != "public" else [])


def reference_to(user: Any) -> Any:
    """The primary key of ``user`` for a foreign key of our tables; None if the row is in another database or schema."""
    return None if user is None or _foreign_place() else user.pk


def owner(request: Any) -> Owner:
    """The owner of tasks that ``request`` submits, by the project's ``OWNER``."""
    resolved: Owner = import_string(conf.OWNER)(request)
    return resolved


def administers(request: Any) -> bool:
    """The default ``WEBHOOK_ADMIN``: staff, and callers with an account of their own."""
    user = user_of(request)
    return bool(getattr(user, "is_staff", False)) or owner(request).account == owner_of(request).account
