"""The default dialect: ``Prefer: respond-async`` makes a call of any eligible view asynchronous (RFC 7240).

The client polls ``tasks/{id}`` (202, then 303 to the response itself) or, if it follows ``Operation-Location``,
``operations/{id}`` (always 200). Browsers get pages at ``tasks`` and ``tasks/{id}``. Errors are
``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import http
import json
import math
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ... import exceptions as e
from ...protocol import accept
from ...protocol.server_events import ServerEvent
from ...protocol.states import State
from ...protocol.values import (
    Call,
    Callback,
    Context,
    Event,
    Html,
    Listing,
    Notice,
    Page,
    Replay,
    Response,
    Snapshot,
)
from ..base import (
    NO_STORE,
    Dialect,
    Policy,
    Route,
    Trigger,
    Wire,
    json_response,
    prefer_header,
    retry_after,
    signed_links,
)
from ..base import gettext_noop as _
from . import documents as documents
from . import events, openapi, query_parameter
from . import pages as pages
from . import webhooks as webhooks
from .documents import date, document_of, links_of, moment_of, percent_of, result_headers

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
        e.LinkInvalid: Wire(code="invalid_link", status=403),
        e.DeletionDateRefused: Wire(code="deletion_date", status=422),
        e.IdempotencyKeyReused: Wire(code="key_reused", status=422, text=_("This idempotency key is already in use.")),
        e.SubscriptionRefused: Wire(code="webhook", status=400, text=_("The field %(parameter)s cannot be %(value)s.")),
    }

    ROUTES = {
        "list": Route(method="GET", path="tasks"),
        "status": Route(method="GET", path="tasks/{id}"),
        "cancel": Route(method="DELETE", path="tasks/{id}", verb="remove"),
        "cancel_form": Route(method="POST", path="tasks/{id}/cancel"),
        "change": Route(method="PATCH", path="tasks/{id}"),
        "result": Route(method="GET", path="tasks/{id}/result"),
        "download": Route(method="GET", path="tasks/{id}/download", public=True),
        "events": Route(method="GET", path="tasks/{id}/events"),
        "monitor": Route(method="GET", path="operations/{id}"),
        "cancel_operation": Route(method="DELETE", path="operations/{id}", verb="cancel"),
    }
    SUBSCRIPTIONS = webhooks.Webhooks()
    TRIGGER = Trigger.PREFERENCE
    TRIGGER_NAME = "Prefer"
    OPTIONAL = True
    ESTIMATED = frozenset({"accepted", "status", "monitor", "result"})
    CANCELS_AGAIN = True
    PARAMETERS = openapi.PARAMETERS
    BODIES = openapi.BODIES
    FIELDS = openapi.FIELDS
    CALLBACK = "{$request.header.Prefer}"

    def __init__(self, *, name: str, prefix: str = "", policy: Policy | None = None) -> None:
        super().__init__(name=name, prefix=prefix or PREFIX, policy=policy)

    def covers(self, path: str) -> bool:
        """True: any call may have the preference; the prefix is only for the dialect's own URLs."""
        return True

    def may_want_async(self, path: str, meta: Mapping[str, Any]) -> bool:
        is_in_query = query_parameter.is_in(meta.get("QUERY_STRING", ""))
        return (is_in_query and self.covers(path)) or super().may_want_async(path, meta)

    def wants_async(self, call: Call) -> bool:
        return query_parameter.is_in(call.query) or prefer_header.wants_async(call.header("Prefer"))

    def target(self, call: Call) -> tuple[str, str]:
        return call.path, query_parameter.without(call.query)

    def admit(self, call: Call) -> None:
        """Leave links of other sites to the view: they could fill the queue in a user's name."""
        if query_parameter.is_foreign(call):
            raise e.CallNotStorable()

    def accepted(self, task: Snapshot, context: Context) -> Response:
        """202 with ``Location`` and ``Operation-Location`` (RFC 7240 sections 3 and 4.1).

        A browser that used the query parameter is sent to the task's page instead (303).
        """
        links = links_of(task, context.base, context.now)
        places = (("Location", links["self"]), ("Operation-Location", links["operation"]))
        applied = (("Preference-Applied", f"respond-async{', callback' if task.callback else ''}"), ("Vary", "Prefer"))
        document = self.task_document(task, context)
        if query_parameter.is_in(urlsplit(task.url).query) and accept.prefers_html(context.accept):
            page = ("Location", self.url_of("status", task, context.path))
            return json_response(document, status=303, headers=(page, *applied))
        return json_response(document, status=202, headers=(*places, retry_after(context), *applied))

    def status(self, task: Snapshot, context: Context) -> Response | Html:
        """202 until the task is finished, then 303 to the result, errors included (RFC 9110 section 15.4.4).

        A browser gets a page instead while there is no result. An address that holds leads to itself instead of 202,
        for clients that only follow redirects.
        """
        if accept.prefers_html(context.accept) and self.result_error(task, context.now) is not None:
            return pages.of_task(self, task, context)
        document = self.task_document(task, context)
        address = f"{context.base}/tasks/{task.id}"
        if task.state.is_final:
            return json_response(document, status=303, headers=(("Location", f"{address}/result"),))
        if context.wait:
            return self.redirect(task, context, context.wait)
        return json_response(document, status=202, headers=(("Location", address), retry_after(context)))

    def task_document(self, task: Snapshot, context: Context) -> dict[str, object]:
        """The status document, for the client alone that may fetch the result: it has a signed link."""
        link, has_events = self._link_query(task, context), context.has_events
        return document_of(task, context.base, context.now, context.estimate, query=link, has_events=has_events)

    def events(self, task: Snapshot, context: Context, seen: str) -> tuple[ServerEvent, ...]:
        """``state`` and ``progress`` when they change, then ``end``."""
        return events.unseen(task, self.task_document(task, context), seen)

    def result(self, task: Snapshot, context: Context) -> Replay:
        """The response itself, with its status in ``AsyncResult`` and its deletion date in ``Sunset`` (RFC 8594)."""
        self._require_result(task, context)
        return Replay(headers=result_headers(task))

    def download(self, task: Snapshot, context: Context, query: Mapping[str, str]) -> Replay:
        """The response as a file for browsers, at a URL that needs no credentials: 200 where the call succeeded."""
        expires = signed_links.expiry_of(task, query, context.signer)
        self._require_result(task, context)
        if context.now.timestamp() >= expires:
            raise e.LinkInvalid()
        return Replay(
            status=200 if task.state is State.DONE else None,
            headers=(*result_headers(task), *signed_links.FILE_HEADERS),
            defaults=(("Content-Disposition", "attachment"),),
            drop=frozenset({"set-cookie", "location"}),
        )

    def monitor(self, task: Snapshot, context: Context) -> Response:
        """An operation of Microsoft's REST API Guidelines: fields that do not apply are absent. Always 200.

        ``downloadLocation`` is ours: scripts in browsers cannot read the status document of a finished task, a 303.
        """
        links = links_of(task, context.base, context.now, query=self._link_query(task, context))
        document = {
            "id": str(task.id),
            "status": self.WORDS[task.state],
            "createdDateTime": date(task.created),
            "lastActionDateTime": date(task.finished or task.started or task.created),
            "percentComplete": percent_of(task),
            "resourceLocation": links.get("result"),
            "downloadLocation": links.get("download"),
            "error": self._error(task, context) if task.state in {State.API_ERROR, State.ERROR} else None,
        }
        headers = () if task.state.is_final else (retry_after(context),)
        return json_response({key: part for key, part in document.items() if part is not None}, headers=headers)

    def _error(self, task: Snapshot, context: Context) -> dict[str, str]:
        """Why the operation failed: the status of its response, or the reason why there is none."""
        if task.status_code is None:
            return {"code": task.reason or "failed", "message": self.wording(e.ResultFailed(), context)}
        message = context.translate(_("The call was answered with status %(status)s.")) % {"status": task.status_code}
        return {"code": f"http_{task.status_code}", "message": message}

    def cancelled(self, task: Snapshot, context: Context) -> Response:
        return Response(status=204, headers=NO_STORE)

    def change(self, task: Snapshot, context: Context, document: object) -> dt.datetime:
        """The member ``deletion_date``, from now to ``MAX_RETENTION`` after the end of the task; others are ignored."""
        if not isinstance(document, dict):
            raise e.RequestMalformed()
        if "deletion_date" not in document:
            raise e.FieldMissing(parameter="deletion_date")
        if error := self.result_error(task, context.now):
            error.status = 410 if self.wire(error).status == 410 else 409  # a conflict with the task's state
            raise error
        given, latest = document["deletion_date"], self._latest(task)
        moment = moment_of(given)
        if moment is None or not context.now <= moment <= latest:
            raise e.DeletionDateRefused(parameter="deletion_date", value=given, latest=date(latest))
        return moment

    def changed(self, task: Snapshot, context: Context) -> Response:
        return json_response(self.task_document(task, context))

    def listing(self, query: str) -> Listing:
        return documents.listing(query)

    def page(self, page: Page, context: Context) -> Response | Html:
        if accept.prefers_html(context.accept):
            return pages.of_list(self, page, context)
        results = [document_of(task, context.base, context.now) for task in page.rows]
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

    # Parts -----------------------------------------------------------------------------------------------------------

    def _require_result(self, task: Snapshot, context: Context) -> None:
        if not task.state.is_final:
            raise e.ResultNotReady(headers=(retry_after(context),))
        self.require_result(task, context.now)

    def _link_query(self, task: Snapshot, context: Context) -> str:
        """The query of a signed link; "" where there is no result.

        It expires after half of ``LINK_LIFETIME`` at least, all of it at most, and is the same for half of it, so that
        documents keep their ETag meanwhile.
        """
        if self.result_error(task, context.now) is not None:
            return ""
        lifetime = math.ceil(self.policy.link_lifetime.total_seconds())
        step = max(lifetime // 2, 1)
        expires = math.floor(context.now.timestamp()) // step * step + lifetime
        if task.deletion_date is not None:
            expires = min(expires, math.floor(task.deletion_date.timestamp()))
        return signed_links.query_of(task, expires, context.signer)

    def _latest(self, task: Snapshot) -> dt.datetime:
        assert task.finished is not None and self.policy.max_retention is not None
        return task.finished + self.policy.max_retention
