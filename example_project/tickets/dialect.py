"""Tickets: a call with the header ``X-Ticket: please`` is answered by a ticket, as in a cloakroom.

The client polls ``tickets/{id}`` until the ticket is ready, and then fetches ``tickets/{id}/goods``, the result itself.
"""

from __future__ import annotations

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Dialect, Route, Trigger, Wire, json_response
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Call, Context, Response, Snapshot


class Ticket(Dialect):
    WORDS = {
        State.PENDING: "queued",
        State.PROCESSING: "working",
        State.DONE: "ready",
        State.API_ERROR: "ready",  # a view's own 4xx is a result like any other
        State.ERROR: "failed",
        State.CANCEL: "dropped",
    }
    CODES = {
        **Dialect.CODES,
        exceptions.SubmitRefused: Wire(code="no-ticket", status=400),
        exceptions.TaskNotFound: Wire(code="unknown", status=404),
        exceptions.ResultExpired: Wire(code="thrown-away", status=410, text="Your goods are no longer kept."),
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
        return json_response({"ticket": self.url_of("status", task, context.path)}, status=202)

    def status(self, task: Snapshot, context: Context) -> Response:
        return json_response({"ticket": str(task.id), "state": self.WORDS[task.state]})

    def error_document(self, wire: Wire, text: str, error: exceptions.AsyncExchangeError) -> dict[str, str]:
        return {"problem": str(wire.code), "text": text}
