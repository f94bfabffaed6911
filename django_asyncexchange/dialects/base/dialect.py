"""The base class of dialects: tables first, then a few short pure functions.

A dialect is instantiated once per mount, with the mount's name, URL prefix and policy: docs/howto/add-a-dialect.rst.
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
from ...protocol.server_events import ServerEvent
from ...protocol.states import State
from ...protocol.values import (
    Call,
    Callback,
    Context,
    Event,
    Headers,
    Html,
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
from .policy import Policy
from .tables import Parameter, Route, Schema, Trigger, Wire
from .webhooks import Subscriptions

NO_STORE: Headers = (("Cache-Control", "no-store"),)
"""On every 202, status, list and error: a poller that got a cached one would never finish."""


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
    ESTIMATED: ClassVar[frozenset[str]] = frozenset()
    """Names of the methods that use ``Context.estimate``: of a PENDING task, it costs a query."""
    ROUTES: Mapping[str, Route] = {
        "status": Route(method="GET", path="tasks/{id}"),
        "result": Route(method="GET", path="tasks/{id}/result"),
    }
    """Verb (a method of ``endpoints.tasks.TaskView``, rendered by the method of that name here) → route.

    The first path segment of every route belongs to the dialect. A mount has ``change`` only with ``MAX_RETENTION``.
    """
    SUBSCRIPTIONS: ClassVar[Subscriptions | None] = None
    """The webhook resource; None where the protocol has none."""
    TRIGGER: ClassVar[Trigger]
    TRIGGER_NAME: ClassVar[str] = ""
    """The header or query parameter that triggers. Calls without it are skipped quickly, and such a header is not
    passed to the view.
    """
    METHODS: ClassVar[frozenset[str] | None] = None
    """Methods that the dialect claims where another one has the same prefix and trigger; None = all."""
    EVERY_VIEW: ClassVar[bool] = False
    """Whether every view under the prefix is eligible (unless marked ``never_async``)."""
    OPTIONAL: ClassVar[bool] = False
    """Whether the trigger is a preference only: views that are not eligible ignore it and respond synchronously."""
    THROTTLED: ClassVar[bool] = True
    """Whether the view's throttles count an accepted call. They never count its run."""
    VALIDATES: ClassVar[bool] = False
    """Whether a call is accepted only if the view's serializer validates it."""
    READS_AT_MOST: ClassVar[int] = 64 * 1024
    """Largest stored body, in bytes, that is embedded in a document (``reads``). For a larger one ``Snapshot.content``
    is None.
    """
    HIDES_EXPIRED: ClassVar[bool] = False
    """Whether a task past its deletion date is answered like one that does not exist."""
    PER_OWNER: ClassVar[bool] = False
    """Whether a task is visible to its owner only, not to the whole account."""
    CANCELS_AGAIN: ClassVar[bool] = False
    """Whether cancelling a cancelled task succeeds, as DELETE is idempotent (RFC 9110 section 9.2.2)."""
    DELIVERY_RULES: ClassVar[Mapping[str, DeliveryRules]] = {"signed": DeliveryRules()}
    """Rules for webhooks and callbacks, by the name that ``Policy.delivery`` chooses. A dialect need only name its own:
    a mount can also choose those of the built-in dialects.
    """
    OWN_HEADERS: ClassVar[frozenset[str]] = frozenset()
    """Request headers of the protocol, besides the trigger, that are not passed to the view."""
    PAGE_FIELDS: ClassVar[frozenset[str]] = frozenset()
    """Fields of the protocol's lists that describe one page; a deferred run, which has the whole list, omits them."""
    POLICY: ClassVar[Policy] = Policy()

    # For the OpenAPI document, which has routes, statuses, headers and documents from what is rendered:
    PARAMETERS: ClassVar[Mapping[str, tuple[Parameter, ...]]] = {}
    """Route → its parameters, besides ``id``; ``submit`` → those of a call, by default the trigger."""
    BODIES: ClassVar[Mapping[str, Schema]] = {}
    """Route → the JSON Schema of its request body."""
    FIELDS: ClassVar[Mapping[str, str]] = {}
    """Name of a member of the dialect's documents → what it is."""
    CALLBACK: ClassVar[str] = ""
    """Where a call names its callback: a runtime expression of OpenAPI, such as ``{$request.header.X-Callback}``."""

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        self.name = name
        self.prefix = prefix.rstrip("/")
        self.policy = policy or self.POLICY
        if self.policy.max_retention is None:
            self.ROUTES = {verb: route for verb, route in self.ROUTES.items() if verb != "change"}
        is_header = self.TRIGGER_NAME and self.TRIGGER in (Trigger.HEADER, Trigger.PREFERENCE)
        self._key = f"HTTP_{self.TRIGGER_NAME.upper().replace('-', '_')}" if is_header else ""

    def may_want_async(self, path: str, meta: Mapping[str, Any]) -> bool:
        """Whether a request to ``path`` with these ``META`` may be for this mount; fast: every request is asked."""
        if self._key:
            return self._key in meta and self.covers(path)
        return self.covers(path) and (self.TRIGGER is Trigger.PATH or self.TRIGGER_NAME in meta.get("QUERY_STRING", ""))

    @property
    def hidden_headers(self) -> frozenset[str]:
        """Request headers that are not passed to the view: ``OWN_HEADERS``, and the trigger where it is a header."""
        return self.OWN_HEADERS | ({self.TRIGGER_NAME} if self.TRIGGER is Trigger.HEADER else frozenset())

    def covers(self, path: str) -> bool:
        """Whether ``path`` lies under this mount."""
        return not self.prefix or path == self.prefix or path.startswith(self.prefix + "/")

    # Submitting ------------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def wants_async(self, call: Call) -> bool:
        """Whether the client wants ``call`` to run asynchronously."""

    def target(self, call: Call) -> tuple[str, str]:
        """(path, raw query) of the synchronous call that ``call`` stands for."""
        return call.path, call.query

    def admit(self, call: Call) -> None:  # noqa: B027  (most protocols have no rule here)
        """Raise SubmitRefused where the protocol forbids the asynchronous ``call``."""

    def callback(self, call: Call) -> Callback | None:
        """The callback that ``call`` requests, if any. Raises CallbackRefused."""
        return None

    def muted(self, call: Call) -> tuple[str, ...]:
        """URL prefixes of webhooks that are not sent events of ``call``; ``""`` matches all."""
        return ()

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """The 202: by default the task's status, and ``Location`` is where to poll it."""
        location = ("Location", self.url_of("status", task, context.base))
        return json_response(self.task_document(task, context), status=202, headers=(location,))

    def redirect(self, task: Snapshot, context: Context, wait: float) -> Response:
        """303 to the task's status, whose address then holds each request for ``wait`` seconds (``Context.wait``)."""
        location = ("Location", f"{self.url_of('status', task, context.base)}?wait={wait:g}")
        return json_response(self.task_document(task, context), status=303, headers=(location,))

    def reads(self, verb: str, state: State) -> bool:
        """Whether rendering ``verb`` for a task in ``state`` needs the stored body (``Snapshot.content``)."""
        return False

    def content_too_large(self) -> None:  # noqa: B027  (most documents do without)
        """Raise ResultTooLarge where a document needs the stored body, which exceeds ``READS_AT_MOST``."""

    def status(self, task: Snapshot, context: Context) -> Response | Replay | Html:
        """The task's status; in some protocols, once it is finished, its result."""
        return json_response(self.task_document(task, context))

    def task_document(self, task: Snapshot, context: Context) -> Mapping[str, object]:
        """The JSON document of a task, as ``accepted`` and ``status`` send it by default."""
        return {"id": str(task.id), "state": self.WORDS[task.state]}

    def url_of(self, verb: str, task: Snapshot, base: str) -> str:
        """The URL of the route ``verb`` for ``task``; ``base`` is ``Context.base``, or ``Context.path`` for no host."""
        return f"{base}/{self.ROUTES[verb].path.format(id=task.id)}"

    def monitor(self, task: Snapshot, context: Context) -> Response:
        """The task's status, as a resource that never turns into its result."""
        raise NotImplementedError

    def events(self, task: Snapshot, context: Context, seen: str) -> tuple[ServerEvent, ...]:
        """What a client has to be told of the task that has seen the event with the id ``seen``; ``""`` = none.

        Nothing after the last event of a finished task.
        """
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
        """The stored response, as if the call had been synchronous."""
        raise NotImplementedError

    def download(self, task: Snapshot, context: Context, query: Mapping[str, str]) -> Response | Replay:
        """The file behind a signed link whose query is ``query``."""
        raise NotImplementedError

    def listing(self, query: str) -> Listing:
        """Parse the raw ``query`` of a list request. Raises ListingRefused."""
        raise NotImplementedError

    def page(self, page: Page, context: Context) -> Response | Html:
        """A list of tasks."""
        raise NotImplementedError

    def cancelled(self, task: Snapshot, context: Context) -> Response:
        """The response to a successful cancellation, or to the deletion of a result (``remove``)."""
        raise NotImplementedError

    def change(self, task: Snapshot, context: Context, document: object) -> dt.datetime:
        """The new deletion date of ``task`` that the JSON ``document`` of a request states."""
        raise NotImplementedError

    def changed(self, task: Snapshot, context: Context) -> Response:
        """The response to a successful ``change``."""
        raise NotImplementedError

    # Messages --------------------------------------------------------------------------------------------------------

    def notification(self, event: Event, url: str, id: uuid.UUID) -> Notice:
        """The message to a webhook at ``url`` about ``event``; ``id`` is the message's id."""
        raise NotImplementedError

    def called_back(self, callback: Callback, event: Event, id: uuid.UUID) -> Notice | None:
        """The message to ``callback`` when its task is finished; None = none is sent."""
        return None

    # Errors ----------------------------------------------------------------------------------------------------------

    def wire(self, error: AsyncExchangeError) -> Wire:
        """Code, status and text of ``error``: its row of ``CODES``, or its nearest parent's."""
        cls = next(cls for cls in type(error).__mro__ if issubclass(cls, AsyncExchangeError) and cls in self.CODES)
        row = self.CODES[cls]
        return dataclasses.replace(row, status=error.status or row.status, text=row.text or cls.message)

    def wording(self, error: AsyncExchangeError, context: Context) -> str:
        """The text of ``error``: the mount's own (``TEXTS``), or the dialect's in the client's language."""
        wire = self.wire(error)
        own = self.policy.texts.get(str(wire.code))
        return own or context.translate(wire.text) % collections.defaultdict(str, error.details)

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        """The response to ``error``."""
        wire, text, headers = self.wire(error), self.wording(error, context), error.headers
        if isinstance(error, self.RETRYABLE) and header(headers, "Retry-After") is None:
            headers = (*headers, retry_after(context))
        return json_response(self.error_document(wire, text, error), status=wire.status, headers=headers)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> object:
        """The JSON document of an error."""
        return {"code": wire.code, "detail": text}


def retry_after(context: Context) -> tuple[str, str]:
    """The header that asks clients to wait before they poll or submit again (RFC 9110 section 10.2.3)."""
    return "Retry-After", str(context.estimate.retry_after)


def json_response(document: Any, *, status: int = 200, headers: Headers = ()) -> Response:
    """A response with ``document`` as JSON in UTF-8 and ``Cache-Control: no-store``."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(status=status, headers=(("Content-Type", "application/json"), *NO_STORE, *headers), body=body)
