"""The keys of ``ASYNC_EXCHANGE``: default, validator, documentation. The settings reference is generated from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

from ..dialects.base.policy import VIEW
from ..protocol.validators import (
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
)
from .dotted_paths import AuthenticationClass, Executor, Function
from .mounts import Problem

T = TypeVar("T")

NAME = "ASYNC_EXCHANGE"
JOBS = Choice(choices=("run", "deliver"))
SECRET_NAME = Text(text="a name with hyphens instead of underscores", pattern=r"[^_\s]+", example="x-company-ticket")
QUEUE = Text(text="the name of a queue", pattern=r".+", example="webhooks")
RATE = Text(text="a rate of REST framework, or empty", pattern=r"([0-9]+/(s|m|h|d)[a-z]*)?", example="600/min")
AGENT = Text(text="a string of printable ASCII characters", pattern=r"[ -~]+", example="myproject/1.0")


class Reader(Protocol):
    """An object with settings as attributes."""

    def value_of(self, setting: Setting[Any]) -> Any: ...


class Setting(Generic[T]):
    """Descriptor of one key. Reading it raises ImproperlyConfigured if its value is invalid."""

    def __init__(self, default: T, validator: Validator) -> None:
        self.default, self.validator = default, validator

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...

    @overload
    def __get__(self, instance: Reader, owner: type) -> T: ...

    def __get__(self, instance: Reader | None, owner: type) -> T | Setting[T]:
        if instance is None:
            return self
        value: T = instance.value_of(self)
        return value

    def read(self, given: Mapping[str, Any]) -> Any:
        """Return the validated value: the one in ``given``, or the default. Raises Mistake."""
        return self.validator(given.get(self.name, self.default))  # the default executor may not be installed

    def problem(self, given: Mapping[str, Any]) -> Problem | None:
        """Return what is wrong with the value in ``given``, if anything."""
        try:
            self.read(given)
        except Mistake as error:
            return Problem(setting=f"{NAME}[{self.name!r}]", message=str(error), hint=error.hint, key=self.name)
        return None


class Keys:
    """All keys, typed. A misspelt key is an error of the type checker and of the system checks."""

    DIALECTS = Setting[Mapping[str, Mapping[str, Any]]]({"prefer": {}}, Mounts())
    """Mounts by name, each with its options; see below. ``prefer`` is mounted by default. None unmounts a dialect:
    ``{"prefer": None}``.
    """
    VIEWS = Setting[Sequence[str]]((), ListOf(each=VIEW))
    """Views that can be called asynchronously, in addition to those that are marked in code: URL names, or path
    patterns with a leading slash and ``*``.
    """
    OWNER = Setting[str]("django_asyncexchange.identity.owner_of", Function(parameters=("request",)))
    """Dotted path of a function that takes a request and returns a ``protocol.values.Owner``: caller and account."""
    ALLOW_ANONYMOUS = Setting[bool](False, Boolean())
    """Whether anonymous callers may submit calls. Anyone who knows the id can read their tasks."""
    AUTHENTICATION_CLASSES = Setting[Sequence[str]]((), ListOf(each=AuthenticationClass()))
    """Dotted paths of the REST framework authentication classes of the task endpoints, in this order. Empty = the
    classes that authenticated the call itself. See :doc:`/howto/authentication`.
    """
    THROTTLE_RATE = Setting[str]("", RATE)
    """Limit of requests per caller to all task endpoints together, as a REST framework rate: ``"600/min"``. More get
    429 with ``Retry-After``. Empty = no limit. The project's own throttles do not apply to task endpoints.
    """
    EXECUTOR = Setting[str]("django_asyncexchange.executors.django_q.DjangoQ", Executor())
    """Dotted path of the executor, which runs the calls: django-q2, ``django_asyncexchange.executors.celery.Celery`` or
    ``django_asyncexchange.executors.django_tasks.DjangoTasks``. See :doc:`/howto/executors`. For tests,
    ``django_asyncexchange.executors.inline.Inline`` runs them immediately in the web process.
    """
    REQUIRE_WORKER = Setting[bool](False, Boolean())
    """Whether calls are refused with 503 and ``Retry-After`` when no worker has sent a heartbeat for a minute, instead
    of waiting for one. Workers send a heartbeat every ``SWEEP_SECONDS``. See :doc:`/howto/deployment`.
    """
    MAX_REQUEST_BYTES = Setting[int](20 * 1024 * 1024, Integer(least=1, unit="bytes"))
    """Largest request body of an asynchronous call."""
    MAX_RESULT_BYTES = Setting[int](5 * 1024**3, Integer(least=1, unit="bytes"))
    """Largest response body that is stored. A larger one ends its task in ``ERROR`` with the reason ``storage``."""
    INLINE_BYTES = Setting[int](64 * 1024, Integer(unit="bytes"))
    """Bodies up to this size are stored in the database, larger ones in ``STORAGES["asyncexchange"]``."""
    SENDFILE = Setting[bool](False, Boolean())
    """Whether the web server sends stored files (``X-Accel-Redirect``, ``X-Sendfile``), by django-sendfile2:
    ``pip install django-asyncexchange[sendfile]``. See :doc:`/howto/storing-and-serving-results`.
    """
    PRESIGNED = Setting[bool](False, Boolean())
    """Whether download links redirect to a presigned URL of the S3 bucket. Such a URL cannot be revoked. See
    :doc:`/howto/storing-and-serving-results`.
    """
    KEEP_REQUESTS = Setting[bool](False, Boolean())
    """Whether a finished task keeps its captured request, body included, so that it can be rerun from the admin."""
    SECRET_NAMES = Setting[Sequence[str]]((), ListOf(each=SECRET_NAME))
    """Names of headers and query parameters that are not stored, so the run does not have them either: patterns in
    lower case with hyphens, ``["x-company-ticket", "sid"]``. See :doc:`captured-calls`.
    """
    ENCRYPTION_KEYS = Setting[Sequence[str]]((), ListOf(each=FernetKey()))
    """Fernet keys that encrypt captured requests at rest: the first encrypts, all decrypt. Empty = a key derived from
    ``SECRET_KEY``. See :doc:`/howto/authentication`.
    """
    SNAPSHOT_AUTH = Setting[str]("django_asyncexchange.identity.snapshot_auth", Function(parameters=("request",)))
    """Dotted path of a function that takes a request and returns a reference to its ``request.auth``, as a string
    without secrets.
    """
    RESTORE_AUTH = Setting[str](
        "django_asyncexchange.identity.restore_auth", Function(parameters=("user", "reference"))
    )
    """Dotted path of a function that takes the user and that reference and returns ``request.auth`` of the run. It
    raises ``identity.IdentityLost`` if the reference is no longer valid.
    """
    SNAPSHOT_USER = Setting[str]("", Function(parameters=("request",), may_be_empty=True))
    """Dotted path of a function that takes a request and returns a stable, unique name of a caller that is not a row of
    the user model. An empty string = calls of this caller are refused. See :doc:`/howto/authentication`.
    """
    RESTORE_USER = Setting[str]("", Function(parameters=("name", "auth"), may_be_empty=True))
    """Dotted path of a function that takes that name and the restored ``request.auth`` and returns ``request.user`` of
    the run. It raises ``identity.IdentityLost`` if that caller may no longer act.
    """
    RUN_HEADERS = Setting[str]("", Function(parameters=("name",), may_be_empty=True))
    """Dotted path of a function that takes that name and returns a dictionary of headers, which replace the credentials
    that were not stored. It raises ``identity.IdentityLost`` likewise. See :doc:`/howto/authentication`.
    """
    REVOKE_ON_PASSWORD_CHANGE = Setting[bool](False, Boolean())
    """Whether a call fails if its user's password, or session auth hash, has changed since it was submitted."""
    LEASE_SECONDS = Setting[float](30, Seconds())
    """A run counts as lost when its worker has not renewed its lease for this many seconds. On SQLite, and where the
    worker is on the same machine, it counts as lost as soon as its process is gone.
    """
    SWEEP_SECONDS = Setting[float](5, Seconds())
    """Interval in seconds at which a worker looks for calls that can be dispatched, and for lost runs."""
    MAX_WAIT_SECONDS = Setting[float](30, Seconds(above=False))
    """Longest time in seconds that ``Prefer: wait=N``, and a redirect to the status, hold a request open."""
    WSGI_EVENTS = Setting[bool](False, Boolean())
    """Whether a task's events are streamed under WSGI, too, where each stream occupies a thread of the web server.
    Under ASGI they always are. See :doc:`/howto/events`.
    """
    PATIENCE = Setting[float](0, Seconds(above=False))
    """Seconds for which a call of a marked view is held although its client did not ask to be answered later; 0 = such
    calls are not accepted as tasks. Mounts and views may have another. See :doc:`/howto/patience`.
    """
    PRUNE_SECONDS = Setting[float](300, Seconds(above=False))
    """Interval in seconds at which a worker deletes expired data. 0 = only ``manage.py asyncexchange_prune`` does."""

    WEBHOOK_ADMIN = Setting[str]("django_asyncexchange.identity.administers", Function(parameters=("request",)))
    """Dotted path of a function that takes a request and returns whether its user may manage the account's webhooks. By
    default, staff may, and users that have an account of their own.
    """
    WEBHOOK_ALLOWED_NETWORKS = Setting[Sequence[str]]((), ListOf(each=Network()))
    """Private networks that webhooks may call: ``["127.0.0.0/8"]`` in development. The metadata addresses of cloud
    providers are always blocked.
    """
    WEBHOOK_PORTS = Setting[Sequence[int]]((80, 443, 8443), ListOf(each=Integer(least=1, most=65535), is_filled=True))
    """Ports that webhooks may call."""
    WEBHOOK_REQUIRE_HTTPS = Setting[bool | None](None, OrNone(other=Boolean()))
    """Whether webhook URLs have to be HTTPS. ``None`` = unless ``DEBUG``. Mounts can opt out with ``REQUIRE_HTTPS``."""
    WEBHOOK_PROXY = Setting[str]("", Url())
    """URL of a proxy for webhooks, which is then responsible for what they can reach."""
    WEBHOOK_SCHEDULE = Setting[Sequence[float]](
        (0, 30, 120, 300, 900, 1800, 7200, 18000, 36000), ListOf(each=Seconds(above=False), is_filled=True)
    )
    """Pauses in seconds before each attempt of a delivery. After the last attempt it fails. Protocols with a schedule
    of their own ignore this.
    """
    WEBHOOK_IN_FLIGHT = Setting[int](2, Integer(least=1))
    """How many deliveries of one account are sent to one host at the same time."""
    WEBHOOK_USER_AGENT = Setting[str]("django-asyncexchange", AGENT)
    """``User-Agent`` of webhooks. MoySklad's own is ``MoySklad webhook touch agent 2.0 (/https://www.moysklad.ru)``."""
    ON_USER_DELETE = Setting[str]("delete", Choice(choices=("delete", "keep")))
    """What happens to the tasks and webhooks of a deleted user: ``"delete"`` them, or ``"keep"`` them until they
    expire. See :doc:`/howto/personal-data`.
    """
    QUEUES = Setting[Mapping[str, str]]({}, DictOf(key=JOBS, each=QUEUE))
    """Job → name of its queue (for django-q2, of its cluster). Jobs are ``run`` for calls and ``deliver`` for webhooks.
    A job without an entry uses the default queue.
    """

    def value_of(self, setting: Setting[Any]) -> Any:
        """Return the value of one key."""
        raise NotImplementedError

    @classmethod
    def settings(cls) -> Iterator[Setting[Any]]:
        """Yield all settings."""
        return (value for value in vars(Keys).values() if isinstance(value, Setting))
