"""``delivery.run``: the dotted path that queues store for the job that sends webhooks. Never move it."""

from __future__ import annotations

from .webhooks.delivery import run as run
