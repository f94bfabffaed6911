"""The webhook endpoints of all dialects, for administrators of an account."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string
from rest_framework.request import Request

from .. import exceptions
from ..conf import conf
from ..dialects.base import NO_STORE, json_response
from ..dialects.base.webhooks import Subscriptions, WebhookFields
from ..exceptions import AsyncExchangeError
from ..identity import callers
from ..intake import capture
from ..models import Delivery, Webhook
from ..protocol.values import Context, Owner, Response, Subscription
from ..responses import http, render_context
from ..rest.iso8601 import moment_of
from ..webhooks import delivery, subscriptions
from .base import Endpoint, key_of

SHOWN = 100
"""Most deliveries in one response, newest first."""


class WebhookView(Endpoint):
    """One endpoint of ``Dialect.SUBSCRIPTIONS``."""

    # Verbs -----------------------------------------------------------------------------------------------------------

    def list(self, request: Request) -> HttpResponseBase:
        rows = tuple(subscriptions.to_value(row) for row in subscriptions.of_account(self.dialect, self.owner.account))
        return http.respond(self.resource.page(rows, capture.raw_query(request._request), self.context))

    def create(self, request: Request) -> HttpResponseBase:
        made = self.made(self.document())
        document = self.resource.document(made, self.context)
        location = ("Location", f"{self.context.base}/{self.routes['list'].path}/{made.id}")
        return http.respond(json_response(document, status=201, headers=(location,)))

    def write(self, request: Request) -> HttpResponseBase:
        """Create one webhook, or create and change an array of them, each of which succeeds or fails alone."""
        document = self.document()
        items = self.resource.items(document)
        if items is None:
            return http.respond(json_response(self.written(document)))
        return http.respond(json_response([self.result_or_error(self.written, item) for item in items]))

    def retrieve(self, request: Request, id: str) -> HttpResponseBase:
        return self.show(subscriptions.to_value(self.find(id)))

    def change(self, request: Request, id: str) -> HttpResponseBase:
        return self.show(self.changed(self.find(id), self.document()))

    def remove(self, request: Request, id: str) -> HttpResponseBase:
        subscriptions.remove(self.find(id))
        return http.respond(Response(status=self.resource.REMOVED, headers=NO_STORE))

    def remove_many(self, request: Request) -> HttpResponseBase:
        items = self.resource.items(self.document())
        if items is None:
            raise exceptions.RequestMalformed
        return http.respond(json_response([self.result_or_error(self.removed, item) for item in items]))

    def rotate(self, request: Request, id: str) -> HttpResponseBase:
        return self.show(subscriptions.rotate(self.find(id)))

    def deliveries(self, request: Request, id: str) -> HttpResponseBase:
        shown = self.find(id).deliveries.order_by("-created", "pk").prefetch_related("attempts")[:SHOWN]
        return http.respond(json_response({"results": [described(row) for row in shown]}))

    def resend(self, request: Request, id: str) -> HttpResponseBase:
        """Send all deliveries since a time, or one delivery, again."""
        rows, wanted = self.find(id).deliveries.all(), self.document()
        since, one = (wanted.get("since"), wanted.get("delivery")) if isinstance(wanted, dict) else (None, None)
        if isinstance(one, str):
            rows = rows.filter(pk=key_of(one))
        else:
            try:
                rows = rows.filter(created__gte=moment_of(str(since)))
            except ValueError:
                raise exceptions.FieldMalformed(parameter="since", value=since) from None
        return http.respond(json_response({"resent": delivery.resend(rows)}, status=202))

    def callback_secret(self, request: Request) -> HttpResponseBase:
        secret = subscriptions.callback_secret(self.dialect.name, self.owner.account)
        return http.respond(json_response({"secret": secret}))

    def rotate_callback_secret(self, request: Request) -> HttpResponseBase:
        secret = subscriptions.rotate_callback_secret(self.dialect.name, self.owner.account)
        return http.respond(json_response({"secret": secret}))

    # Parts -----------------------------------------------------------------------------------------------------------

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not callers.is_known(request):
            raise exceptions.NotAuthenticated
        if not import_string(conf.WEBHOOK_ADMIN)(request):
            raise exceptions.NotAdministrator

    @property
    def resource(self) -> Subscriptions:
        assert self.dialect.SUBSCRIPTIONS is not None
        return self.dialect.SUBSCRIPTIONS

    @property
    def owner(self) -> Owner:
        viewer = render_context.viewer(self.request)
        assert viewer is not None, "permissions require an identity"
        return viewer

    @property
    def context(self) -> Context:
        return render_context.context(self.request, self.dialect, viewer=self.owner)

    def find(self, id: str) -> Webhook:
        """The webhook ``id`` of the caller's account. Raises SubscriptionNotFound."""
        found: Webhook | None = None
        with suppress(exceptions.MalformedId):
            found = subscriptions.of_account(self.dialect, self.owner.account).filter(pk=key_of(id)).first()
        if found is None:
            raise exceptions.SubscriptionNotFound
        return found

    def show(self, subscription: Subscription) -> HttpResponseBase:
        return http.respond(json_response(self.resource.document(subscription, self.context)))

    def made(self, document: object) -> Subscription:
        fields: WebhookFields = self.resource.parse(document, None)
        user = callers.user_of(self.request)
        return subscriptions.create(self.dialect, self.owner, callers.reference_to(user), fields)

    def changed(self, webhook: Webhook, document: object) -> Subscription:
        return subscriptions.change(
            webhook, self.dialect, self.resource.parse(document, subscriptions.to_value(webhook))
        )

    def written(self, item: object) -> Any:
        id = self.resource.reference(item)
        kept = self.made(item) if id is None else self.changed(self.find(id), item)
        return self.resource.document(kept, self.context)

    def removed(self, item: object) -> Any:
        id = self.resource.reference(item)
        if id is None:
            raise exceptions.SubscriptionNotFound
        subscriptions.remove(self.find(id))
        return self.resource.deleted_document(id, self.context)

    def result_or_error(self, work: Any, item: object) -> Any:
        """The result of ``work`` on ``item``, or the document of the error that it raises."""
        try:
            return work(item)
        except AsyncExchangeError as error:
            wire, text = self.dialect.wire(error), self.dialect.wording(error, self.context)
            return self.dialect.error_document(wire, text, error)


def described(row: Delivery) -> dict[str, object]:
    """The JSON document of a delivery, with its attempts, oldest first."""
    attempts = [
        {
            "at": attempt.at.isoformat(),
            "status_code": attempt.status_code,
            "milliseconds": attempt.milliseconds,
            "error": attempt.error,
            "answer": attempt.answer,
        }
        for attempt in sorted(row.attempts.all(), key=lambda attempt: (attempt.at, attempt.pk))
    ]
    return {
        "id": str(row.pk),
        "event": row.event,
        "task": str(row.task_id),
        "state": row.state,
        "created": row.created.isoformat(),
        "due": row.due.isoformat() if row.state == Delivery.WAITING else None,
        "attempts": attempts,
    }
