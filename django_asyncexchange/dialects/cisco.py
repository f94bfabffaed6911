"""Cisco PCCE/UCCE: ``?async=true`` on a write is answered later (seed S003).

The client polls the address in ``Location``: 202 with ``progress`` until the call is finished, from then on exactly
what the synchronous call would have answered. Bodies are JSON, or XML where the client prefers that.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from xml.etree import ElementTree

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
    ResultUnavailable,
    RouteNotFound,
    SubmitFailed,
    SubmitRefused,
    TaskNotFound,
    Throttled,
    Unavailable,
)
from ..protocol.accept import weights
from ..protocol.states import Reason, State
from ..protocol.values import Call, Context, Replay, Response, Snapshot
from .base import RETRY_AFTER, Dialect, Policy, Route, Trigger, Wire, json_response
from .base import gettext_noop as _
from .base.query_string import last, without

MEDIA = ("application/json", "application/xml", "text/xml")
"""What can be sent; the first one wins where the client likes several as much."""

TIMED_OUT = Wire(code="asyncRequest.timedOut", status=503, text=_("The request timed out."))
FAILURES: Mapping[object, Wire] = {Reason.QUEUE_TIMEOUT: TIMED_OUT, Reason.RUN_TIMEOUT: TIMED_OUT}
"""Why a call ended without an answer, where that is told apart from being lost (D3)."""


class Cisco(Dialect):
    """The query dialect of writes: one queue for all, and nobody waits in it for long."""

    WORDS = {
        State.PENDING: "IN_QUEUE",
        State.PROCESSING: "IN_PROGRESS",
        State.DONE: "COMPLETED",
        State.API_ERROR: "COMPLETED",
        State.ERROR: "FAILED",
        State.CANCEL: "CANCELLED",
    }
    """What ``progress`` says. Only the first two are ever sent: a finished call is its own answer (D10)."""

    CODES = {
        SubmitRefused: Wire(code="asyncRequest.refused", status=400),
        CallerUnknown: Wire(code="asyncRequest.callerUnknown", status=400),
        NotEligible: Wire(code="asyncRequest.notSupported", status=400),
        IdempotencyKeyReused: Wire(
            code="asyncRequest.keyReused", status=422, text=_("The idempotency key belongs to another request.")
        ),
        RequestTooLarge: Wire(code="invalidInput.tooLarge", status=413),
        CapacityExceeded: Wire(code="asyncRequest.queueFull", status=503),
        SubmitFailed: Wire(code="asyncRequest.unavailable", status=503),
        TaskNotFound: Wire(code="asyncRequest.notFound", status=404),
        RouteNotFound: Wire(code="invalidInput.notFound", status=404),
        ResultUnavailable: Wire(code="asyncRequest.notFound", status=404),
        ResultFailed: Wire(code="asyncRequest.lost", status=500, text=_("It is not known what came of this call.")),
        ResultCancelled: Wire(code="asyncRequest.cancelled", status=410),
        NotCancellable: Wire(code="asyncRequest.finished", status=409),
        ListingRefused: Wire(code="invalidInput.listing", status=400),
        HttpRefused: Wire(code="invalidInput.refused", status=400),
        NotAuthenticated: Wire(code="access.unauthorized", status=401),
        PermissionDenied: Wire(code="access.forbidden", status=403),
        CsrfFailed: Wire(code="access.csrfFailed", status=403),
        MethodNotAllowed: Wire(code="invalidInput.methodNotAllowed", status=405),
        NotAcceptable: Wire(code="invalidInput.notAcceptable", status=406),
        Throttled: Wire(code="access.throttled", status=429),
        InternalError: Wire(code="server.internal", status=500),
        Unavailable: Wire(code="server.unavailable", status=503),
    }

    ROUTES = {"status": Route(method="GET", path="asyncrequeststatus/{id}")}
    TRIGGER = Trigger.QUERY
    TRIGGER_NAME = "async"
    METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
    EVERY_VIEW = True
    VALIDATES = True
    RETRYABLE = (CapacityExceeded, SubmitFailed)
    HIDES_EXPIRED = True
    PER_OWNER = True
    POLICY = Policy(
        capacity=100,
        shared_capacity=True,
        queue_limit=dt.timedelta(seconds=30),
        run_limit=dt.timedelta(minutes=5),
        retention=dt.timedelta(hours=1),
        error_retention=dt.timedelta(hours=1),
    )

    # Submitting ------------------------------------------------------------------------------------------------------

    def wants_async(self, call: Call) -> bool:
        """``true`` and nothing else, on a write; elsewhere the parameter is not ours (D1)."""
        return call.method in self.METHODS and "async" in call.query and last(call.query, "async") == "true"

    def target(self, call: Call) -> tuple[str, str]:
        """The view sees the query without ``async``, otherwise untouched."""
        return call.path, without(call.query, "async")

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """Queued, whatever has become of it since: a repeated kick-off is answered with the same 202 (D2, G)."""
        return self._progress(task, State.PENDING, context)

    def status(self, task: Snapshot, context: Context) -> Response | Replay:
        """The kick-off again while unfinished; then the synchronous answer, or why there is none (D3)."""
        if not task.state.is_final:
            return self._progress(task, task.state, context)
        return super().result(task, context)

    def result(self, task: Snapshot, context: Context) -> Response | Replay:
        """There is no other address than the one that is polled (D4)."""
        return self.status(task, context)

    # Errors ----------------------------------------------------------------------------------------------------------

    def wire(self, error: AsyncExchangeError) -> Wire:
        reason = error.details.get("reason") if isinstance(error, ResultFailed) else None
        return FAILURES.get(reason) or super().wire(error)

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        return negotiated(super().problem(error, context), "apiErrors", context)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> object:
        """``errorData`` names a field of the item; only the view's own errors have one (D8)."""
        return {"apiError": [{"errorData": "", "errorMessage": text, "errorType": wire.code}]}

    # Parts -----------------------------------------------------------------------------------------------------------

    def _progress(self, task: Snapshot, state: State, context: Context) -> Response:
        location = ("Location", self.url_of("status", task, context.base))
        document = {"progress": self.WORDS[state]}
        return negotiated(json_response(document, status=202, headers=(location, RETRY_AFTER)), "asyncResult", context)


