"""``delivery.run``: the name under which queues have what sends webhooks. Never move it, as ``worker.run``."""

from __future__ import annotations

from .webhooks.delivery import run as run
