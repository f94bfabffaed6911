"""Cisco PCCE/UCCE: ``?async=true`` makes POST, PUT, PATCH and DELETE asynchronous.

The client polls the URL in ``Location``: 202 with ``progress`` until the call is finished, then exactly the response of
the synchronous call. Bodies are JSON, or XML where the client prefers it.
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
from .base import Dialect, Policy, Route, Trigger, Wire, json_response, retry_after
from .base import gettext_noop as _
from .base.query_string import last, without

MEDIA = ("application/json", "application/xml", "text/xml")
"""Media types of responses; the first one wins where the client prefers several equally."""

TIMED_OUT = Wire(code="asyncRequest.timedOut", status=503, text=_("The request timed out."))
FAILURES: Mapping[object, Wire] = {Reason.QUEUE_TIMEOUT: TIMED_OUT, Reason.RUN_TIMEOUT: TIMED_OUT}
"""Reasons of a failed task that have a code of their own."""


class Cisco(Dialect):
    """Triggered by the query string of a write; one queue for all accounts, where calls wait 30 seconds at most."""

    WORDS = {
        State.PENDING: "IN_QUEUE",
        State.PROCESSING: "IN_PROGRESS",
        State.DONE: "COMPLETED",
        State.API_ERROR: "COMPLETED",
        State.ERROR: "FAILED",
        State.CANCEL: "CANCELLED",
    }
    """Values of ``progress``. Only the first two are sent: once finished, the response itself is returned."""

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
    ESTIMATED = frozenset({"accepted", "status"})
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
        """``async=true``, exactly, on a write; otherwise the parameter belongs to the view."""
        return call.method in self.METHODS and "async" in call.query and last(call.query, "async") == "true"

    def target(self, call: Call) -> tuple[str, str]:
        """The query without ``async``, otherwise unchanged."""
        return call.path, without(call.query, "async")

    # Rendering -------------------------------------------------------------------------------------------------------

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """Always ``IN_QUEUE``: repeating the call under its idempotency key returns the same 202."""
        return self._progress(task, State.PENDING, context)

    def status(self, task: Snapshot, context: Context) -> Response | Replay:
        """The 202 again while unfinished; then the synchronous response, or an error where there is none."""
        if not task.state.is_final:
            return self._progress(task, task.state, context)
        return super().result(task, context)

    def result(self, task: Snapshot, context: Context) -> Response | Replay:
        """The polled URL is the only one."""
        return self.status(task, context)

    # Errors ----------------------------------------------------------------------------------------------------------

    def wire(self, error: AsyncExchangeError) -> Wire:
        reason = error.details.get("reason") if isinstance(error, ResultFailed) else None
        return FAILURES.get(reason) or super().wire(error)

    def problem(self, error: AsyncExchangeError, context: Context) -> Response:
        return negotiated(super().problem(error, context), "apiErrors", context)

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> object:
        """``errorData`` names a field of the item, which only the view's own errors have."""
        return {"apiError": [{"errorData": "", "errorMessage": text, "errorType": wire.code}]}

    # Parts -----------------------------------------------------------------------------------------------------------

    def _progress(self, task: Snapshot, state: State, context: Context) -> Response:
        headers = (("Location", self.url_of("status", task, context.base)), retry_after(context))
        document = {"progress": self.WORDS[state]}
        return negotiated(json_response(document, status=202, headers=headers), "asyncResult", context)


def negotiated(response: Response, root: str, context: Context) -> Response:
    """``response`` in the media type that the client prefers: as XML, its document becomes the element ``root``."""
    media = preferred(context.accept)
    if media == MEDIA[0]:
        return response
    element = ElementTree.Element(root)
    fill(element, json.loads(response.body))
    headers = tuple((name, media if name == "Content-Type" else text) for name, text in response.headers)
    body: bytes = ElementTree.tostring(element, encoding="utf-8", xml_declaration=True)
    return dataclasses.replace(response, headers=headers, body=body)


def fill(parent: ElementTree.Element, document: Mapping[str, object]) -> None:
    """Add each member as a child element; a list becomes the same element several times."""
    for name, member in document.items():
        for item in member if isinstance(member, list) else [member]:
            child = ElementTree.SubElement(parent, name)
            if isinstance(item, dict):
                fill(child, item)
            else:
                child.text = str(item)


def preferred(accept: str) -> str:
    """The one of ``MEDIA`` that an ``Accept`` header prefers (RFC 9110 section 12.5.1)."""
    ranges = weights(accept)
    return max(MEDIA, key=lambda media: preference(ranges, media))


def preference(ranges: Mapping[str, float], media: str) -> tuple[float, int]:
    """(weight, specificity): the most specific range applies; at equal weights, a type that is named wins."""
    names = ("*/*", media.partition("/")[0] + "/*", media)
    specificity = max((index for index, name in enumerate(names) if name in ranges), default=0)
    weight = ranges.get(names[specificity], 0.0)
    return (weight, specificity) if weight else (0.0, 0)
