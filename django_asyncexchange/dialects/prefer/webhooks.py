"""The default dialect's webhook resource, and the messages to webhooks and callbacks (Standard Webhooks)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ...exceptions import ActionUnknown, FieldMalformed, FieldMissing, RequestMalformed
from ...protocol.values import Context, Event, Notice, Page, Response, Subscription
from ..base import json_response
from ..base.tables import Route, Schema
from ..base.webhooks import Subscriptions, WebhookFields
from .documents import date, document_of, listing, page_document
from .openapi import PAGING

ACTIONS = ("PROCESSED", "UPDATE", "CREATE")
KINDS: Mapping[str, type] = {"action": str, "url": str, "with_fields": bool, "enabled": bool}
"""Fields that a client may set, and their types; others are ignored."""
BODY: Schema = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "format": "uri", "description": "Where messages are sent to."},
        "action": {"type": "string", "enum": list(ACTIONS), "description": "The event of which it is notified."},
        "with_fields": {"type": "boolean", "description": "Whether messages of UPDATE name the changed members."},
        "enabled": {"type": "boolean", "description": "Whether messages are sent."},
    },
    "example": {"url": "https://client.example/finished", "action": "PROCESSED"},
}


class Webhooks(Subscriptions):
    """``webhooks`` next to ``tasks``, with secrets and deliveries."""

    ROUTES = {
        "list": Route(method="GET", path="webhooks"),
        "create": Route(method="POST", path="webhooks"),
        "retrieve": Route(method="GET", path="webhooks/{id}"),
        "change": Route(method="PATCH", path="webhooks/{id}"),
        "remove": Route(method="DELETE", path="webhooks/{id}"),
        "rotate": Route(method="POST", path="webhooks/{id}/rotate"),
        "deliveries": Route(method="GET", path="webhooks/{id}/deliveries"),
        "resend": Route(method="POST", path="webhooks/{id}/resend"),
        "callback_secret": Route(method="GET", path="callback-secret"),
        "rotate_callback_secret": Route(method="POST", path="callback-secret/rotate"),
    }

    PARAMETERS = {"list": PAGING}
    BODIES = {
        "create": {**BODY, "required": ["url"]},
        "change": BODY,
        "resend": {
            "type": "object",
            "anyOf": [{"required": ["since"]}, {"required": ["delivery"]}],
            "properties": {
                "since": {"type": "string", "format": "date-time", "description": "All deliveries since this time."},
                "delivery": {"type": "string", "format": "uuid", "description": "This delivery alone."},
            },
            "example": {"since": "2026-02-16T12:00:00Z"},
        },
    }

    def parse(self, document: object, current: Subscription | None) -> WebhookFields:
        if not isinstance(document, dict):
            raise RequestMalformed()
        for name, kind in KINDS.items():
            if name in document and not isinstance(document[name], kind):
                raise FieldMalformed(parameter=name, value=document[name])
        if current is None and "url" not in document:
            raise FieldMissing(parameter="url")
        if document.get("action", "PROCESSED") not in ACTIONS:
            raise ActionUnknown(parameter="action", value=document["action"], allowed=", ".join(ACTIONS))
        return WebhookFields(**{name: document.get(name) for name in KINDS})

    def document(self, subscription: Subscription, context: Context) -> Mapping[str, object]:
        """One webhook; the secret is included only when it was just created."""
        address = address_of(subscription, context)
        return {
            "id": str(subscription.id),
            "action": subscription.action,
            "url": subscription.url,
            "with_fields": subscription.with_fields,
            "enabled": subscription.enabled,
            "disabled_reason": subscription.disabled_reason,
            "created": date(subscription.created),
            "delivered": subscription.delivered,
            "failed": subscription.failed,
            "last_success": date(subscription.last_success),
            "failing_since": date(subscription.failing_since),
            **({"secret": subscription.secret} if subscription.secret else {}),
            "links": {"self": address, **{name: f"{address}/{name}" for name in ("rotate", "deliveries", "resend")}},
        }

    def page(self, subscriptions: Sequence[Subscription], query: str, context: Context) -> Response:
        wanted = listing(query)
        shown = subscriptions[wanted.offset : wanted.offset + wanted.limit]
        page = Page(rows=(), size=len(subscriptions), listing=wanted)
        results = [dict(self.document(subscription, context)) for subscription in shown]
        return json_response(page_document(page, results, f"{context.base}/webhooks"))


def address_of(subscription: Subscription, context: Context) -> str:
    return f"{context.base}/webhooks/{subscription.id}"


def notification(event: Event, url: str) -> Notice:
    """A thin message: what happened, and links to the rest. URL and body of the call itself are not sent."""
    task = event.task
    moment = task.finished or task.started or task.created
    known = document_of(task, event.base, moment)
    data = {name: known[name] for name in ("id", "state", "reason", "created", "started", "finished", "deletion_date")}
    message: dict[str, object] = {
        "type": f"task.{event.action.lower()}",
        "timestamp": date(moment),
        "data": {**data, "status_code": task.status_code, "attempt": task.attempt, "links": known["links"]},
    }
    if event.fields:
        message["fields"] = list(event.fields)
    return Notice(method="POST", url=url, content_type="application/json", body=json.dumps(message, ensure_ascii=False))
