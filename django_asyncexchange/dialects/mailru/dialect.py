"""Target@Mail.Ru: any call is answered later when ``/api`` in its path is replaced by ``/async_api`` (seed S000).

The client polls ``v2/requests/{id}.json`` until it is a 303 to ``v2/responses/{id}.json``, the answer itself. It may
name a URL in ``X-Callback-Location`` to be told of the end. An error is ``{"error": text, "code": word}``; a header
that cannot be obeyed is ``{header: text}``, as the vendor words a field that does not validate (A1).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import uuid
import zoneinfo
from collections.abc import Mapping
from urllib.parse import urlsplit

from ...exceptions import (
    AsyncExchangeError,
    CallbackRefused,
    CallerUnknown,
    CapacityExceeded,
    CsrfFailed,
    HttpRefused,
    IdempotencyKeyReused,
    InternalError,
    ListingRefused,
    MethodNotAllowed,
    NotAuthenticated,
    NotCancellable,
    NotEligible,
    PermissionDenied,
    RequestTooLarge,
    ResultCancelled,
    ResultFailed,
    ResultNotReady,
    ResultUnavailable,
    RouteNotFound,
    StorageExceeded,
    SubmitFailed,
    SubmitRefused,
    TaskNotFound,
    Throttled,
    Unavailable,
)
from ...protocol.states import State
from ...protocol.values import Call, Callback, Context, Event, Notice, Response, Snapshot
from ..base import Dialect, Policy, Route, Trigger, Wire, json_response
from ..base import gettext_noop as _
from ..base.policy import PATH, option
from . import callbacks as callbacks

PREFIX = "/async_api"

DAY = dt.timedelta(hours=24)

RESOURCES = re.compile(r"/v[0-9]+/(requests|responses)(/.*)?", re.DOTALL)
"""Below the mount, the dialect's own addresses: never calls of the ordinary API (A1)."""

METHOD_REFUSED = Wire(code="callback", status=400, text=_("The callback's method has to be GET or POST."))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MailRuPolicy(Policy):
    """Everything is kept for a day, without limits on how much (A8)."""

    retention: dt.timedelta = DAY
    error_retention: dt.timedelta = DAY
    window: dt.timedelta = DAY
    time_zone: str = "Europe/Moscow"
    delivery: str = "mailru"
    require_https: bool = False
    attempts: int = 1  # an unknown outcome is left to people (S000-35)
    api: str = option("/api", PATH)
    """Where the synchronous API lives: what takes the place of the mount's prefix."""


