"""The webhook resource of a dialect: its documents and routes."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ...protocol.values import Context, Owner, Response, Subscription, value
from .tables import Parameter, Route, Schema


@value
class WebhookFields:
    """Fields of a webhook that a client sets. None = unchanged, or the default for a new webhook."""

    action: str | None = None
    url: str | None = None
    with_fields: bool | None = None
    enabled: bool | None = None


class Subscriptions(abc.ABC):
    """The webhook resource of one dialect: parses and renders its JSON documents."""

    ROUTES: ClassVar[Mapping[str, Route]]
    """Verb (a method of ``endpoints.webhooks.WebhookView``) → route. Only these exact paths belong to the dialect."""
    REMOVED: ClassVar[int] = 204
    """Status of the response to a deletion."""
    PARAMETERS: ClassVar[Mapping[str, tuple[Parameter, ...]]] = {}
    BODIES: ClassVar[Mapping[str, Schema]] = {}
    """Both as in ``Dialect``."""

    @abc.abstractmethod
    def parse(self, document: object, current: Subscription | None) -> WebhookFields:
        """The fields that ``document``, parsed JSON, sets; ``current`` is the webhook to change, None for a new one.

        Raises SubscriptionRefused or RequestMalformed.
        """

    def items(self, document: object) -> list[object] | None:
        """The elements of a ``document`` that is an array of webhooks; None for a single one."""
        return None

    def reference(self, document: object) -> str | None:
        """The id of the webhook that an element of an array changes; None for a new one."""
        return None

    @abc.abstractmethod
    def document(self, subscription: Subscription, context: Context) -> Mapping[str, object]:
        """The JSON document of one webhook."""

    @abc.abstractmethod
    def page(self, subscriptions: Sequence[Subscription], query: str, context: Context) -> Response:
        """The list of the account's ``subscriptions`` (newest first), as the raw ``query`` requests it."""

    def deleted_document(self, id: str, context: Context) -> Mapping[str, object]:
        """The element of the response for one of several deleted webhooks."""
        return {}

    def allowed(self, owner: Owner, action: str) -> int | None:
        """How many webhooks for ``action`` an account's people together, or one application, may have; None = any."""
        return None
