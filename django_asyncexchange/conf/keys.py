"""Every key of ``ASYNC_EXCHANGE`` with its default, what it takes, and what it is for: the reference is made of it."""

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
from .mounts import Wrong

T = TypeVar("T")

NAME = "ASYNC_EXCHANGE"
JOBS = Choice(choices=("run", "deliver"))
SECRET_NAME = Text(text="a name with hyphens, not underscores", pattern=r"[^_\s]+", example="x-company-ticket")
QUEUE = Text(text="the name of a queue", pattern=r".+", example="webhooks")
RATE = Text(text="a rate of REST framework, or nothing", pattern=r"([0-9]+/(s|m|h|d)[a-z]*)?", example="600/min")
AGENT = Text(text="a text without line breaks", pattern=r"[ -~]+", example="myproject/1.0")


class Reader(Protocol):
    """Whoever has keys, and knows what the project wrote."""

    def value_of(self, setting: Setting[Any]) -> Any: ...


class Setting(Generic[T]):
    """One key. Reading it raises ImproperlyConfigured where its value cannot be used."""

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
        """The value that holds, as the code wants it. Raises Mistake."""
        return self.validator(given.get(self.name, self.default))  # the default executor may not be installed

    def mistake(self, given: Mapping[str, Any]) -> Wrong | None:
        """What is wrong with what was given."""
        try:
            self.read(given)
        except Mistake as error:
            return Wrong(place=f"{NAME}[{self.name!r}]", wrong=str(error), cure=error.cure, key=self.name)
        return None


