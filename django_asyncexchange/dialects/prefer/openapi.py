"""The default dialect in the OpenAPI document: parameters, request bodies, members of documents."""

from __future__ import annotations

from collections.abc import Iterator

from ...protocol.states import State
from ..base import signed_links
from ..base.tables import Parameter, Schema

DATE: Schema = {"type": "string", "format": "date-time"}
TEXT: Schema = {"type": "string", "pattern": "^[^\\u0000]*$"}  # databases refuse a zero character
NUMBER = 10**18 - 1
"""The largest ``limit`` and ``offset``."""
LOOKUPS = {"": "at", "lt": "before", "lte": "at or before", "gt": "after", "gte": "at or after"}
DATES = {
    "created": "accepted",
    "started": "started",
    "finished": "finished",
    "deletion_date": "to be deleted",
}
ORDER = ("created", "started", "finished", "deletion_date", "url", "state")

PREFER = Parameter(
    name="Prefer",
    place="header",
    description=(
        "`respond-async` answers the call later: 202, and the response is fetched afterwards. With `wait=N` the "
        'response is awaited for N seconds first. `callback; url="…"` names a URL that is called at the end (RFC 7240).'
    ),
    schema={"type": "string"},
    example="respond-async, wait=5",
)
KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    description="A call that is repeated under its key is not run again. It counts for asynchronous calls only.",
    schema={"type": "string", "pattern": "^[!-~]{1,255}$"},
    example="7c5d2f0a-6f0e-4c5b-9d5e-0d6a3c0f2b11",
)


def date_filters() -> Iterator[Parameter]:
    for name, what in DATES.items():
        for lookup, when in LOOKUPS.items():
            parameter = f"{name}__{lookup}" if lookup else name
            yield Parameter(name=parameter, description=f"Tasks that were {what} {when} this time.", schema=DATE)
        yield Parameter(
            name=f"{name}__isnull",
            description=f"Tasks without (`true`) or with (`false`) `{name}`.",
            schema={"type": "string", "enum": ["true", "false"]},
        )


PAGING = (
    Parameter(
        name="limit",
        description="Rows of a page, 100 unless given, 1000 at most.",
        schema={"type": "integer", "minimum": 1, "maximum": NUMBER},
    ),
    Parameter(
        name="offset",
        description="Rows before the page.",
        schema={"type": "integer", "minimum": 0, "maximum": NUMBER},
    ),
)
MOMENT = "2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
INTERVALS: Schema = {"type": "array", "items": {"type": "string", "pattern": f"^({MOMENT}/{MOMENT}|null)$"}}
STATES: Schema = {"type": "array", "items": {"type": "string", "enum": [str(state) for state in State]}}
TEXTS: Schema = {"type": "array", "items": TEXT}
LIST = (
    *PAGING,
    Parameter(name="state", description="Tasks in one of these states.", schema=STATES),
    Parameter(name="state__not", description="Tasks in none of these states.", schema=STATES),
    Parameter(name="method", description="Tasks of calls with this method.", schema=TEXT),
    Parameter(name="request", description="Tasks of calls to one of these URLs.", schema=TEXTS),
    Parameter(name="request__not", description="Tasks of calls to none of these URLs.", schema=TEXTS),
    Parameter(name="request__contains", description="Tasks of calls whose URL contains this text.", schema=TEXT),
    Parameter(
        name="deletion_date__within",
        description="Tasks to be deleted in one of these intervals, `start/end`, or `null` for those that never are.",
        schema=INTERVALS,
    ),
    Parameter(
        name="deletion_date__not_within",
        description="Tasks to be deleted in none of these intervals.",
        schema=INTERVALS,
    ),
    Parameter(
        name="order_by",
        description="The order of the list; a leading `-` reverses it.",
        schema={"type": "string", "enum": [sign + name for name in ORDER for sign in ("", "-")]},
    ),
    *date_filters(),
)

WAIT = Parameter(
    name="Prefer",
    place="header",
    description="`wait=N` holds the request for at most N seconds until the task has finished (RFC 7240).",
    schema={"type": "string"},
    example="wait=20",
)
PARAMETERS = {
    "submit": (PREFER, KEY),
    "list": LIST,
    "status": (WAIT,),
    "monitor": (WAIT,),
    "result": (WAIT,),
    "events": (
        Parameter(
            name="Last-Event-ID",
            place="header",
            description="The id of the last event that the client has seen.",
            schema={"type": "string"},
        ),
    ),
    "download": signed_links.PARAMETERS,
}
BODIES = {
    "change": {
        "type": "object",
        "required": ["deletion_date"],
        "properties": {"deletion_date": DATE},
        "example": {"deletion_date": "2026-02-17T12:30:00Z"},
    }
}
FIELDS = {
    # a task
    "id": "Identifies the task, or the webhook.",
    "state": "The state of the task.",
    "reason": "Why there is no response, or why the call failed.",
    "method": "The method of the call.",
    "request": "The URL of the call, in which credentials are masked.",
    "created": "When it was created.",
    "started": "When a worker has begun with it.",
    "finished": "When it has ended.",
    "progress": "What the view has reported.",
    "done": "How much is done.",
    "total": "How much there is to do, where that is known.",
    "message": "A text for people.",
    "queue_position": "1 for the task that a worker takes next; null unless it is PENDING.",
    "eta": "When the task will presumably end; null where nobody knows.",
    "deletion_date": "When the response is deleted.",
    "links": "What can be done at present.",
    "self": "The address of this document.",
    "operation": "The task as an operation of Microsoft's REST API Guidelines.",
    "cancel": "DELETE cancels the task.",
    "events": "A stream of server-sent events.",
    "result": "The response of the call.",
    "download": "The response of the call, by a signed link that needs no credentials.",
    # an operation
    "status": "The state of the operation, or the status of the problem.",
    "createdDateTime": "When it was created.",
    "lastActionDateTime": "When it was created, started or finished.",
    "percentComplete": "The progress in per cent.",
    "resourceLocation": "The response of the call.",
    "downloadLocation": "The response of the call, by a signed link that needs no credentials.",
    "error": "Why the operation has failed.",
    # a list
    "count": "How many there are on all pages.",
    "next": "The next page.",
    "previous": "The page before.",
    "results": "The rows of this page.",
    # a problem (RFC 9457)
    "type": "The type of the problem, `about:blank`, or of the message.",
    "title": "The phrase of the status.",
    "detail": "The problem in the language of the client.",
    "code": "Identifies the problem.",
    "errors": "The problems of each field.",
    "parameter": "The field that has the problem.",
    # a webhook
    "action": "The event of which it is notified.",
    "url": "Where messages are sent to.",
    "with_fields": "Whether the messages of UPDATE name the members that have changed.",
    "enabled": "Whether messages are sent.",
    "disabled_reason": "Why it was disabled.",
    "delivered": "How many messages were delivered.",
    "failed": "How many messages could not be delivered.",
    "last_success": "When a message was last delivered.",
    "failing_since": "When the first message failed since the last one that was delivered.",
    "secret": "The key of the signatures; only when it was just created.",
}
