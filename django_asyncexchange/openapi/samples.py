"""Tasks, errors and webhooks of which the dialects render the examples of an OpenAPI document."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import uuid
from collections.abc import Iterator, Mapping

from .. import exceptions as e
from ..dialects.base import Dialect, Trigger
from ..exceptions import AsyncExchangeError
from ..protocol.signer import Signer
from ..protocol.states import Reason, State
from ..protocol.values import Call, Callback, Context, Estimate, Event, Owner, Progress, Snapshot, Subscription

HOST = "https://example.com"
RECEIVER = "https://client.example/finished"
CREATED = dt.datetime(2026, 2, 16, 12, 30, tzinfo=dt.UTC)
NOW = CREATED + dt.timedelta(minutes=2)
TASK = uuid.UUID("5d0c0f0e-8a3c-4f57-9c1e-2b6f5d1f7a10")
WEBHOOK = uuid.UUID("c2a4c5b6-1f0d-4d6b-8b53-7f2f3f0f9e21")
DELIVERY = uuid.UUID("0e7c9a3d-44f2-4f0a-9f36-5a1f6f0b8d32")
SECRET = "whsec_" + "A" * 43 + "="
OWNER = Owner(account="1", id="1")
SIGNER = Signer(keys=("example",), salt="example")
"""Not the project's: the document is public."""
ESTIMATE = Estimate(eta=NOW + dt.timedelta(seconds=5), queue_position=1, retry_after=5)
ACCEPTS = ("application/json", "text/html", "application/xml")
"""What clients accept, for dialects that negotiate."""


def contexts(dialect: Dialect, state: State | None = None) -> Iterator[Context]:
    """To render a task in ``state`` for each media type of ``ACCEPTS``, with and without a server that sends events."""
    estimate = ESTIMATE if state is State.PENDING else Estimate()
    for accept, has_events in itertools.product(ACCEPTS, (True, False)):
        yield Context(
            base=HOST + dialect.prefix,
            path=dialect.prefix,
            now=NOW,
            viewer=OWNER,
            accept=accept,
            has_events=has_events,
            translate=str,
            signer=SIGNER,
            estimate=estimate,
        )


def task(dialect: Dialect) -> Snapshot:
    """A task that waits."""
    return Snapshot(
        id=TASK,
        dialect=dialect.name,
        state=State.PENDING,
        owner=OWNER,
        method="GET",
        url=f"{HOST}/reports/stock",
        created=CREATED,
    )


def tasks(dialect: Dialect) -> dict[str, Snapshot]:
    """A task in each of its states, by a name of that state."""
    waits = task(dialect)
    runs = dataclasses.replace(
        waits,
        state=State.PROCESSING,
        attempt=1,
        started=CREATED + dt.timedelta(seconds=1),
        progress=Progress(done=40, total=100, message="Counting"),
    )
    ended = dataclasses.replace(
        runs,
        state=State.DONE,
        finished=CREATED + dt.timedelta(seconds=42),
        deletion_date=CREATED + dt.timedelta(hours=1),
        status_code=200,
        content_type="application/json",
        content=b'{"stock": 14}',
        progress=None,
    )
    refused = {"detail": "No such store."}
    return {
        "pending": waits,
        "processing": runs,
        "processing_without_total": dataclasses.replace(runs, progress=Progress(done=40)),
        "done": ended,
        "client_error": dataclasses.replace(
            ended, state=State.API_ERROR, status_code=404, content=json.dumps(refused).encode()
        ),
        "server_error": dataclasses.replace(
            ended, state=State.ERROR, reason=Reason.EXCEPTION, status_code=500, content=b""
        ),
        "lost": dataclasses.replace(
            ended, state=State.ERROR, reason=Reason.LOST, status_code=None, content_type="", content=None
        ),
        "cancelled": dataclasses.replace(
            ended, state=State.CANCEL, status_code=None, content_type="", content=None, deletion_date=None
        ),
        "expired": dataclasses.replace(ended, deletion_date=CREATED + dt.timedelta(minutes=1), content=None),
    }


def subscription() -> Subscription:
    return Subscription(
        id=WEBHOOK,
        owner=OWNER,
        action="PROCESSED",
        url=RECEIVER,
        created=CREATED,
        delivered=12,
        failed=1,
        last_success=NOW,
    )


def subscriptions() -> dict[str, Subscription]:
    """Webhooks with and without deliveries."""
    used = subscription()
    unused = dataclasses.replace(used, delivered=0, failed=0, last_success=None)
    failing = dataclasses.replace(used, failing_since=NOW)
    return {"webhook": used, "unused_webhook": unused, "failing_webhook": failing}


PAGES = {"webhooks": "", "first_page": "limit=1", "middle_page": "limit=1&offset=1"}
"""Queries of a list."""


