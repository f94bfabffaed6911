"""How webhooks are managed in one language, beside the tasks that they tell of: what a dialect has in common here."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ...protocol.values import Context, Owner, Response, Subscription, value
from .tables import Route


@value
class Wish:
    """What a client wants a webhook to be. None = as it is, or, for a new one, the default."""

    action: str | None = None
    url: str | None = None
    with_fields: bool | None = None
    enabled: bool | None = None


class Subscriptions(abc.ABC):
    """The webhook resource of one dialect: documents in, wishes and answers out."""

    ROUTES: ClassVar[Mapping[str, Route]]
    """Verb (a method of ``webhook_views.WebhookView``) → route. Only these very addresses belong to the dialect."""
    REMOVED: ClassVar[int] = 204
    """Status of the answer when a webhook was deleted."""

    @abc.abstractmethod
    def wish(self, document: object, current: Subscription | None) -> Wish:
        """What ``document``, parsed JSON, asks for; ``current`` is the webhook to be changed, None for a new one.

        Raises SubscriptionRefused or RequestMalformed.
        """

    def items(self, document: object) -> list[object] | None:
        """The elements of a ``document`` that asks for several webhooks; None where it is a single one."""
        return None

    def reference(self, document: object) -> str | None:
        """The id of the webhook that an element itself says it is about; None for a new one."""
        return None

    @abc.abstractmethod
    def document(self, subscription: Subscription, context: Context) -> Mapping[str, object]:
        """One webhook."""

    @abc.abstractmethod
    def page(self, subscriptions: Sequence[Subscription], query: str, context: Context) -> Response:
        """Those of all the caller's webhooks, newest first, that the raw ``query`` asks for."""

    def farewell(self, id: str, context: Context) -> Mapping[str, object]:
        """What is said of one of several webhooks that were deleted."""
        return {}

    def allowed(self, owner: Owner, action: str) -> int | None:
        """How many webhooks for ``action`` people together, or a program alone, may have; None = any number."""
        return None
