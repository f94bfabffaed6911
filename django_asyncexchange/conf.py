"""The only reader of Django's settings. ``ASYNC_EXCHANGE`` is read anew at each access, so ``override_settings`` works.

>>> conf.ALLOW_ANONYMOUS
False
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from django.conf import settings
from django.utils.module_loading import import_string

from .dialects.base import Dialect, Policy
from .signing import Signer

T = TypeVar("T")

NAME = "ASYNC_EXCHANGE"
BUILT_IN: Mapping[str, str] = {
    name: f"django_asyncexchange.dialects.{name}.{cls}"
    for name, cls in {
        "prefer": "Prefer",
        "solitude": "Solitude",
        "moysklad": "MoySklad",
        "kladana": "Kladana",
        "mailru": "MailRu",
        "cisco": "Cisco",
    }.items()
}
"""Dialects that need no ``CLASS``, by the name of their mount."""


class Setting(Generic[T]):
    """One key of ``ASYNC_EXCHANGE`` with its default, read live."""

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> T | Setting[T]:
        if instance is None:
            return self
        value: T = getattr(settings, NAME, {}).get(self.name, self.default)
        return value


class Conf:
    """Every key of ``ASYNC_EXCHANGE``. An attribute that is not here is a typing error and a system check error."""

    DIALECTS = Setting[Mapping[str, Mapping[str, Any]]]({"prefer": {}})
    """Mounts by name: ``{"moysklad": {"PREFIX": "/api/remap/1.2", "CAPACITY": 8}}``; see ``dialects.base.Policy``."""
    VIEWS = Setting[Sequence[str]](())
    """Views that may be called asynchronously, besides decorated ones: URL names, or path patterns like ``/api/*``."""
    OWNER = Setting[str]("django_asyncexchange.identity.owner_of")
    """Dotted path of ``callable(request) -> messages.Owner``: whose account a call belongs to."""
    ALLOW_ANONYMOUS = Setting[bool](False)
    """Whether callers without an identity may submit. Their tasks are readable by whoever knows the id."""
    EXECUTOR = Setting[str]("django_asyncexchange.executors.django_q.DjangoQ")
    """Dotted path of the executor class: what runs ``worker.run``."""
    MAX_REQUEST_BYTES = Setting[int](20 * 1024 * 1024)
    """Largest request body accepted for later, in bytes."""
    MAX_RESULT_BYTES = Setting[int](5 * 1024**3)
    """Largest answer kept, in bytes; a larger one ends its task in ERROR with reason storage."""
    INLINE_BYTES = Setting[int](64 * 1024)
    """Bodies up to this size, in bytes, stay in the database; larger ones go to ``STORAGES["asyncexchange"]``."""
    KEEP_REQUESTS = Setting[bool](False)
    """Whether a finished task keeps its captured request, so that an administrator can run it again."""
    SECRET_NAMES = Setting[Sequence[str]](())
    """More names of headers and query parameters that are credentials, as patterns in lower case with hyphens."""
    ENCRYPTION_KEYS = Setting[Sequence[str]](())
    """Fernet keys for captured requests at rest; the first encrypts, all decrypt. Empty = not encrypted."""
    SNAPSHOT_AUTH = Setting[str]("django_asyncexchange.identity.snapshot_auth")
    """Dotted path of ``callable(request) -> str``: a reference to ``request.auth`` without any secret."""
    RESTORE_AUTH = Setting[str]("django_asyncexchange.identity.restore_auth")
    """Dotted path of ``callable(user, reference) -> auth``; raises ``identity.IdentityLost`` where it was revoked."""
    SWEEP_SECONDS = Setting[float](5)
    """How often a worker process looks for calls that wait for their account's turn, in seconds."""
    MAX_WAIT_SECONDS = Setting[float](30)
    """Longest time for which a client's ``Prefer: wait=N`` holds its request open, in seconds."""
    PRUNE_SECONDS = Setting[int](300)
    """How often a worker process deletes what has expired, in seconds; 0 = only the management command does."""

    def names(self) -> Iterator[str]:
        """The names of all settings."""
        return (name for name, value in vars(Conf).items() if isinstance(value, Setting))

    @property
    def raw(self) -> Mapping[str, Any]:
        """``ASYNC_EXCHANGE`` as the project wrote it."""
        value: Mapping[str, Any] = getattr(settings, NAME, {})
        return value

    def project(self, name: str, default: Any = None) -> Any:
        """A setting of Django itself or of another app."""
        return getattr(settings, name, default)

    @property
    def mounts(self) -> tuple[Dialect, ...]:
        """The mounted dialects in the order in which they are asked: by trigger (contract F), longest prefix first."""
        given = self.DIALECTS
        if _mounted[0] is not given:
            ready = sorted((mount(name, options) for name, options in given.items()), key=_precedence)
            _mounted[:] = given, tuple(ready)
        mounts: tuple[Dialect, ...] = _mounted[1]
        return mounts

    def dialect(self, name: str) -> Dialect:
        """The mount called ``name``; KeyError where there is none."""
        return {mount.name: mount for mount in self.mounts}[name]

    def signer(self, salt: str) -> Signer:
        """Signs with ``SECRET_KEY`` and accepts ``SECRET_KEY_FALLBACKS``."""
        keys = (str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS))
        return Signer(keys=keys, salt=f"django_asyncexchange.{salt}")


conf = Conf()

_mounted: list[Any] = [None, ()]
"""The ``DIALECTS`` object that was built last, and what came of it: every request asks for the mounts."""


def _precedence(dialect: Dialect) -> tuple[int, int]:
    return dialect.TRIGGER, -len(dialect.prefix)


def mount(name: str, options: Mapping[str, Any]) -> Dialect:
    """The dialect of one entry of ``DIALECTS``. Raises KeyError, ImportError or TypeError where the entry is wrong."""
    rest = dict(options)
    path = rest.pop("CLASS", None) or BUILT_IN[name]
    cls: type[Dialect] = import_string(path)
    prefix = rest.pop("PREFIX", "")
    policy = dataclasses.replace(cls.POLICY, **{key.lower(): _typed(cls.POLICY, key, rest[key]) for key in rest})
    return cls(name=name, prefix=prefix, policy=policy)


def mountings() -> Iterator[tuple[str, Dialect | Exception]]:
    """Each entry of ``DIALECTS`` by name: mounted, or why it cannot be."""
    for name, options in conf.DIALECTS.items():
        try:
            yield name, mount(name, options)
        except Exception as error:
            yield name, error


def _typed(policy: Policy, key: str, value: Any) -> Any:
    """Durations may be given in seconds, sequences as lists."""
    default = getattr(policy, key.lower(), None)
    if isinstance(default, dt.timedelta) and isinstance(value, int | float):
        return dt.timedelta(seconds=value)
    return tuple(value) if isinstance(default, tuple) else value
