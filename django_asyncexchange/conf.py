"""The only reader of Django's settings. ``ASYNC_EXCHANGE`` is looked up again when ``override_settings`` changes it.

>>> conf.ALLOW_ANONYMOUS
False
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from .addresses import Rules
from .dialects.base import Dialect, Policy
from .dialects.policy import VIEW
from .mounts import Wrong, entries
from .mounts import mount as mount
from .paths import Executor, Function
from .signing import Signer
from .validators import (
    Boolean,
    Choice,
    DictOf,
    FernetKey,
    Integer,
    ListOf,
    Mistake,
    Mounts,
    Network,
    OrNone,
    Seconds,
    Text,
    Url,
    Validator,
    shown,
)

T = TypeVar("T")

NAME = "ASYNC_EXCHANGE"
READING = ("django_sendfile.backends.simple", "django_sendfile.backends.development")
"""Values of ``SENDFILE_BACKEND`` that hand nothing over."""


JOBS = Choice(choices=("run", "deliver"))
SECRET_NAME = Text(text="a name with hyphens, not underscores", pattern=r"[^_\s]+", example="x-company-ticket")
QUEUE = Text(text="the name of a queue", pattern=r".+", example="webhooks")
AGENT = Text(text="a text without line breaks", pattern=r"[ -~]+", example="myproject/1.0")
WATCHED = {NAME, "INSTALLED_APPS", "Q_CLUSTER", "ROOT_URLCONF", "TASKS"}
"""Settings of which it depends whether ours can be used."""

_known: dict[str, Any] = {}
"""``ASYNC_EXCHANGE``, its values, the mounts made of it: every request asks, and Django's own look takes its time."""


def given() -> Mapping[str, Any]:
    """``ASYNC_EXCHANGE`` as the project wrote it, or nothing. Raises ImproperlyConfigured for no dictionary."""
    known = _known
    if "given" not in known:
        found = getattr(settings, NAME, {})
        if not isinstance(found, Mapping):
            wrong, cure = f"{shown(found)} is no dictionary.", "Write a dictionary: {'DIALECTS': {…}}."
            raise ImproperlyConfigured(str(Wrong(place=NAME, wrong=wrong, cure=cure)))
        known["given"] = found
    found = known["given"]
    return found  # type: ignore[no-any-return]


@receiver(setting_changed, dispatch_uid="django_asyncexchange.conf")
def forget(*, setting: str, **kwargs: Any) -> None:
    """Look again, where a test overrides what was given. Anew: another thread may be filling what there is."""
    global _known
    if setting in WATCHED:
        _known = {}


class Setting(Generic[T]):
    """One key of ``ASYNC_EXCHANGE`` with its default, and what it takes. Reading it raises ImproperlyConfigured."""

    def __init__(self, default: T, validator: Validator) -> None:
        self.default, self.validator = default, validator

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> T | Setting[T]:
        if instance is None:
            return self
        known = _known
        if self.name not in known:
            known[self.name] = self.read()
        value: T = known[self.name]
        return value

    def read(self) -> Any:
        """The value that holds, as the code wants it."""
        if wrong := self.mistake():
            raise ImproperlyConfigured(str(wrong))
        return self.validator(given()[self.name]) if self.name in given() else self.default

    def mistake(self) -> Wrong | None:
        """What is wrong with what was given."""
        try:
            if self.name in given():
                self.validator(given()[self.name])
        except Mistake as error:
            place = f"{NAME}[{self.name!r}]"
            return Wrong(place=place, wrong=str(error), cure=error.cure, key=self.name)
        return None


