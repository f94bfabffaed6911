"""What is stored: tasks, their bodies, a row per account to count against, webhooks and their deliveries, machines."""

from __future__ import annotations

from .accounts import Account
from .bodies import Body
from .tasks import AsyncTask, encode
from .webhooks import Delivery, DeliveryAttempt, Webhook
from .workers import Worker

__all__ = ["Account", "AsyncTask", "Body", "Delivery", "DeliveryAttempt", "Webhook", "Worker", "encode"]
