"""What every dialect is: tables first, then a few short pure functions.

A dialect is made once per mount, from the mount's name, its URL prefix and a policy. To add one, subclass
``Dialect``, fill the tables, answer the abstract methods, and name the class in ``ASYNC_EXCHANGE["DIALECTS"]``.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from ...exceptions import AsyncExchangeError, TaskNotFound
from ...exceptions import gettext_noop as gettext_noop
from ...protocol.states import State
from ...protocol.values import (
    Call,
    Callback,
    Context,
    Event,
    Headers,
    Listing,
    Notice,
    Page,
    Replay,
    Response,
    Snapshot,
    header,
)
from . import errors, results
from .delivery_rules import DeliveryRules
from .policy import Policy as Policy
from .tables import Route as Route
from .tables import Trigger as Trigger
from .tables import Wire as Wire
from .webhooks import Subscriptions

NO_STORE: Headers = (("Cache-Control", "no-store"),)
"""On every kick-off, status, list and not-yet answer: a cached 404 or 200 would hang a poller."""
RETRY_AFTER = ("Retry-After", "1")
"""Header that asks clients to wait a second before they poll or submit again (RFC 9110 section 10.2.3)."""


class Dialect(abc.ABC):
    """One wire language on one mount."""

    WORDS: ClassVar[Mapping[State, str]] = {state: state.value for state in State}
    """State → the dialect's word for it."""
    CODES: ClassVar[Mapping[type[AsyncExchangeError], Wire]] = errors.CODES
    """Exception → how it is answered; a subclass not listed is answered as its nearest listed parent. A dialect states
    all rows itself, or adds some to these: ``CODES = {**Dialect.CODES, …}``.
    """
    RETRYABLE: ClassVar[tuple[type[AsyncExchangeError], ...]] = ()
    """Errors after which the same request may succeed: they are answered with ``Retry-After``."""
    ROUTES: ClassVar[Mapping[str, Route]] = {
        "status": Route(method="GET", path="tasks/{id}"),
        "result": Route(method="GET", path="tasks/{id}/result"),
    }
    """Verb (a method of ``endpoints.tasks.TaskView``, rendered by the method of that name here) → route.

    The first path segment of every route belongs to the dialect.
    """
    SUBSCRIPTIONS: ClassVar[Subscriptions | None] = None
    """The webhook resource; None where the protocol has none."""
    TRIGGER: ClassVar[Trigger]
    TRIGGER_NAME: ClassVar[str] = ""
    """The header or query parameter that asks, where the trigger is one and has one name. Calls without it are passed
    over at a glance, and such a header does not reach the view.
    """
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
    READS_AT_MOST: ClassVar[int] = 64 * 1024
    """How large, in bytes, a stored body may be that is read into a document (``reads``); of a larger one there is no
    ``Snapshot.content``.
    """
    HIDES_EXPIRED: ClassVar[bool] = False
    """Whether a task past its deletion date is answered like one that does not exist."""
    PER_OWNER: ClassVar[bool] = False
    """Whether a task is visible to its owner alone, not to everybody of its account."""
    CANCELS_AGAIN: ClassVar[bool] = False
    """Whether cancelling a cancelled task succeeds, because DELETE is idempotent (RFC 9110 section 9.2.2)."""
    DELIVERY_RULES: ClassVar[Mapping[str, DeliveryRules]] = {"signed": DeliveryRules()}
    """Rules for webhooks and callbacks, by the name that ``Policy.delivery`` chooses. A dialect need only name its own:
    a mount can also choose those of the built-in dialects.
    """
    OWN_HEADERS: ClassVar[frozenset[str]] = frozenset()
    """Request headers of the protocol, besides the trigger, that are not passed to the view."""
    PAGE_FIELDS: ClassVar[frozenset[str]] = frozenset()
    """Fields of the protocol's lists that describe one page; a deferred run, which has the whole list, omits them."""
    POLICY: ClassVar[Policy] = Policy()

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        self.name = name
        self.prefix = prefix.rstrip("/")
        self.policy = policy or self.POLICY
        is_header = self.TRIGGER_NAME and self.TRIGGER in (Trigger.HEADER, Trigger.PREFERENCE)
        self._key = f"HTTP_{self.TRIGGER_NAME.upper().replace('-', '_')}" if is_header else ""

    def may_want_async(self, path: str, meta: Mapping[str, Any]) -> bool:
        """Whether a request to ``path`` with these ``META`` may be for this mount, at a glance: asked of every one."""
        if self._key:
            return self._key in meta and self.covers(path)
        return self.covers(path) and (self.TRIGGER is Trigger.PATH or self.TRIGGER_NAME in meta.get("QUERY_STRING", ""))

    @property
    def own_headers(self) -> frozenset[str]:
        """Request headers that are not passed to the view: ``OWN_HEADERS``, and the trigger where it is a header."""
        return self.OWN_HEADERS | ({self.TRIGGER_NAME} if self.TRIGGER is Trigger.HEADER else frozenset())

    def covers(self, path: str) -> bool:
        """Whether ``path`` lies under this mount."""
        return not self.prefix or path == self.prefix or path.startswith(self.prefix + "/")

    # Submitting ------------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def wants_async(self, call: Call) -> bool:
        """Whether the client asks, in this language, for an answer later."""

    def target(self, call: Call) -> tuple[str, str]:
        """(path, raw query) of the synchronous call meant by ``call``."""
        return call.path, call.query

    def admit(self, call: Call) -> None:  # noqa: B027  (most protocols have no rule here)
        """Raise what the protocol itself refuses about an asynchronous ``call``."""

    def callback(self, call: Call) -> Callback | None:
        """Where ``call`` wants its end to be reported; raises CallbackRefused."""
        return None

    def muted(self, call: Call) -> tuple[str, ...]:
        """Beginnings of addresses whose webhooks are not to hear of ``call``."""
        return ()

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """The 202: by default the task's status, and ``Location`` is where to poll it."""
        location = ("Location", self.url_of("status", task, context.base))
        return json_response(self.task_document(task, context), status=202, headers=(location,))

    def reads(self, verb: str, state: State) -> bool:
        """Whether rendering ``verb`` for a task in ``state`` needs the stored body (``Snapshot.content``)."""
        return False

    def pass_over(self) -> None:  # noqa: B027  (most documents do without)
        """Raise where a document is nothing without the stored body, and that is too large to be read into it."""

    def status(self, task: Snapshot, context: Context) -> Response | Replay:
        """How far the task is; in some protocols, once it is finished, its result."""
        return json_response(self.task_document(task, context))

    def task_document(self, task: Snapshot, context: Context) -> Mapping[str, object]:
        """The JSON document of a task, as ``accepted`` and ``status`` send it by default."""
        return {"id": str(task.id), "state": self.WORDS[task.state]}

    def url_of(self, verb: str, task: Snapshot, base: str) -> str:
        """The URL of the route ``verb`` for ``task``; ``base`` is ``Context.base``, or ``Context.path`` for no host."""
        return f"{base}/{self.ROUTES[verb].path.format(id=task.id)}"

    def monitor(self, task: Snapshot, context: Context) -> Response:
        """How far the task is, as a resource that never turns into its answer."""
        raise NotImplementedError

    def result(self, task: Snapshot, context: Context) -> Response | Replay:
        """The result of the call, in the dialect's own envelope where it has one. Raises as ``require_result``."""
        self.require_result(task, context.now)
        return Replay()

    def result_error(self, task: Snapshot, now: dt.datetime) -> AsyncExchangeError | None:
        """Why ``task`` has no result at ``now``, or None where it has one."""
        if self.HIDES_EXPIRED and task.is_expired(now):
            return TaskNotFound()
        return results.result_error(task, now)

    def require_result(self, task: Snapshot, now: dt.datetime) -> None:
        """Raise the ``result_error`` of ``task``, if any: ResultUnavailable or TaskNotFound."""
        if error := self.result_error(task, now):
            raise error

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

    # Telling ---------------------------------------------------------------------------------------------------------

    def notification(self, event: Event, url: str, id: uuid.UUID) -> Notice:
        """What a webhook at ``url`` is told about ``event``; ``id`` is the message's own."""
        raise NotImplementedError

    def called_back(self, callback: Callback, event: Event, id: uuid.UUID) -> Notice | None:
        """How the end of a call that asked for ``callback`` is reported; None = there is nothing to report."""
        return None

    # Errors ----------------------------------------------------------------------------------------------------------

    def wire(self, error: AsyncExchangeError) -> Wire:
        """How ``error`` is answered: its own row of ``CODES``, or its nearest parent's."""
        cls = next(cls for cls in type(error).__mro__ if cls in self.CODES)
        row = self.CODES[cls]
        return dataclasses.replace(row, status=error.status or row.status, text=row.text or cls.message)

    def wording(self, error: AsyncExchangeError, context: Context) -> str:
        """The text of ``error``: the mount's own, or the dialect's in the reader's language."""
        wire = self.wire(error)
        own = self.policy.texts.get(str(wire.code))
        return own or context.translate(wire.text) % collections.defaultdict(str, error.details)

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        """An error, worded and shaped for this dialect's clients."""
        wire, text, headers = self.wire(error), self.wording(error, context), error.headers
        if isinstance(error, self.RETRYABLE) and header(headers, "Retry-After") is None:
            headers = (*headers, RETRY_AFTER)
        return json_response(self.error_document(wire, text, error), status=wire.status, headers=headers)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> object:
        """The JSON document of an error."""
        return {"code": wire.code, "detail": text}


def json_response(document: Any, *, status: int = 200, headers: Headers = ()) -> Response:
    """``document`` as JSON in UTF-8, not to be cached."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(status=status, headers=(("Content-Type", "application/json"), *NO_STORE, *headers), body=body)