def negotiated(response: Response, root: str, context: Context) -> Response:
    """The JSON ``response`` as the client likes it best: in XML, its document becomes the element ``root``."""
    media = preferred(context.accept)
    if media == MEDIA[0]:
        return response
    element = ElementTree.Element(root)
    fill(element, json.loads(response.body))
    headers = tuple((name, media if name == "Content-Type" else text) for name, text in response.headers)
    body: bytes = ElementTree.tostring(element, encoding="utf-8", xml_declaration=True)
    return dataclasses.replace(response, headers=headers, body=body)


def fill(parent: ElementTree.Element, document: Mapping[str, object]) -> None:
    """Members become child elements, a list the same element several times."""
    for name, member in document.items():
        for item in member if isinstance(member, list) else [member]:
            child = ElementTree.SubElement(parent, name)
            if isinstance(item, dict):
                fill(child, item)
            else:
                child.text = str(item)


def preferred(accept: str) -> str:
    """Which of ``MEDIA`` an ``Accept`` header likes best."""
    ranges = weights(accept)
    return max(MEDIA, key=lambda media: preference(ranges, media))


def preference(ranges: Mapping[str, float], media: str) -> tuple[float, int]:
    """(weight, precision): the most precise range decides; of equal weights, the type that was named is meant."""
    names = ("*/*", media.partition("/")[0] + "/*", media)
    precision = max((index for index, name in enumerate(names) if name in ranges), default=0)
    weight = ranges.get(names[precision], 0.0)
    return (weight, precision) if weight else (0.0, 0)
