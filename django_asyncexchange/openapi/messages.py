"""Webhooks and callbacks: requests that the server sends."""

from __future__ import annotations

import json
from typing import Any

from ..dialects.base import Dialect
from ..models import Webhook
from ..protocol.values import Notice
from . import samples
from .components import describer
from .operations import id_of, tag_of

SUCCESS = frozenset(range(200, 300))
SIGNATURE = {
    "webhook-id": "The id of the message: the same one at each attempt.",
    "webhook-timestamp": "When it was sent, in Unix seconds.",
    "webhook-signature": "Its signatures, as Standard Webhooks specifies them.",
}


def webhooks(dialect: Dialect) -> dict[str, Any]:
    """The messages to the webhooks of a mount."""
    if dialect.SUBSCRIPTIONS is None:
        return {}
    found = {}
    for action in Webhook.ACTIONS:
        notice = dialect.notification(samples.event(dialect, action), samples.RECEIVER, samples.DELIVERY)
        name = id_of(dialect, action.lower())
        found[name] = {notice.method.lower(): _operation(dialect, notice, name, f"A task has the event {action}")}
    return found


def callback(dialect: Dialect) -> dict[str, Any] | None:
    """The callback object of a call; None where calls have no callbacks."""
    event = samples.event(dialect, Webhook.PROCESSED)
    notice = dialect.called_back(samples.callback(), event, samples.DELIVERY) if dialect.CALLBACK else None
    if notice is None:
        return None
    operation = _operation(dialect, notice, id_of(dialect, "callback"), "The task has finished")
    del operation["operationId"]  # it would be that of each operation
    return {dialect.CALLBACK: {notice.method.lower(): operation}}


def _operation(dialect: Dialect, notice: Notice, name: str, summary: str) -> dict[str, Any]:
    rules = dialect.DELIVERY_RULES.get(dialect.policy.delivery) or Dialect.DELIVERY_RULES["signed"]
    media_type = notice.content_type.partition(";")[0]
    statuses = ["2XX"] if rules.success_statuses >= SUCCESS else sorted(rules.success_statuses)
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "description": "Sent by the server; any other response is a failure, after which the message is sent again.",
        "tags": [tag_of(dialect)],
        "parameters": _headers() if rules.is_signed else [],
        "responses": {str(status): {"description": "The message has arrived."} for status in statuses},
        "security": [],
    }
    if media_type:
        example = json.loads(notice.body) if media_type.endswith("json") else notice.body
        schema = describer(dialect).schema([example])
        operation["requestBody"] = {"required": True, "content": {media_type: {"schema": schema, "example": example}}}
    return operation


def _headers() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in SIGNATURE.items()
    ]
