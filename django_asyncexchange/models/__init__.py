"""Models: tasks and their bodies, accounts, webhooks and their deliveries, workers."""

from __future__ import annotations

from .accounts import Account
from .bodies import Body
from .tasks import AsyncTask, encode
from .webhooks import Delivery, DeliveryAttempt, Webhook
from .workers import Worker

__all__ = ["Account", "AsyncTask", "Body", "Delivery", "DeliveryAttempt", "Webhook", "Worker", "encode"]
