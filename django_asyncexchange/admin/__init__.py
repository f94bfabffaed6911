"""Tasks in Django's admin: to look at, to cancel, to run again, to prune. Nothing stored can be typed over.

Beside them webhooks, to be made and changed, and their deliveries.
"""

from __future__ import annotations

from .tasks import AsyncTaskAdmin
from .webhooks import DeliveryAdmin, WebhookAdmin

__all__ = ["AsyncTaskAdmin", "DeliveryAdmin", "WebhookAdmin"]
