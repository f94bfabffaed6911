"""MoySklad's protocol in the OpenAPI document: parameters and request bodies."""

from __future__ import annotations

from ..base import signed_links
from ..base.tables import Parameter, Schema

ACTIONS = ("PROCESSED", "UPDATE", "CREATE")
TRIGGER = Parameter(
    name="async",
    description=(
        "`true` answers the call later: 202, and the response is fetched afterwards. Not with `limit` and `offset`."
    ),
    schema={"type": "string", "enum": ["true", "false"]},
    example="true",
)
DISABLE = Parameter(
    name="X-Lognex-WebHook-Disable",
    place="header",
    description="Any value: no webhook is notified of this call.",
    schema={"type": "string"},
)
DISABLE_BY_PREFIX = Parameter(
    name="X-Lognex-WebHook-DisableByPrefix",
    place="header",
    description="Comma-separated URL prefixes of webhooks that are not notified of this call.",
    schema={"type": "string", "pattern": "^https?://[a-z0-9.]+/$"},
    example="https://client.example/",
)
PAGING = (
    Parameter(
        name="limit",
        description="Rows of a page, 1000 at most and unless given.",
        schema={"type": "integer", "minimum": 1},
    ),
    Parameter(name="offset", description="Rows before the page.", schema={"type": "integer", "minimum": 0}),
)
LIST = (
    *PAGING,
    Parameter(
        name="filter",
        description="Conditions on `state`, `request` and `deletionDate`, separated by semicolons.",
        schema={"type": "string", "pattern": "^(state!?=(done|pending|processing))?$"},
        example="state=done",
    ),
    Parameter(
        name="order",
        description="`deletionDate` or `request`, each with `,asc` or `,desc`, separated by semicolons.",
        schema={"type": "string", "enum": ["deletionDate", "deletionDate,desc", "request", "request,desc"]},
    ),
)
PARAMETERS = {
    "submit": (TRIGGER, DISABLE, DISABLE_BY_PREFIX),
    "list": LIST,
    "download": (
        *signed_links.PARAMETERS,
        Parameter(name="filename", description="The name of the file.", schema={"type": "string"}),
    ),
}
WEBHOOK: Schema = {
    "type": "object",
    "properties": {
        "entityType": {"type": "string", "enum": ["async"], "description": "Tasks."},
        "action": {"type": "string", "enum": list(ACTIONS), "description": "The event of which it is notified."},
        "url": {"type": "string", "format": "uri", "maxLength": 255, "description": "Where messages are sent to."},
        "enabled": {"type": "boolean", "description": "Whether messages are sent."},
        "method": {"type": "string", "enum": ["POST"]},
        "diffType": {
            "type": "string",
            "enum": ["NONE", "FIELDS"],
            "description": "With UPDATE: whether messages name the fields that have changed.",
        },
    },
}
NEW: Schema = {
    **WEBHOOK,
    "required": ["entityType", "action", "url"],
    "example": {"entityType": "async", "action": "PROCESSED", "url": "https://client.example/finished"},
}
EXISTING: Schema = {
    **WEBHOOK,
    "required": ["meta"],
    "properties": {
        "meta": {"type": "object", "required": ["href"], "properties": {"href": {"type": "string", "format": "uri"}}},
        **WEBHOOK["properties"],
    },
}
BODIES = {
    "write": {
        "anyOf": [NEW, {"type": "array", "maxItems": 1000, "items": {"anyOf": [NEW, EXISTING]}}],
        "example": NEW["example"],
    },
    "change": {**WEBHOOK, "example": {"enabled": False}},
    "remove_many": {"type": "array", "maxItems": 1000, "items": EXISTING},
}