def delivery() -> dict[str, object]:
    """A document of ``endpoints.webhooks.described``."""
    attempt = {
        "at": CREATED.isoformat(),
        "status_code": None,
        "milliseconds": 3000,
        "error": "timeout",
        "answer": "",
    }
    answered = {**attempt, "status_code": 200, "milliseconds": 87, "error": "", "answer": "OK"}
    return {
        "id": str(DELIVERY),
        "event": "PROCESSED",
        "task": str(TASK),
        "state": "WAITING",
        "created": CREATED.isoformat(),
        "due": NOW.isoformat(),
        "attempts": [attempt, answered],
    }


def events(dialect: Dialect, action: str) -> list[Event]:
    """Events of this kind, the usual one first."""
    known, base = tasks(dialect), HOST + dialect.prefix
    names = {"CREATE": ["pending"], "UPDATE": ["processing"]}.get(action, ["done", "client_error", "lost", "cancelled"])
    fields = ("state", "started") if action == "UPDATE" else ()
    return [Event(action=action, task=known[name], base=base, fields=fields) for name in names]


def callback() -> Callback:
    return Callback(url=RECEIVER, method="POST")


def call(dialect: Dialect, method: str, path: str) -> Call:
    """A call of ``path`` that has the trigger of ``dialect``."""
    headers = {"prefer": "respond-async", "accept-encoding": "gzip"}
    if dialect.TRIGGER is Trigger.HEADER:
        headers[dialect.TRIGGER_NAME.lower()] = "yes"
    query = f"{dialect.TRIGGER_NAME}=true" if dialect.TRIGGER is Trigger.QUERY else ""
    return Call(method=method, path=path, query=query, header=lambda name: headers.get(name.lower(), ""))


# Errors ---------------------------------------------------------------------------------------------------------------

EVERYWHERE: tuple[AsyncExchangeError, ...] = (e.Throttled(), e.InternalError(), e.Unavailable())
OF_CALLERS: tuple[AsyncExchangeError, ...] = (e.NotAuthenticated(), e.PermissionDenied())
OF_UNSAFE_METHODS: tuple[AsyncExchangeError, ...] = (e.CsrfFailed(reason="CSRF cookie not set."),)
OF_TASKS: tuple[AsyncExchangeError, ...] = (e.TaskNotFound(),)
OF_VERBS: Mapping[str, tuple[AsyncExchangeError, ...]] = {
    "list": (
        e.FilterRefused(value="stat=DONE", errors='{"state": [{"message": "Select a valid choice.", "code": ""}]}'),
        e.PagingMalformed(parameter="limit", value="many"),
        e.QueryMalformed(),
    ),
    "cancel": (e.NotCancellable(),),
    "cancel_form": (e.NotCancellable(),),
    "change": (
        e.RequestMalformed(),
        e.FieldMissing(parameter="deletion_date"),
        e.DeletionDateRefused(parameter="deletion_date", value="yesterday", latest="2026-02-23T12:30:00.000Z"),
    ),
    "download": (e.LinkInvalid(),),
    "events": (e.EventsUnavailable(),),
}
OF_DOCUMENTS: tuple[AsyncExchangeError, ...] = (
    e.RequestMalformed(),
    e.FieldMissing(parameter="url"),
    e.FieldMalformed(parameter="enabled", value="maybe"),
    e.ActionUnknown(parameter="action", value="DONE", allowed="PROCESSED, UPDATE, CREATE"),
    e.AddressRefused(parameter="url", value="http://localhost/"),
    e.SubscriptionExists(),
    e.TooManySubscriptions(),
)
OF_WEBHOOKS: Mapping[str, tuple[AsyncExchangeError, ...]] = {
    "list": (e.PagingMalformed(parameter="limit", value="many"), e.QueryMalformed()),
    "create": OF_DOCUMENTS,
    "write": OF_DOCUMENTS,
    "change": OF_DOCUMENTS,
    "remove_many": (e.RequestMalformed(),),
    "resend": (e.RequestMalformed(), e.FieldMalformed(parameter="since", value="yesterday")),
}
OF_CALLS: tuple[AsyncExchangeError, ...] = (
    e.IdempotencyKeyMalformed(),
    e.IdempotencyKeyReused(),
    e.CapacityExceeded(),
    e.StorageExceeded(),
    e.SubmitFailed(),
)
OF_CLAIMED_CALLS: tuple[AsyncExchangeError, ...] = (
    *OF_CALLS,
    e.SubmitRefused(),
    e.CallerUnknown(),
    e.NotAuthenticated(),
    e.RequestTooLarge(),
    e.InternalError(),
)
"""Where the trigger is no preference, a call that cannot be answered later is refused."""
