"""Mozilla Solitude: the header ``Solitude-Async`` makes POST, PUT and PATCH asynchronous.

The client polls ``delay/result/…`` (an envelope with the response inside) or ``delay/replay/…`` (the response itself).
Both are 404 until the task is finished; the response header ``Solitude-Async: no`` distinguishes that from a 404 of the
view.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import zoneinfo
from collections.abc import Mapping

from ..exceptions import (
    AsyncExchangeError,
    CallerUnknown,
    CapacityExceeded,
    CsrfFailed,
    HttpRefused,
    IdempotencyKeyReused,
    InternalError,
    ListingRefused,
    MethodNotAllowed,
    NotAcceptable,
    NotAuthenticated,
    NotCancellable,
    NotEligible,
    PermissionDenied,
    RequestTooLarge,
    ResultCancelled,
    ResultFailed,
    ResultTooLarge,
    ResultUnavailable,
    StorageExceeded,
    SubmitFailed,
    SubmitRefused,
    TaskNotFound,
    Throttled,
    Unavailable,
)
from ..protocol.states import State
from ..protocol.values import Call, Context, Replay, Response, Snapshot
from .base import NO_STORE, Dialect, Route, Trigger, Wire, json_response
from .base import gettext_noop as _

HEADER = "Solitude-Async"
METHODS = frozenset({"POST", "PUT", "PATCH"})
ALLOW = ("Allow", "PATCH, POST, PUT")

ABSENT = Response(status=404, headers=((HEADER, "no"), *NO_STORE))
"""The same response for unfinished, unknown, other accounts' and expired tasks, so that ids cannot be probed."""


class Solitude(Dialect):
    """Triggered by a header; every view under the mount is eligible."""

    WORDS = {
        State.PENDING: "no",
        State.PROCESSING: "no",
        State.DONE: "yes",
        State.API_ERROR: "yes",
        State.ERROR: "yes",
        State.CANCEL: "no",
    }
    """Values of the response header ``Solitude-Async``: whether the task was run."""

    CODES = {
        SubmitRefused: Wire(code="refused", status=400),
        CallerUnknown: Wire(code="caller_unknown", status=400),
        NotEligible: Wire(code="not_eligible", status=400),
        RequestTooLarge: Wire(code="too_large", status=413),
        CapacityExceeded: Wire(code="capacity", status=503),
        StorageExceeded: Wire(code="storage", status=503),
        IdempotencyKeyReused: Wire(code="idempotency_key_reused", status=422),
        SubmitFailed: Wire(code="unavailable", status=503),
        TaskNotFound: Wire(code="not_found", status=404),
        ResultUnavailable: Wire(code="not_found", status=404),
        ResultFailed: Wire(code="failed", status=500),
        ResultTooLarge: Wire(
            code="result_too_large",
            status=413,
            text=_("The answer is too large for this document; it is to be had at the replay address."),
        ),
        ResultCancelled: Wire(code="cancelled", status=410),
        NotCancellable: Wire(code="finished", status=409),
        ListingRefused: Wire(code="listing", status=400),
        HttpRefused: Wire(code="refused", status=400),
        NotAuthenticated: Wire(code="not_authenticated", status=401),
        PermissionDenied: Wire(code="forbidden", status=403),
        CsrfFailed: Wire(code="csrf_failed", status=403),
        MethodNotAllowed: Wire(code="method_not_allowed", status=405),
        NotAcceptable: Wire(code="not_acceptable", status=406),
        Throttled: Wire(code="throttled", status=429),
        InternalError: Wire(code="internal_error", status=500),
        Unavailable: Wire(code="temporarily_unavailable", status=503),
    }

    ROUTES = {
        "result": Route(method="GET", path="delay/result/{id}/"),
        "replay": Route(method="GET", path="delay/replay/{id}/"),
    }
    TRIGGER = Trigger.HEADER
    TRIGGER_NAME = HEADER
    EVERY_VIEW = True
    HIDES_EXPIRED = True
    PER_OWNER = True
    READS_AT_MOST = 16 * 1024 * 1024
    """A process holds several copies of a body that is embedded in the envelope."""

    # Submitting ------------------------------------------------------------------------------------------------------

    def wants_async(self, call: Call) -> bool:
        """Any non-empty value, ``no`` and ``0`` included."""
        return bool(call.header(HEADER).strip())

    def admit(self, call: Call) -> None:
        if call.method not in METHODS:
            raise MethodNotAllowed(headers=(ALLOW,), method=call.method)

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """Exactly these two keys: clients of Solitude compare the set of keys."""
        return json_response({verb: self.url_of(verb, task, context.path) for verb in ("replay", "result")}, status=202)

    def reads(self, verb: str, state: State) -> bool:
        return verb == "result" and self.WORDS[state] == "yes"

    def content_too_large(self) -> None:
        raise ResultTooLarge()

    def result(self, task: Snapshot, context: Context) -> Response:
        """The envelope: 404 until the task is finished, then 200, or 413 where the body is too large for it."""
        error = self.result_error(task, context.now)
        if error and self.wire(error).status == 404:
            return ABSENT
        return json_response(self._envelope(task, error, context))

    def replay(self, task: Snapshot, context: Context) -> Response | Replay:
        """The response itself, marked by the header; an error where the task has none."""
        error = self.result_error(task, context.now)
        mark = (HEADER, self.WORDS[task.state])
        if error is None:
            return Replay(headers=(mark,))
        status = self.wire(error).status
        return ABSENT if status == 404 else json_response(self._explain(error, context), status=status, headers=(mark,))

    # Errors ----------------------------------------------------------------------------------------------------------

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        """Every 404 of the dialect is ``ABSENT``."""
        return ABSENT if self.wire(error).status == 404 else super().problem(error, context)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> Mapping[str, str]:
        return {"error": str(wire.code), "error_message": text}

    # Parts -----------------------------------------------------------------------------------------------------------

    def _envelope(self, task: Snapshot, error: AsyncExchangeError | None, context: Context) -> dict[str, object]:
        content = {"content": json.dumps(self._explain(error, context))} if error else text_of(task.content or b"")
        return {
            "uuid": str(task.id),
            "id": str(task.id),
            "run": self.WORDS[task.state] == "yes",
            "status_code": self.wire(error).status if error else task.status_code,
            **content,
            "counter": task.attempt,
            "created": self._date(task.created),
            "modified": self._date(task.finished or task.started or task.created),
            "resource_pk": number(task),
            "resource_uri": self.url_of("result", task, context.path),
        }

    def _explain(self, error: AsyncExchangeError, context: Context) -> Mapping[str, str]:
        return self.error_document(self.wire(error), self.wording(error, context), error)

    def _date(self, moment: dt.datetime) -> str:
        return moment.astimezone(zoneinfo.ZoneInfo(self.policy.time_zone)).replace(tzinfo=None).isoformat()


def text_of(content: bytes) -> dict[str, str]:
    """``content`` is text in this protocol; other bytes are base64, named in ``content_encoding``."""
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(content).decode(), "content_encoding": "base64"}


def number(task: Snapshot) -> int:
    """An integer key of 63 bits, as Solitude's tasks have, derived from the UUID."""
    return task.id.int >> 65