class Conf:
    """Every key of ``ASYNC_EXCHANGE``. An attribute that is not here is a typing error and a system check error."""

    DIALECTS = Setting[Mapping[str, Mapping[str, Any]]]({"prefer": {}}, Mounts())
    """Mounts by name: ``{"moysklad": {"PREFIX": "/api/remap/1.2", "CAPACITY": 8}}``; see ``dialects.base.Policy``."""
    VIEWS = Setting[Sequence[str]]((), ListOf(each=VIEW))
    """Views that may be called asynchronously, besides decorated ones: URL names, or path patterns like ``/api/*``."""
    OWNER = Setting[str]("django_asyncexchange.identity.owner_of", Function(parameters=("request",)))
    """Dotted path of ``callable(request) -> messages.Owner``: whose account a call belongs to."""
    ALLOW_ANONYMOUS = Setting[bool](False, Boolean())
    """Whether callers without an identity may submit. Their tasks are readable by whoever knows the id."""
    EXECUTOR = Setting[str]("django_asyncexchange.executors.django_q.DjangoQ", Executor())
    """Dotted path of the executor class: what runs ``worker.run``."""
    REQUIRE_WORKER = Setting[bool](False, Boolean())
    """Whether calls are refused while no worker has been heard of for a minute, instead of waiting for one."""
    MAX_REQUEST_BYTES = Setting[int](20 * 1024 * 1024, Integer(least=1, unit="bytes"))
    """Largest request body accepted for later, in bytes."""
    MAX_RESULT_BYTES = Setting[int](5 * 1024**3, Integer(least=1, unit="bytes"))
    """Largest answer kept, in bytes; a larger one ends its task in ERROR with reason storage."""
    INLINE_BYTES = Setting[int](64 * 1024, Integer(unit="bytes"))
    """Bodies up to this size, in bytes, stay in the database; larger ones go to ``STORAGES["asyncexchange"]``."""
    SENDFILE = Setting[bool](False, Boolean())
    """Whether the web server in front sends stored files, as django-sendfile2's own settings say."""
    PRESIGNED = Setting[bool](False, Boolean())
    """Whether links to files lead on to a presigned address of the S3 bucket, which nobody can revoke."""
    KEEP_REQUESTS = Setting[bool](False, Boolean())
    """Whether a finished task keeps its captured request, so that an administrator can run it again."""
    SECRET_NAMES = Setting[Sequence[str]]((), ListOf(each=SECRET_NAME))
    """Names of headers and query parameters that are not kept, as patterns in lower case with hyphens."""
    ENCRYPTION_KEYS = Setting[Sequence[str]]((), ListOf(each=FernetKey()))
    """Fernet keys for captured requests at rest; the first encrypts, all decrypt. Empty = derived from SECRET_KEY."""
    SNAPSHOT_AUTH = Setting[str]("django_asyncexchange.identity.snapshot_auth", Function(parameters=("request",)))
    """Dotted path of ``callable(request) -> str``: a reference to ``request.auth`` without any secret."""
    RESTORE_AUTH = Setting[str](
        "django_asyncexchange.identity.restore_auth", Function(parameters=("user", "reference"))
    )
    """Dotted path of ``callable(user, reference) -> auth``; raises ``identity.IdentityLost`` where it was revoked."""
    SNAPSHOT_USER = Setting[str]("", Function(parameters=("request",), may_be_empty=True))
    """Dotted path of ``callable(request) -> str``: the lasting name of who is no row of the user model, or ``""``."""
    RESTORE_USER = Setting[str]("", Function(parameters=("name", "auth"), may_be_empty=True))
    """Dotted path of ``callable(name, auth) -> user`` for such a name; raises ``identity.IdentityLost``."""
    RUN_HEADERS = Setting[str]("", Function(parameters=("name",), may_be_empty=True))
    """Dotted path of ``callable(name) -> dict``: headers that the run of such a caller has instead of credentials."""
    REVOKE_ON_PASSWORD_CHANGE = Setting[bool](False, Boolean())
    """Whether a call does not run whose user's sessions were ended meanwhile, as a new password does."""
    LEASE_SECONDS = Setting[float](30, Seconds())
    """A run counts as lost when its worker has not been heard of for so long, in seconds."""
    SWEEP_SECONDS = Setting[float](5, Seconds())
    """How often a worker process looks for calls that wait for their account's turn, in seconds."""
    MAX_WAIT_SECONDS = Setting[float](30, Seconds(above=False))
    """Longest time for which a client's ``Prefer: wait=N`` holds its request open, in seconds."""
    PRUNE_SECONDS = Setting[float](300, Seconds(above=False))
    """How often a worker process deletes what has expired, in seconds; 0 = only the management command does."""

    WEBHOOK_ADMIN = Setting[str]("django_asyncexchange.identity.administers", Function(parameters=("request",)))
    """Dotted path of ``callable(request) -> bool``: who may manage the webhooks of its account."""
    WEBHOOK_ALLOWED_NETWORKS = Setting[Sequence[str]]((), ListOf(each=Network()))
    """Networks that webhooks may reach although they are not public, like ``"127.0.0.0/8"``."""
    WEBHOOK_PORTS = Setting[Sequence[int]]((80, 443, 8443), ListOf(each=Integer(least=1, most=65535), is_filled=True))
    """Ports that webhooks may be sent to."""
    WEBHOOK_REQUIRE_HTTPS = Setting[bool | None](None, OrNone(other=Boolean()))
    """Whether addresses have to be HTTPS, where the protocol does not say otherwise; None = unless ``DEBUG``."""
    WEBHOOK_PROXY = Setting[str]("", Url())
    """A proxy that webhooks go through, and that guards what they reach instead of this application."""
    WEBHOOK_SCHEDULE = Setting[Sequence[float]](
        (0, 30, 120, 300, 900, 1800, 7200, 18000, 36000), ListOf(each=Seconds(above=False), is_filled=True)
    )
    """Pauses before each try of a delivery, in seconds; when they are used up, it is given up."""
    WEBHOOK_IN_FLIGHT = Setting[int](2, Integer(least=1))
    """How many deliveries may be on their way to one host at a time."""
    WEBHOOK_USER_AGENT = Setting[str]("django-asyncexchange", AGENT)
    """What webhooks call themselves."""
    QUEUES = Setting[Mapping[str, str]]({}, DictOf(key=JOBS, each=QUEUE))
    """Name of the queue (for django-q2, of the cluster) by job, ``run`` or ``deliver``; absent = the default one."""

    def names(self) -> Iterator[str]:
        """The names of all settings."""
        return (name for name, value in vars(Conf).items() if isinstance(value, Setting))

    @property
    def raw(self) -> Mapping[str, Any]:
        """``ASYNC_EXCHANGE`` as the project wrote it."""
        return given()

    def is_known(self, fact: str) -> bool:
        """Whether ``learn`` was told ``fact`` of the settings as they are now."""
        return fact in _known

    def learn(self, fact: str) -> None:
        """Keep a fact until the settings change."""
        _known[fact] = True

    def project_names(self) -> list[str]:
        """The names of all settings that the project, or Django, has."""
        return [name for name in dir(settings) if name.isupper()]

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
        """The mounted dialects in the order in which they are asked: by trigger, the more special first.

        Raises ImproperlyConfigured where one cannot be mounted.
        """
        known = _known
        if "mounts" not in known:
            try:
                ready = [mount(name, options) for name, options in entries(self.DIALECTS).items()]
            except Mistake as error:
                raise ImproperlyConfigured(f"{error} {error.cure}") from error
            known["mounts"] = tuple(sorted(ready, key=_precedence))
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
