"""The only reader of Django's settings. ``ASYNC_EXCHANGE`` is looked up again when ``override_settings`` changes it.

>>> conf.ALLOW_ANONYMOUS
False
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from .addresses import Rules
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
READING = ("django_sendfile.backends.simple", "django_sendfile.backends.development")
"""Values of ``SENDFILE_BACKEND`` that hand nothing over."""


_known: dict[str, Any] = {}
"""``ASYNC_EXCHANGE`` and the mounts made of it: every request asks for them, and Django's own look takes its time."""


def given() -> Mapping[str, Any]:
    """``ASYNC_EXCHANGE`` as the project wrote it, or nothing."""
    known = _known
    if "given" not in known:
        known["given"] = getattr(settings, NAME, {})
    found: Mapping[str, Any] = known["given"]
    return found


@receiver(setting_changed, dispatch_uid="django_asyncexchange.conf")
def forget(*, setting: str, **kwargs: Any) -> None:
    """Look again, where a test overrides what was given. Anew: another thread may be filling what there is."""
    global _known
    if setting == NAME:
        _known = {}


class Setting(Generic[T]):
    """One key of ``ASYNC_EXCHANGE`` with its default."""

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
        value: T = given().get(self.name, self.default)
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
    AUTHENTICATION_CLASSES = Setting[Sequence[str]](())
    """REST framework's classes, as dotted paths, that authenticate requests to task addresses; empty = all that
    authenticate calls.
    """
    THROTTLE_RATE = Setting[str]("")
    """Requests that one caller may send to task addresses, as REST framework writes it: ``"600/min"``; empty = any."""
    EXECUTOR = Setting[str]("django_asyncexchange.executors.django_q.DjangoQ")
    """Dotted path of the executor class: what runs ``worker.run``."""
    REQUIRE_WORKER = Setting[bool](False)
    """Whether calls are refused while no worker has been heard of for a minute, instead of waiting for one."""
    MAX_REQUEST_BYTES = Setting[int](20 * 1024 * 1024)
    """Largest request body accepted for later, in bytes."""
    MAX_RESULT_BYTES = Setting[int](5 * 1024**3)
    """Largest answer kept, in bytes; a larger one ends its task in ERROR with reason storage."""
    INLINE_BYTES = Setting[int](64 * 1024)
    """Bodies up to this size, in bytes, stay in the database; larger ones go to ``STORAGES["asyncexchange"]``."""
    SENDFILE = Setting[bool](False)
    """Whether the web server in front sends stored files, as django-sendfile2's own settings say."""
    PRESIGNED = Setting[bool](False)
    """Whether links to files lead on to a presigned address of the S3 bucket, which nobody can revoke."""
    KEEP_REQUESTS = Setting[bool](False)
    """Whether a finished task keeps its captured request, so that an administrator can run it again."""
    SECRET_NAMES = Setting[Sequence[str]](())
    """Names of headers and query parameters that are not kept, as patterns in lower case with hyphens."""
    ENCRYPTION_KEYS = Setting[Sequence[str]](())
    """Fernet keys for captured requests at rest; the first encrypts, all decrypt. Empty = derived from SECRET_KEY."""
    SNAPSHOT_AUTH = Setting[str]("django_asyncexchange.identity.snapshot_auth")
    """Dotted path of ``callable(request) -> str``: a reference to ``request.auth`` without any secret."""
    RESTORE_AUTH = Setting[str]("django_asyncexchange.identity.restore_auth")
    """Dotted path of ``callable(user, reference) -> auth``; raises ``identity.IdentityLost`` where it was revoked."""
    SNAPSHOT_USER = Setting[str]("")
    """Dotted path of ``callable(request) -> str``: the lasting name of who is no row of the user model, or ``""``."""
    RESTORE_USER = Setting[str]("")
    """Dotted path of ``callable(name, auth) -> user`` for such a name; raises ``identity.IdentityLost``."""
    RUN_HEADERS = Setting[str]("")
    """Dotted path of ``callable(name) -> dict``: headers that the run of such a caller has instead of credentials."""
    REVOKE_ON_PASSWORD_CHANGE = Setting[bool](False)
    """Whether a call does not run whose user's sessions were ended meanwhile, as a new password does."""
    LEASE_SECONDS = Setting[float](30)
    """A run counts as lost when its worker has not been heard of for so long, in seconds."""
    SWEEP_SECONDS = Setting[float](5)
    """How often a worker process looks for calls that wait for their account's turn, in seconds."""
    MAX_WAIT_SECONDS = Setting[float](30)
    """Longest time for which a client's ``Prefer: wait=N`` holds its request open, in seconds."""
    PRUNE_SECONDS = Setting[int](300)
    """How often a worker process deletes what has expired, in seconds; 0 = only the management command does."""

    WEBHOOK_ADMIN = Setting[str]("django_asyncexchange.identity.administers")
    """Dotted path of ``callable(request) -> bool``: who may manage the webhooks of its account."""
    WEBHOOK_ALLOWED_NETWORKS = Setting[Sequence[str]](())
    """Networks that webhooks may reach although they are not public, like ``"127.0.0.0/8"``."""
    WEBHOOK_PORTS = Setting[Sequence[int]]((80, 443, 8443))
    """Ports that webhooks may be sent to."""
    WEBHOOK_REQUIRE_HTTPS = Setting[bool | None](None)
    """Whether addresses have to be HTTPS, where the protocol does not say otherwise; None = unless ``DEBUG``."""
    WEBHOOK_PROXY = Setting[str]("")
    """A proxy that webhooks go through, and that guards what they reach instead of this application."""
    WEBHOOK_SCHEDULE = Setting[Sequence[float]]((0, 30, 120, 300, 900, 1800, 7200, 18000, 36000))
    """Pauses before each try of a delivery, in seconds; when they are used up, it is given up."""
    WEBHOOK_IN_FLIGHT = Setting[int](2)
    """How many deliveries may be on their way to one host at a time."""
    WEBHOOK_USER_AGENT = Setting[str]("django-asyncexchange")
    """What webhooks call themselves."""
    ON_USER_DELETE = Setting[str]("delete")
    """What becomes of tasks and webhooks of a user who is deleted: ``"delete"``, or ``"keep"`` until they expire."""
    QUEUES = Setting[Mapping[str, str]]({})
    """Name of the queue (for django-q2, of the cluster) by job, ``run`` or ``deliver``; absent = the default one."""

    def names(self) -> Iterator[str]:
        """The names of all settings."""
        return (name for name, value in vars(Conf).items() if isinstance(value, Setting))

    @property
    def raw(self) -> Mapping[str, Any]:
        """``ASYNC_EXCHANGE`` as the project wrote it."""
        return given()

    def project(self, name: str, default: Any = None) -> Any:
        """A setting of Django itself or of another app."""
        return getattr(settings, name, default)

    @property
    def has_server_in_front(self) -> bool:
        """Whether django-sendfile2 tells a web server to send a file; its backends for development read it."""
        backend = self.project("SENDFILE_BACKEND")
        return bool(backend) and backend not in READING

    @property
    def mounts(self) -> tuple[Dialect, ...]:
        """The mounted dialects in the order in which they are asked: by trigger, the more special first."""
        known = _known
        if "mounts" not in known:
            ready = sorted((mount(name, options) for name, options in self.DIALECTS.items()), key=_precedence)
            known["mounts"] = tuple(ready)
        return known["mounts"]  # type: ignore[no-any-return]

    def mounted(self, name: str) -> Dialect | None:
        """The mount called ``name``; None where the project has taken it down meanwhile."""
        return next((mount for mount in self.mounts if mount.name == name), None)

    def policy(self, name: str) -> Policy:
        """The numbers that apply to tasks of the mount called ``name``."""
        dialect = self.mounted(name)
        return dialect.policy if dialect else Policy()

    def dialect(self, name: str) -> Dialect:
        """The mount called ``name``; KeyError where there is none."""
        return {mount.name: mount for mount in self.mounts}[name]

    def signer(self, salt: str) -> Signer:
        """Signs with ``SECRET_KEY`` and accepts ``SECRET_KEY_FALLBACKS``."""
        return Signer(keys=self.secret_keys, salt=f"django_asyncexchange.{salt}")

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """``SECRET_KEY``, then those that it replaced."""
        return str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS)

    def rules(self, policy: Policy) -> Rules:
        """What the webhooks of a mount may call."""
        required = not settings.DEBUG if self.WEBHOOK_REQUIRE_HTTPS is None else self.WEBHOOK_REQUIRE_HTTPS
        return Rules(
            ports=tuple(self.WEBHOOK_PORTS),
            networks=tuple(self.WEBHOOK_ALLOWED_NETWORKS),
            https_only=required and policy.require_https,
        )


conf = Conf()


def _precedence(dialect: Dialect) -> tuple[int, bool, int]:
    """The more special mount first: one that covers its own paths before one that only has its tasks there."""
    return dialect.TRIGGER, dialect.covers("/"), -len(dialect.prefix)


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
