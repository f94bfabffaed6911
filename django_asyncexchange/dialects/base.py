"""What every dialect is: tables first, then a few short pure functions.

A dialect is made once per mount, from the mount's name, its URL prefix and a policy. To add one, subclass
``Dialect``, fill the tables, answer the abstract methods, and name the class in ``ASYNC_EXCHANGE["DIALECTS"]``.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from ..exceptions import AsyncExchangeError
from ..messages import Call, Callback, Context, Headers, Listing, Page, Replay, Response, Snapshot, value
from ..states import State

NO_STORE: Headers = (("Cache-Control", "no-store"),)
"""On every kick-off, status, list and not-yet answer: a cached 404 or 200 would hang a poller (contract G)."""


def gettext_noop(text: str) -> str:
    """Mark ``text`` for translation; ``Context.translate`` turns it into the reader's language."""
    return text


class Trigger(enum.IntEnum):
    """By what a dialect recognises a call. The lower one wins where a call carries several (contract F)."""

    PATH = 1
    HEADER = 2
    QUERY = 3
    PREFERENCE = 4


@value
class Route:
    """One endpoint: its method and its path below the mount's prefix; ``{id}`` stands for the task's id."""

    method: str
    path: str
    verb: str = ""
    """The verb that answers, where it is not the route's own name in ``Dialect.ROUTES``."""
    public: bool = False
    """Needs no credentials, because the address itself proves the right (a signed link)."""


