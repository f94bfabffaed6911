"""Webhooks and callbacks: requests that the server sends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from ..dialects.base import Dialect
from ..models import Webhook
from ..protocol.values import Notice
from . import samples
from .components import Components
from .operations import tag_of

SUCCESS = frozenset(range(200, 300))
SIGNATURE = {
    "webhook-id": "The id of the message: the same one at each attempt.",
    "webhook-timestamp": "When it was sent, in Unix seconds.",
    "webhook-signature": "Its signatures, as Standard Webhooks specifies them.",
}


def webhooks(dialect: Dialect, components: Components) -> dict[str, Any]:
    """The messages to the webhooks of a mount."""
    if dialect.SUBSCRIPTIONS is None:
        return {}
    found = {}
    for action in Webhook.ACTIONS:
        events = samples.events(dialect, action)
        notices = [dialect.notification(event, samples.RECEIVER, samples.DELIVERY) for event in events]
        name, summary = components.id_of(dialect, action.lower()), f"A task has the event {action}"
        operation = {"operationId": name, **_operation(dialect, notices, summary, components)}
        found[name] = {notices[0].method.lower(): operation}
    return found


def callback(dialect: Dialect, components: Components) -> dict[str, Any] | None:
    """The callback object of a call; None where calls have no callbacks."""
    events = samples.events(dialect, Webhook.PROCESSED)
    sent = (dialect.called_back(samples.callback(), event, samples.DELIVERY) for event in events)
    notices = [notice for notice in sent if notice is not None]
    if not dialect.CALLBACK or not notices:
        return None
    operation = _operation(dialect, notices, "The task has finished", components)
    return {dialect.CALLBACK: {notices[0].method.lower(): operation}}


def _operation(dialect: Dialect, notices: Sequence[Notice], summary: str, components: Components) -> dict[str, Any]:
    rules = dialect.DELIVERY_RULES.get(dialect.policy.delivery) or Dialect.DELIVERY_RULES["signed"]
    statuses = ["2XX"] if rules.success_statuses >= SUCCESS else sorted(rules.success_statuses)
    operation: dict[str, Any] = {
        "summary": summary,
        "description": "Sent by the server. Any other response is a failure.",
        "tags": [tag_of(dialect)],
        "parameters": _headers() if rules.is_signed else [],
        "responses": {
            **{str(status): {"description": "The message has arrived."} for status in statuses},
            "4XX": {"description": "The message was not accepted."},
        },
        "security": [],
    }
    if media_type := notices[0].content_type.partition(";")[0]:
        content = _content(dialect, media_type, [notice.body for notice in notices], components)
        operation["requestBody"] = {"required": True, "content": {media_type: content}}
    return operation


def _content(dialect: Dialect, media_type: str, bodies: Sequence[str], components: Components) -> dict[str, Any]:
    examples = [json.loads(body) if media_type.endswith("json") else dict(parse_qsl(body)) for body in bodies]
    return {"schema": components.document(dialect, "message", examples), "example": examples[0]}


def _headers() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in SIGNATURE.items()
    ]
