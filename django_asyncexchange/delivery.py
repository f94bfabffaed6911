"""``delivery.run``: the dotted path, stored in queues, of the job that sends webhooks. Never move it."""

from __future__ import annotations

from .webhooks.delivery import run as run