@value
class Wire:
    """How a dialect words an error: its own code, the HTTP status, the text (English, ``%(detail)s`` filled in)."""

    code: int | str
    status: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of a dialect; each can be overridden per mount (``CAPACITY`` for ``capacity``, and so on)."""

    capacity: int | None = None
    """Unfinished tasks allowed per account; None = unlimited."""
    retention: dt.timedelta = dt.timedelta(hours=24)
    """How long the answer of a successful call is kept after it finished."""
    error_retention: dt.timedelta = dt.timedelta(hours=24)
    """How long the answer of a failed call is kept after it finished."""
    window: dt.timedelta = dt.timedelta(days=7)
    """How long a task stays known after it finished, and how far back a list reaches."""
    run_limit: dt.timedelta = dt.timedelta(minutes=5)
    """A run that takes longer ends in ERROR with reason run_timeout."""
    link_lifetime: dt.timedelta = dt.timedelta(minutes=5)
    """How long a signed download link works."""
    time_zone: str = "UTC"
    """Zone of dates without an offset on this wire."""
    language: str = ""
    """Language of messages where the client states no preference; empty = the project's."""
    attempts: int = 3
    """How often a safe call (GET, HEAD, OPTIONS) is run in all, if its worker dies. Others are never run again."""
    share: int = 8
    """Unfinished tasks of one account that the workers are given at a time; its others wait their turn."""
    rate: int | None = None
    """Calls that an account may submit within a minute; None = unlimited."""
    queue_limit: dt.timedelta | None = None
    """A task that waits longer than this never starts; it ends in ERROR with reason queue_timeout."""
    shared_capacity: bool = False
    """Whether ``capacity`` counts the tasks of all accounts together."""
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Other texts for errors, by their code on this wire."""
    views: tuple[str, ...] = ()
    """More eligible views of this mount only: URL names, or path patterns with a leading slash and ``*``."""

    def retention_of(self, state: State) -> dt.timedelta:
        """How long the stored answer of a task in the final ``state`` is kept."""
        return self.retention if state is State.DONE else self.error_retention


class Dialect(abc.ABC):
    """One wire language on one mount."""

    WORDS: ClassVar[Mapping[State, str]]
    """State → the dialect's word for it."""
    CODES: ClassVar[Mapping[type[AsyncExchangeError], Wire]]
    """Exception → how it is answered; a subclass not listed is answered as its nearest listed parent."""
    ROUTES: ClassVar[Mapping[str, Route]]
    """Verb (a method of ``views.TaskView``, rendered by the method of that name here) → route.

    The first path segment of every route belongs to the dialect.
    """
    TRIGGER: ClassVar[Trigger]
    TRIGGER_NAME: ClassVar[str] = ""
    """The header or query parameter that asks, where the trigger is one. Such a header does not reach the view."""
    METHODS: ClassVar[frozenset[str] | None] = None
    """Methods that this trigger claims where another dialect shares prefix and trigger; None = all."""
    EVERY_VIEW: ClassVar[bool] = False
    """Whether the protocol takes every view under its prefix (``never_async`` still excludes one)."""
    OPTIONAL: ClassVar[bool] = False
    """Whether the trigger is a mere preference: a view that is not eligible then answers synchronously."""
    THROTTLED: ClassVar[bool] = True
    """Whether the view's throttles count a submitted call. (They never count its deferred run.)"""
    VALIDATES: ClassVar[bool] = False
    """Whether a call is accepted only if the view's own validation passes at submit."""
    PER_OWNER: ClassVar[bool] = False
    """Whether a task is visible to its owner alone, not to everybody of its account."""
    POLICY: ClassVar[Policy] = Policy()

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        self.name = name
        self.prefix = prefix.rstrip("/")
        self.policy = policy or self.POLICY

    def covers(self, path: str) -> bool:
        """Whether ``path`` lies under this mount."""
        return not self.prefix or path == self.prefix or path.startswith(self.prefix + "/")

    # Submitting ------------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def wants_async(self, call: Call) -> bool:
        """Whether the client asks, in this language, for an answer later. Asked of every request: keep it cheap."""

    def target(self, call: Call) -> tuple[str, str]:
        """(path, raw query) of the synchronous call meant by ``call``."""
        return call.path, call.query

    def admit(self, call: Call) -> None:  # noqa: B027  (most protocols have no rule here)
        """Raise what the protocol itself refuses about an asynchronous ``call``."""

    def callback(self, call: Call) -> Callback | None:
        """Where ``call`` wants its end to be reported; raises CallbackRefused."""
        return None

    # Rendering -------------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def accepted(self, task: Snapshot, context: Context) -> Response:
        """The 202."""

    def reads(self, verb: str, state: State) -> bool:
        """Whether rendering ``verb`` for a task in ``state`` needs the stored body (``Snapshot.content``)."""
        return False

    def status(self, task: Snapshot, context: Context) -> Response | Replay:
        """How far the task is; in some protocols, once it is finished, its answer."""
        raise NotImplementedError

    def monitor(self, task: Snapshot, context: Context) -> Response:
        """How far the task is, as a resource that never turns into its answer."""
        raise NotImplementedError

    @abc.abstractmethod
    def result(self, task: Snapshot, context: Context) -> Response | Replay:
        """What came of the call, in the dialect's own envelope."""

    def replay(self, task: Snapshot, context: Context) -> Response | Replay:
        """What came of the call, as if it had been synchronous."""
        raise NotImplementedError

    def download(self, task: Snapshot, context: Context, query: Mapping[str, str]) -> Response | Replay:
        """The file behind a signed link whose query is ``query``."""
        raise NotImplementedError

    def listing(self, query: str) -> Listing:
        """What the raw ``query`` of a list request asks for."""
        raise NotImplementedError

    def page(self, page: Page, context: Context) -> Response:
        """A list of tasks."""
        raise NotImplementedError

    def cancelled(self, task: Snapshot, context: Context) -> Response:
        """The answer to a successful cancellation."""
        raise NotImplementedError

    # Errors ----------------------------------------------------------------------------------------------------------

    def wire(self, error: AsyncExchangeError) -> Wire:
        """How ``error`` is answered: its own row of ``CODES``, or its nearest parent's."""
        return next(self.CODES[cls] for cls in type(error).__mro__ if cls in self.CODES)

    def wording(self, error: AsyncExchangeError, context: Context) -> str:
        """The text of ``error``: the mount's own, or the dialect's in the reader's language."""
        wire = self.wire(error)
        own = self.policy.texts.get(str(wire.code))
        return own or context.translate(wire.text) % collections.defaultdict(str, error.details)

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        """An error, worded and shaped for this dialect's clients."""
        wire, text = self.wire(error), self.wording(error, context)
        return json_response(self.error_document(wire, text, error), status=wire.status, headers=error.headers)

    @abc.abstractmethod
    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> object:
        """The JSON document of an error."""


def json_response(document: Any, *, status: int = 200, headers: Headers = ()) -> Response:
    """``document`` as JSON in UTF-8, not to be cached."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(status=status, headers=(("Content-Type", "application/json"), *NO_STORE, *headers), body=body)
