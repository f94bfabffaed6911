"""MoySklad's webhook resource ``entity/webhook``, and the messages to webhooks."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ...exceptions import (
    ActionRefused,
    ActionUnknown,
    AddressRefused,
    AddressTooLong,
    EntityUnknown,
    FieldMalformed,
    FieldMissing,
    FieldsRefused,
    MethodUnknown,
    RequestMalformed,
)
from ...protocol.values import Context, Event, Notice, Owner, Page, Response, Subscription
from ..base import gettext_noop as _
from ..base import json_response
from ..base.query_string import appended
from ..base.tables import Route
from ..base.webhooks import Subscriptions, WebhookFields
from . import filters as query_language
from . import in_memory_filters, openapi
from .documents import account_id, owner_meta, page_meta, task_url

ACTIONS = openapi.ACTIONS
"""DELETE exists for other entities only: tasks are not deleted by anybody."""
DIFFS = {"NONE": False, "FIELDS": True}
REQUIRED = ("entityType", "action", "url")
URL_LENGTH = 255
MANY = 1000
"""Most elements of an array in one request."""
HREF = re.compile(r".*/entity/webhook/([^/?#]+)/?", re.DOTALL)

PER_ACTION: Mapping[str, int] = {"application": 1}
PER_ACTION_OF_PEOPLE = 5


class WebhookEntity(Subscriptions):
    """``entity/webhook``: one webhook, or an array of them."""

    ROUTES = {
        "list": Route(method="GET", path="entity/webhook"),
        "write": Route(method="POST", path="entity/webhook"),
        "remove_many": Route(method="POST", path="entity/webhook/delete"),
        "retrieve": Route(method="GET", path="entity/webhook/{id}"),
        "change": Route(method="PUT", path="entity/webhook/{id}"),
        "remove": Route(method="DELETE", path="entity/webhook/{id}"),
    }

    REMOVED = 200
    PARAMETERS = {"list": openapi.PAGING}
    BODIES = openapi.BODIES

    def parse(self, document: object, current: Subscription | None) -> WebhookFields:
        """Each invalid field raises an error of its own."""
        fields = as_object(document)
        for name in REQUIRED if current is None else ():
            if fields.get(name) is None:
                raise FieldMissing(parameter=name)
        for name, given in fields.items():
            if given is None and name in {*REQUIRED, "enabled", "method", "diffType"}:
                raise FieldMalformed(parameter=name, value="null")
        if fields.get("entityType", "async") != "async":
            raise EntityUnknown(parameter="entityType", value=fields["entityType"], allowed="async")
        if fields.get("method", "POST") != "POST":
            raise MethodUnknown(parameter="method", value=fields["method"], allowed="POST")
        action = action_of(fields, current)
        return WebhookFields(
            action=action,
            url=url_of(fields),
            with_fields=with_fields_of(fields, action),
            enabled=enabled_of(fields),
        )

    def items(self, document: object) -> list[object] | None:
        if isinstance(document, list) and len(document) > MANY:
            raise RequestMalformed()
        return document if isinstance(document, list) else None

    def reference(self, document: object) -> str | None:
        """The id in ``meta.href``."""
        given = document.get("meta") if isinstance(document, dict) else None
        href = given.get("href") if isinstance(given, dict) else None
        found = HREF.fullmatch(href) if isinstance(href, str) else None
        return found[1] if found else None

    def document(self, subscription: Subscription, context: Context) -> Mapping[str, object]:
        kind = f"{context.base}/entity/webhook"
        document: dict[str, object] = {
            "meta": {
                "href": f"{kind}/{subscription.id}",
                "metadataHref": f"{kind}/metadata",
                "type": "webhook",
                "mediaType": "application/json",
            },
            "id": str(subscription.id),
            "accountId": account_id(subscription.owner),
            "entityType": "async",
            "url": subscription.url,
            "method": "POST",
            "enabled": subscription.enabled,
            "action": subscription.action,
        }
        if subscription.action == "UPDATE":
            document["diffType"] = "FIELDS" if subscription.with_fields else "NONE"
        if subscription.owner.kind == "application":
            document["authorApplication"] = {"meta": owner_meta(subscription.owner, context.base, "")}
        return document

    def deleted_document(self, id: str, context: Context) -> Mapping[str, object]:
        return {"info": context.translate(_("The webhook %(id)s was deleted.")) % {"id": id}}

    def page(self, subscriptions: Sequence[Subscription], query: str, context: Context) -> Response:
        """The list, filtered and sorted in memory: an account has few webhooks."""
        segments = [query_language.segment(part) for part in query.split("&") if part]
        last = {segment.name: segment.text for segment in segments}
        rows = [dict(self.document(subscription, context)) for subscription in subscriptions]
        rows = in_memory_filters.selected(
            rows, query_language.join(part.text for part in segments if part.name == "filter")
        )
        rows = in_memory_filters.ordered(rows, last.get("order", ""))
        listing = query_language.listing(last, echo="&".join(segment.canonical for segment in segments))
        page = Page(rows=(), size=len(rows), listing=listing)
        head = page_meta(page, context.base, path="entity/webhook", kind="webhook")
        return json_response({**head, "rows": rows[listing.offset : listing.offset + listing.limit]})

    def allowed(self, owner: Owner, action: str) -> int:
        return PER_ACTION.get(owner.kind, PER_ACTION_OF_PEOPLE)


# Reading -------------------------------------------------------------------------------------------------------------


def as_object(document: object) -> Mapping[str, object]:
    if not isinstance(document, dict):
        raise RequestMalformed()
    return document


def action_of(fields: Mapping[str, object], current: Subscription | None) -> str:
    if "action" not in fields and current is not None:
        return current.action
    action = fields.get("action")
    if action == "DELETE":
        raise ActionRefused(parameter="action", value=action, allowed=", ".join(ACTIONS))
    if action not in ACTIONS:
        raise ActionUnknown(parameter="action", value=action, allowed=", ".join(ACTIONS))
    return str(action)


def url_of(fields: Mapping[str, object]) -> str | None:
    """The URL, if given; its length is checked before its syntax."""
    url = fields.get("url")
    if "url" not in fields:
        return None
    if not isinstance(url, str):
        raise AddressRefused(parameter="url", value=url)
    if len(url) > URL_LENGTH:
        raise AddressTooLong(parameter="url", limit=URL_LENGTH)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressRefused(parameter="url", value=url) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AddressRefused(parameter="url", value=url)
    return url


def with_fields_of(fields: Mapping[str, object], action: str) -> bool | None:
    if "diffType" not in fields:
        return None if action == "UPDATE" else False
    diff = fields["diffType"]
    if action != "UPDATE":
        raise FieldsRefused(parameter="diffType", value=diff)
    if not isinstance(diff, str) or diff not in DIFFS:
        raise FieldMalformed(parameter="diffType", value=diff)
    return DIFFS[diff]


def enabled_of(fields: Mapping[str, object]) -> bool | None:
    enabled = fields.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise FieldMalformed(parameter="enabled", value=enabled)
    return enabled


# Messages ------------------------------------------------------------------------------------------------------------


def notification(event: Event, url: str, id: uuid.UUID) -> Notice:
    """A message has one event, with the URL of the task's status and without the state itself."""
    content: dict[str, object] = {
        "meta": {"type": "async", "href": task_url(event.task, event.base)},
        "action": event.action,
        "accountId": account_id(event.task.owner),
    }
    if event.fields:
        content["updatedFields"] = list(event.fields)
    body = json.dumps({"events": [content]}, ensure_ascii=False)
    return Notice(
        method="POST",
        url=appended(url, {"requestId": str(id)}),
        content_type="application/json;charset=utf-8",
        body=body,
    )
