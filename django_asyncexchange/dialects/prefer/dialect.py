"""The default dialect: ``Prefer: respond-async`` makes a call of any eligible view asynchronous (RFC 7240).

The client polls ``tasks/{id}`` (202, then 303 to the response itself) or, if it follows ``Operation-Location``,
``operations/{id}`` (always 200). Errors are ``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import http
import json
import uuid

from ... import exceptions as e
from ...protocol.server_events import ServerEvent
from ...protocol.states import State
from ...protocol.values import Call, Callback, Context, Event, Listing, Notice, Page, Replay, Response, Snapshot
from ..base import NO_STORE, RETRY_AFTER, Dialect, Policy, Route, Trigger, Wire, json_response, prefer_header
from ..base import gettext_noop as _
from . import documents as documents
from . import events
from . import webhooks as webhooks
from .documents import date, document_of, links_of, percent_of

PREFIX = "/async"
PROBLEM = ("Content-Type", "application/problem+json")
EXTENSIONS = frozenset({"errors", "parameter", "reason"})


class Prefer(Dialect):
    """Triggered by a preference: it claims calls of the whole site, and views that are not eligible ignore it."""

    WORDS = {
        State.PENDING: "NotStarted",
        State.PROCESSING: "Running",
        State.DONE: "Succeeded",
        State.API_ERROR: "Failed",
        State.ERROR: "Failed",
        State.CANCEL: "Canceled",
    }
    """States in the monitor's document. The status document has the stored names."""

    CODES = {
        **Dialect.CODES,
        e.IdempotencyKeyReused: Wire(code="key_reused", status=422, text=_("This idempotency key is already in use.")),
        e.SubscriptionRefused: Wire(code="webhook", status=400, text=_("The field %(parameter)s cannot be %(value)s.")),
    }

    ROUTES = {
        "list": Route(method="GET", path="tasks"),
        "status": Route(method="GET", path="tasks/{id}"),
        "cancel": Route(method="DELETE", path="tasks/{id}"),
        "result": Route(method="GET", path="tasks/{id}/result"),
        "events": Route(method="GET", path="tasks/{id}/events"),
        "monitor": Route(method="GET", path="operations/{id}"),
        "cancel_operation": Route(method="DELETE", path="operations/{id}", verb="cancel"),
    }
    SUBSCRIPTIONS = webhooks.Webhooks()
    TRIGGER = Trigger.PREFERENCE
    TRIGGER_NAME = "Prefer"
    OPTIONAL = True
    RETRYABLE = (e.ResultNotReady,)
    CANCELS_AGAIN = True

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        super().__init__(name=name, prefix=prefix or PREFIX, policy=policy)

    def covers(self, path: str) -> bool:
        """True: any call may have the preference; the prefix is only for the dialect's own URLs."""
        return True

    def wants_async(self, call: Call) -> bool:
        return prefer_header.wants_async(call.header("Prefer"))

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """202 with ``Location`` and ``Operation-Location`` (RFC 7240 sections 3 and 4.1)."""
        links = links_of(task, context.base, context.now)
        places = (("Location", links["self"]), ("Operation-Location", links["operation"]))
        applied = (("Preference-Applied", f"respond-async{', callback' if task.callback else ''}"), ("Vary", "Prefer"))
        return json_response(self.task_document(task, context), status=202, headers=(*places, RETRY_AFTER, *applied))

    def status(self, task: Snapshot, context: Context) -> Response:
        """202 until the task is finished, then 303 to the result, errors included (RFC 9110 section 15.4.4).

        An address that holds leads to itself instead of 202, for clients that only follow redirects.
        """
        document = self.task_document(task, context)
        address = f"{context.base}/tasks/{task.id}"
        if task.state.is_final:
            return json_response(document, status=303, headers=(("Location", f"{address}/result"),))
        if context.wait:
            return self.redirect(task, context, context.wait)
        return json_response(document, status=202, headers=(("Location", address), RETRY_AFTER))

    def task_document(self, task: Snapshot, context: Context) -> dict[str, object]:
        return document_of(task, context.base, context.now, has_events=context.has_events)

    def events(self, task: Snapshot, context: Context, seen: str) -> tuple[ServerEvent, ...]:
        """``state`` and ``progress`` when they change, then ``end``."""
        return events.unseen(task, self.task_document(task, context), seen)

    def result(self, task: Snapshot, context: Context) -> Replay:
        """The response itself, with its status in ``AsyncResult`` and its deletion date in ``Sunset`` (RFC 8594)."""
        self.require_result(task, context.now)
        end = task.deletion_date
        sunset = (("Sunset", email.utils.format_datetime(end.astimezone(dt.UTC), usegmt=True)),) if end else ()
        return Replay(headers=(("AsyncResult", str(task.status_code)), *sunset))

    def monitor(self, task: Snapshot, context: Context) -> Response:
        """An operation of Microsoft's REST API Guidelines: fields that do not apply are absent. Always 200."""
        document = {
            "id": str(task.id),
            "status": self.WORDS[task.state],
            "createdDateTime": date(task.created),
            "lastActionDateTime": date(task.finished or task.started or task.created),
            "percentComplete": percent_of(task),
            "resourceLocation": links_of(task, context.base, context.now).get("result"),
            "error": self._error(task, context) if task.state in {State.API_ERROR, State.ERROR} else None,
        }
        headers = () if task.state.is_final else (RETRY_AFTER,)
        return json_response({key: part for key, part in document.items() if part is not None}, headers=headers)

    def _error(self, task: Snapshot, context: Context) -> dict[str, str]:
        """Why the operation failed: the status of its response, or the reason why there is none."""
        if task.status_code is None:
            return {"code": task.reason or "failed", "message": self.wording(e.ResultFailed(), context)}
        message = context.translate(_("The call was answered with status %(status)s.")) % {"status": task.status_code}
        return {"code": f"http_{task.status_code}", "message": message}

    def cancelled(self, task: Snapshot, context: Context) -> Response:
        return Response(status=204, headers=NO_STORE)

    def listing(self, query: str) -> Listing:
        return documents.listing(query)

    def page(self, page: Page, context: Context) -> Response:
        results = [self.task_document(task, context) for task in page.rows]
        return json_response(documents.page_document(page, results, f"{context.base}/tasks"))

    def callback(self, call: Call) -> Callback | None:
        """The preference ``callback;url="…"``, or ``odata.callback`` (OData 4.0); it is called with POST."""
        named = prefer_header.parse(call.header("Prefer"))
        wanted = named.get("callback") or named.get("odata.callback")
        url = wanted.parameters.get("url", "") if wanted else ""
        return Callback(url=url, method="POST") if url else None

    def notification(self, event: Event, url: str, id: uuid.UUID) -> Notice:
        return webhooks.notification(event, url)

    def called_back(self, callback: Callback, event: Event, id: uuid.UUID) -> Notice:
        return webhooks.notification(event, callback.url)

    def problem(self, error: e.AsyncExchangeError, context: Context) -> Response:
        response = super().problem(error, context)
        rest = tuple(pair for pair in response.headers if pair[0] != PROBLEM[0])
        return dataclasses.replace(response, headers=(PROBLEM, *rest))

    def error_document(self, wire: Wire, text: str, error: e.AsyncExchangeError) -> dict[str, object]:
        """A problem of type ``about:blank``, with the title of its status (RFC 9457 section 4.2.1) and a ``code``."""
        more = {name: error.details[name] for name in sorted(error.details.keys() & EXTENSIONS)}
        if isinstance(errors := more.get("errors"), str):  # a form gives its errors as JSON
            more["errors"] = json.loads(errors)
        title = http.HTTPStatus(wire.status).phrase
        return {"type": "about:blank", "title": title, "status": wire.status, "detail": text, "code": wire.code, **more}
