"""Target@Mail.Ru: replacing ``/api`` in a call's path by ``/async_api`` makes it asynchronous.

The client polls ``v2/requests/{id}.json`` until it is a 303 to ``v2/responses/{id}.json``, the response itself. It may
send a URL in ``X-Callback-Location`` that is called when the task is finished. An error is ``{"error": text, "code":
word}``; an invalid header is ``{header: text}``, as Target@Mail.Ru reports invalid fields.
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
"""The dialect's own URLs below the mount, which are never calls of the API."""

METHOD_REFUSED = Wire(code="callback", status=400, text=_("The callback's method has to be GET or POST."))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MailRuPolicy(Policy):
    """Everything is kept for a day, without a capacity."""

    retention: dt.timedelta = DAY
    error_retention: dt.timedelta = DAY
    window: dt.timedelta = DAY
    time_zone: str = "Europe/Moscow"
    delivery: str = "mailru"
    require_https: bool = False
    attempts: int = 1  # an interrupted call is ``unknown`` and never run again by itself
    api: str = option("/api", PATH)
    """Prefix of the synchronous API, which replaces the mount's prefix."""


class MailRu(Dialect):
    """Triggered by the path: the whole API a second time, under another prefix."""

    WORDS = {
        State.PENDING: "enqueued",
        State.PROCESSING: "started",
        State.DONE: "done",
        State.API_ERROR: "done",
        State.ERROR: "unknown",
        State.CANCEL: "cancelled",
    }
    """Values of ``status``; an ERROR with a stored response is ``done`` too.

    The protocol has the first four. ``cancelled`` is an addition, for tasks that an administrator has cancelled.
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
    PARAMETERS = {"submit": callbacks.PARAMETERS}
    CALLBACK = f"{{$request.header.{callbacks.LOCATION_HEADER}}}"
    POLICY = MailRuPolicy()

    policy: MailRuPolicy

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        """Mount at ``/async_api`` unless a prefix is given: the path is the trigger, so it cannot be empty."""
        super().__init__(name=name, prefix=prefix.rstrip("/") or PREFIX, policy=policy)

    # Submitting ------------------------------------------------------------------------------------------------------

    def wants_async(self, call: Call) -> bool:
        """Everything under the mount, with any method, except the dialect's own URLs."""
        return self.covers(call.path) and not RESOURCES.fullmatch(self._below(call.path))

    def target(self, call: Call) -> tuple[str, str]:
        """The path with its prefix replaced; ``/async_api/`` further on may be part of an id."""
        return self.policy.api.rstrip("/") + self._below(call.path) or "/", call.query

    def callback(self, call: Call) -> Callback | None:
        return callbacks.asked(call)

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """Always the record of a queued task: repeating the call under its idempotency key returns the same 202."""
        location = ("Location", self.url_of("status", task, context.path))
        waiting = dataclasses.replace(task, state=State.PENDING)
        return json_response(self._record(waiting), status=202, headers=(location,))

    def status(self, task: Snapshot, context: Context) -> Response:
        """200 until there is a response, then 303 to it."""
        if task.is_expired(context.now):
            raise TaskNotFound()
        if not task.has_response:
            return json_response(self._record(task))
        url = self.url_of("result", task, context.path)  # addresses on this wire have no host
        return json_response(self._answered_record(task, url), status=303, headers=(("Location", url),))

    # Messages --------------------------------------------------------------------------------------------------------

    def called_back(self, callback: Callback, event: Event, id: uuid.UUID) -> Notice | None:
        """Once there is a response, 4xx and 5xx included; no callback without one."""
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
        """A task without a response; ``started`` only where the run has begun."""
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