class MailRu(Dialect):
    """The path dialect: the whole API a second time, under another prefix."""

    WORDS = {
        State.PENDING: "enqueued",
        State.PROCESSING: "started",
        State.DONE: "done",
        State.API_ERROR: "done",
        State.ERROR: "unknown",
        State.CANCEL: "cancelled",
    }
    """What ``status`` says; an ERROR whose answer is stored is ``done`` too (0.4).

    The protocol has four words. The fifth is ours, for what only an administrator does: cancel (A3).
    """

    CODES = {
        SubmitRefused: Wire(code="refused", status=400),
        CallerUnknown: Wire(code="caller_unknown", status=400),
        NotEligible: Wire(code="not_eligible", status=400),
        CallbackRefused: Wire(code="callback", status=400, text=_("The callback has to be an absolute http(s) URL.")),
        IdempotencyKeyReused: Wire(code="key", status=422, text=_("The idempotency key belongs to another request.")),
        RequestTooLarge: Wire(code="too_large", status=413),
        CapacityExceeded: Wire(code="capacity", status=429),
        StorageExceeded: Wire(code="storage", status=429),
        SubmitFailed: Wire(code="unavailable", status=503),
        TaskNotFound: Wire(code="not_found", status=404),
        RouteNotFound: Wire(code="not_found", status=404),
        ResultUnavailable: Wire(code="not_found", status=404),
        ResultNotReady: Wire(code="not_ready", status=404),
        ResultFailed: Wire(code="unknown", status=404, text=_("It is not known what came of this call.")),
        ResultCancelled: Wire(code="cancelled", status=410),
        NotCancellable: Wire(code="finished", status=409),
        ListingRefused: Wire(code="listing", status=400),
        HttpRefused: Wire(code="refused", status=400),
        NotAuthenticated: Wire(code="not_authenticated", status=401),
        PermissionDenied: Wire(code="forbidden", status=403),
        CsrfFailed: Wire(code="csrf_failed", status=403),
        MethodNotAllowed: Wire(code="method_not_allowed", status=405),
        Throttled: Wire(code="throttled", status=429),
        InternalError: Wire(code="internal_error", status=500),
        Unavailable: Wire(code="temporarily_unavailable", status=503),
    }

    ROUTES = {
        "status": Route(method="GET", path="v2/requests/{id}.json"),
        "result": Route(method="GET", path="v2/responses/{id}.json"),
    }
    TRIGGER = Trigger.PATH
    EVERY_VIEW = True
    THROTTLED = False
    HIDES_EXPIRED = True
    PER_OWNER = True
    DELIVERY_RULES = {"mailru": callbacks.MAILRU}
    OWN_HEADERS = frozenset({callbacks.LOCATION_HEADER, callbacks.METHOD_HEADER})
    POLICY = MailRuPolicy()

    policy: MailRuPolicy

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        """The path is the trigger: without a prefix every call of the project would be one."""
        super().__init__(name=name, prefix=prefix.rstrip("/") or PREFIX, policy=policy)

    # Submitting ------------------------------------------------------------------------------------------------------

    def wants_async(self, call: Call) -> bool:
        """Whatever lies under the mount, in any method, but for the dialect's own resources (A1)."""
        return self.covers(call.path) and not RESOURCES.fullmatch(self._below(call.path))

    def target(self, call: Call) -> tuple[str, str]:
        """Only the leading prefix changes: ``/async_api/`` may stand in an id further on (A1)."""
        return self.policy.api.rstrip("/") + self._below(call.path) or "/", call.query

    def callback(self, call: Call) -> Callback | None:
        return callbacks.asked(call)

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """With the record of a waiting task, whatever has become of it since: the vendor's client reads JSON (A2)."""
        location = ("Location", self.url_of("status", task, context.path))
        waiting = dataclasses.replace(task, state=State.PENDING)
        return json_response(self._record(waiting), status=202, headers=(location,))

    def status(self, task: Snapshot, context: Context) -> Response:
        """200 until there is an answer, then 303 to it (A3)."""
        if task.is_expired(context.now):
            raise TaskNotFound()
        if not task.has_response:
            return json_response(self._record(task))
        url = self.url_of("result", task, context.path)  # addresses on this wire have no host
        return json_response(self._answered_record(task, url), status=303, headers=(("Location", url),))

    # Telling ---------------------------------------------------------------------------------------------------------

    def called_back(self, callback: Callback, event: Event, id: uuid.UUID) -> Notice | None:
        """Once there is an answer, 4xx and 5xx included; without one there is nothing to tell (A7)."""
        if not event.task.has_response:
            return None
        url = self.url_of("result", event.task, urlsplit(event.base).path)
        return callbacks.notice(callback, event.task, url)

    # Errors ----------------------------------------------------------------------------------------------------------

    def wire(self, error: AsyncExchangeError) -> Wire:
        return METHOD_REFUSED if error.details.get("field") == callbacks.METHOD_HEADER else super().wire(error)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> Mapping[str, str]:
        if isinstance(error, CallbackRefused):
            return {str(error.details.get("field", callbacks.LOCATION_HEADER)): text}
        return {"error": text, "code": str(wire.code)}

    # Parts -----------------------------------------------------------------------------------------------------------

    def _below(self, path: str) -> str:
        return path[len(self.prefix) :]

    def _record(self, task: Snapshot) -> dict[str, object]:
        """What is known of a task without an answer: ``started`` only where the run is or was under way (A3)."""
        record: dict[str, object] = {
            "id": str(task.id),
            "status": self.WORDS[task.state],
            "created": self._date(task.created),
        }
        if task.started and task.state in (State.PROCESSING, State.ERROR):
            record["started"] = self._date(task.started)
        return record

    def _answered_record(self, task: Snapshot, url: str) -> dict[str, object]:
        started = task.started or task.created
        return {
            "id": str(task.id),
            "status": "done",
            "response_http_code": task.status_code,
            "response_url": url,
            "started": self._date(started),
            "exec_time": ((task.finished or started) - started) // dt.timedelta(milliseconds=1),
            "created": self._date(task.created),
        }

    def _date(self, moment: dt.datetime) -> str:
        return moment.astimezone(zoneinfo.ZoneInfo(self.policy.time_zone)).strftime("%Y-%m-%d %H:%M:%S")
