"""Tickets: a call with the header ``X-Ticket: please`` is answered by a ticket, as in a cloakroom.

The client looks at ``tickets/{id}`` until the ticket is no longer queued or being worked on, and then fetches
``tickets/{id}/goods``, the answer itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from django_asyncexchange.dialects.base import Dialect, Route, Trigger, Wire, json_response
from django_asyncexchange.dialects.base import gettext_noop as _
from django_asyncexchange.exceptions import (
    AsyncExchangeError,
    CapacityExceeded,
    HttpRefused,
    IdempotencyKeyReused,
    InternalError,
    ListingRefused,
    MethodNotAllowed,
    NotAcceptable,
    NotAuthenticated,
    NotCancellable,
    PermissionDenied,
    RequestTooLarge,
    ResultCancelled,
    ResultExpired,
    ResultFailed,
    ResultNotReady,
    ResultUnavailable,
    SubmitFailed,
    SubmitRefused,
    TaskNotFound,
    Throttled,
)
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Call, Context, Replay, Response, Snapshot


class Ticket(Dialect):
    WORDS = {
        State.PENDING: "queued",
        State.PROCESSING: "working",
        State.DONE: "ready",
        State.API_ERROR: "ready",
        State.ERROR: "failed",
        State.CANCEL: "dropped",
    }
    """What ``state`` says. A view's own 4xx is goods like any other."""

    CODES = {
        SubmitRefused: Wire(code="no-ticket", status=400, text=_("This call is not accepted for later.")),
        IdempotencyKeyReused: Wire(
            code="key-reused", status=422, text=_("The idempotency key was used for another request.")
        ),
        RequestTooLarge: Wire(code="too-large", status=413, text=_("The request body is too large.")),
        CapacityExceeded: Wire(code="full", status=429, text=_("Too many asynchronous calls are unfinished.")),
        SubmitFailed: Wire(code="closed", status=503, text=_("The call could not be queued; try again later.")),
        TaskNotFound: Wire(code="unknown", status=404, text=_("There is no such task.")),
        ResultUnavailable: Wire(code="no-goods", status=404, text=_("There is no result to fetch.")),
        ResultNotReady: Wire(code="not-yet", status=404, text=_("The task is not finished yet.")),
        ResultExpired: Wire(code="thrown-away", status=410, text=_("The result has been deleted.")),
        ResultFailed: Wire(code="failed", status=500, text=_("The task failed; submit the call again.")),
        ResultCancelled: Wire(code="dropped", status=410, text=_("The task was cancelled.")),
        NotCancellable: Wire(code="finished", status=409, text=_("The task is already finished.")),
        ListingRefused: Wire(code="no-list", status=400, text=_("The list cannot be shown this way.")),
        HttpRefused: Wire(code="refused", status=400, text=_("The request was refused.")),
        NotAuthenticated: Wire(code="stranger", status=401, text=_("Valid credentials are needed.")),
        PermissionDenied: Wire(code="forbidden", status=403, text=_("You are not allowed to do this.")),
        MethodNotAllowed: Wire(code="wrong-method", status=405, text=_("This method is not allowed here.")),
        NotAcceptable: Wire(code="wrong-type", status=406, text=_("This media type cannot be produced.")),
        Throttled: Wire(code="too-often", status=429, text=_("Too many requests.")),
        InternalError: Wire(code="broken", status=500, text=_("Internal server error.")),
    }

    ROUTES = {
        "status": Route(method="GET", path="tickets/{id}"),
        "result": Route(method="GET", path="tickets/{id}/goods"),
    }
    TRIGGER = Trigger.HEADER
    TRIGGER_NAME = "X-Ticket"
    PER_OWNER = True

    def wants_async(self, call: Call) -> bool:
        return call.header(self.TRIGGER_NAME) == "please"

    def accepted(self, task: Snapshot, context: Context) -> Response:
        return json_response({"ticket": f"{context.path}/tickets/{task.id}"}, status=202)

    def status(self, task: Snapshot, context: Context) -> Response:
        return json_response({"ticket": str(task.id), "state": self.WORDS[task.state]})

    def result(self, task: Snapshot, context: Context) -> Replay:
        if not task.state.is_final:
            raise ResultNotReady
        if task.state is State.CANCEL:
            raise ResultCancelled
        if task.is_expired(context.now):
            raise ResultExpired
        if task.status_code is None:
            raise ResultFailed
        return Replay()

    def error_document(self, wire: Wire, text: str, error: AsyncExchangeError) -> Mapping[str, str]:
        return {"problem": str(wire.code), "text": text}
