"""The base class of dialects and its parts. A project's own dialect imports from here."""

from __future__ import annotations

from ...exceptions import gettext_noop
from .delivery_rules import DeliveryRules
from .dialect import NO_STORE, Dialect, json_response, retry_after
from .policy import Policy
from .tables import Parameter, Route, Schema, Trigger, Wire
from .webhooks import Subscriptions

__all__ = [
    "NO_STORE",
    "DeliveryRules",
    "Dialect",
    "Parameter",
    "Policy",
    "Route",
    "Schema",
    "Subscriptions",
    "Trigger",
    "Wire",
    "gettext_noop",
    "json_response",
    "retry_after",
]
