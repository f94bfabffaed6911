"""Django admin: tasks (view, cancel, rerun, prune), webhooks (add, change, delete) and their deliveries.

Tasks and deliveries are read-only.
"""

from __future__ import annotations

from .tasks import AsyncTaskAdmin
from .webhooks import DeliveryAdmin, WebhookAdmin

__all__ = ["AsyncTaskAdmin", "DeliveryAdmin", "WebhookAdmin"]