class Keys:
    """An attribute that is not here is a typing error, and an error of the system checks."""

    DIALECTS = Setting[Mapping[str, Mapping[str, Any]]]({"prefer": {}}, Mounts())
    """The mounts by name, each with its options; see below. ``prefer`` is among them without being named. None takes a
    mount down: ``{"prefer": None}``.
    """
    VIEWS = Setting[Sequence[str]]((), ListOf(each=VIEW))
    """Views that can be called asynchronously besides those that say so themselves: URL names, or patterns for paths
    with a leading slash and ``*``.
    """
    OWNER = Setting[str]("django_asyncexchange.identity.owner_of", Function(parameters=("request",)))
    """Dotted path of a function that takes a request and gives a ``messages.Owner``: who calls, for which account."""
    ALLOW_ANONYMOUS = Setting[bool](False, Boolean())
    """Whether callers without an identity may submit. Their tasks can be read by whoever knows the id."""
    AUTHENTICATION_CLASSES = Setting[Sequence[str]]((), ListOf(each=AuthenticationClass()))
    """Dotted paths of REST framework's classes that authenticate requests to task addresses, in this order. Empty = the
    classes that authenticate calls. See :doc:`/howto/authentication`.
    """
    THROTTLE_RATE = Setting[str]("", RATE)
    """Requests that one caller may send to all task addresses together, as REST framework writes a rate: ``"600/min"``.
    More are answered with 429 and ``Retry-After``. Empty = any number. The project's own throttles do not apply there.
    """
    EXECUTOR = Setting[str]("django_asyncexchange.executors.django_q.DjangoQ", Executor())
    """Dotted path of what runs the calls: django-q2, ``django_asyncexchange.executors.celery.Celery`` or
    ``django_asyncexchange.executors.django_tasks.DjangoTasks``. See :doc:`/howto/executors`.
    ``django_asyncexchange.executors.inline.Inline`` runs them at once in the web process, for tests.
    """
    REQUIRE_WORKER = Setting[bool](False, Boolean())
    """Whether a call is refused with 503 and ``Retry-After`` while no worker has been heard of for a minute, instead of
    waiting for one. Workers then say every ``SWEEP_SECONDS`` that they are there. See :doc:`/howto/deployment`.
    """
    MAX_REQUEST_BYTES = Setting[int](20 * 1024 * 1024, Integer(least=1, unit="bytes"))
    """Largest request body that is accepted for later."""
    MAX_RESULT_BYTES = Setting[int](5 * 1024**3, Integer(least=1, unit="bytes"))
    """Largest answer that is kept. A larger one ends its task in ``ERROR`` with the reason ``storage``."""
    INLINE_BYTES = Setting[int](64 * 1024, Integer(unit="bytes"))
    """Bodies up to this size stay in the database, larger ones go to ``STORAGES["asyncexchange"]``."""
    SENDFILE = Setting[bool](False, Boolean())
    """Whether the web server in front sends stored files (``pip install django-asyncexchange[sendfile]``). See
    :doc:`/howto/storing-and-serving-results`.
    """
    PRESIGNED = Setting[bool](False, Boolean())
    """Whether a link to a file leads on to a presigned address of the S3 bucket. Nobody can revoke such an address. See
    :doc:`/howto/storing-and-serving-results`.
    """
    KEEP_REQUESTS = Setting[bool](False, Boolean())
    """Whether a finished task keeps its captured request, body and all, so that it can be run again from the
    administration.
    """
    SECRET_NAMES = Setting[Sequence[str]]((), ListOf(each=SECRET_NAME))
    """Names of headers and query parameters that are not kept, neither for the run nor at all, as patterns in lower
    case with hyphens: ``["x-company-ticket", "sid"]``. See :doc:`captured-calls`.
    """
    ENCRYPTION_KEYS = Setting[Sequence[str]]((), ListOf(each=FernetKey()))
    """Fernet keys for captured requests at rest: the first encrypts, all decrypt. Empty = they are encrypted with a key
    derived from ``SECRET_KEY``. See :doc:`/howto/authentication`.
    """
    SNAPSHOT_AUTH = Setting[str]("django_asyncexchange.identity.snapshot_auth", Function(parameters=("request",)))
    """Dotted path of a function that takes a request and gives a reference, as text, to its ``request.auth``. Nothing
    secret may be in it.
    """
    RESTORE_AUTH = Setting[str](
        "django_asyncexchange.identity.restore_auth", Function(parameters=("user", "reference"))
    )
    """Dotted path of a function that takes the user and that reference, and gives ``request.auth`` of the run; raises
    ``identity.IdentityLost`` where it is not valid any more.
    """
    SNAPSHOT_USER = Setting[str]("", Function(parameters=("request",), may_be_empty=True))
    """Dotted path of a function that takes a request and gives a name to a caller who is no row of the user model:
    always the same, and nobody else's. An empty text = this caller's calls are not accepted. See
    :doc:`/howto/authentication`.
    """
    RESTORE_USER = Setting[str]("", Function(parameters=("name", "auth"), may_be_empty=True))
    """Dotted path of a function that takes that name and the restored ``request.auth``, and gives ``request.user`` of
    the run; raises ``identity.IdentityLost`` where that caller may not act any more.
    """
    RUN_HEADERS = Setting[str]("", Function(parameters=("name",), may_be_empty=True))
    """Dotted path of a function that takes that name and gives headers, as a dictionary, which the run has instead of
    the credentials that were not kept; raises ``identity.IdentityLost`` like the former. See
    :doc:`/howto/authentication`.
    """
    REVOKE_ON_PASSWORD_CHANGE = Setting[bool](False, Boolean())
    """Whether a call does not run whose user has another password by then, or whose sessions were ended otherwise."""
    LEASE_SECONDS = Setting[float](30, Seconds())
    """A run counts as lost when its worker has not been heard of for so long, in seconds. On SQLite, and wherever the
    worker's machine can be asked, it counts as lost as soon as its process is gone.
    """
    SWEEP_SECONDS = Setting[float](5, Seconds())
    """How often a worker looks for calls whose account's turn has come, in seconds."""
    MAX_WAIT_SECONDS = Setting[float](30, Seconds(above=False))
    """Longest time for which a client's ``Prefer: wait=N`` holds its request open, in seconds."""
    PRUNE_SECONDS = Setting[float](300, Seconds(above=False))
    """How often a worker deletes what has expired, in seconds; 0 leaves it to ``manage.py asyncexchange_prune``."""

    WEBHOOK_ADMIN = Setting[str]("django_asyncexchange.identity.administers", Function(parameters=("request",)))
    """Dotted path of a function that takes a request and says whether its user may manage the webhooks of its account.
    By default, staff and whoever is alone in an account may.
    """
    WEBHOOK_ALLOWED_NETWORKS = Setting[Sequence[str]]((), ListOf(each=Network()))
    """Networks that webhooks may reach although they are not public: ``["127.0.0.0/8"]`` while developing. Addresses
    where clouds give out credentials stay forbidden.
    """
    WEBHOOK_PORTS = Setting[Sequence[int]]((80, 443, 8443), ListOf(each=Integer(least=1, most=65535), is_filled=True))
    """Ports that webhooks may be sent to."""
    WEBHOOK_REQUIRE_HTTPS = Setting[bool | None](None, OrNone(other=Boolean()))
    """Whether addresses have to be HTTPS. ``None`` = unless ``DEBUG``. Mounts with ``REQUIRE_HTTPS`` off do not ask."""
    WEBHOOK_PROXY = Setting[str]("", Url())
    """A proxy through which webhooks are sent, and which then guards what they reach."""
    WEBHOOK_SCHEDULE = Setting[Sequence[float]](
        (0, 30, 120, 300, 900, 1800, 7200, 18000, 36000), ListOf(each=Seconds(above=False), is_filled=True)
    )
    """Pauses before each try of a delivery, in seconds. After the last one it is given up. Protocols that say otherwise
    keep to what they say.
    """
    WEBHOOK_IN_FLIGHT = Setting[int](2, Integer(least=1))
    """How many deliveries of one account may be on their way to one host at a time."""
    WEBHOOK_USER_AGENT = Setting[str]("django-asyncexchange", AGENT)
    """What webhooks call themselves. MoySklad's own call themselves ``MoySklad webhook touch agent 2.0
    (/https://www.moysklad.ru)``.
    """
    ON_USER_DELETE = Setting[str]("delete", Choice(choices=("delete", "keep")))
    """What becomes of the tasks and webhooks of a user who is deleted: ``"delete"``, or ``"keep"`` until they expire by
    themselves. See :doc:`/howto/personal-data`.
    """
    QUEUES = Setting[Mapping[str, str]]({}, DictOf(key=JOBS, each=QUEUE))
    """Name of the queue (for django-q2, of the cluster) by job: ``run`` for calls, ``deliver`` for webhooks. A job that
    is absent goes to the default one.
    """

    def value_of(self, setting: Setting[Any]) -> Any:
        """The value of one key."""
        raise NotImplementedError

    @classmethod
    def settings(cls) -> Iterator[Setting[Any]]:
        """All of them."""
        return (value for value in vars(Keys).values() if isinstance(value, Setting))
