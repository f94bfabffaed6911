"""What has happened, for whoever wants to know. Signals announce, never steer: a receiver that raises is only logged.

Each is sent after its change is committed, with ``sender=AsyncTask`` and ``task``, a ``messages.Snapshot``.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import router, transaction
from django.dispatch import Signal, receiver

logger = logging.getLogger("django_asyncexchange")

task_submitted = Signal()
"""A call was accepted and is PENDING."""
task_started = Signal()
"""A worker claimed the task; it is PROCESSING."""
task_finished = Signal()
"""The task reached a final state."""

webhook_delivered = Signal()
"""A delivery has arrived. Sent with ``sender=Delivery`` and the keys of ``delivery``, ``webhook`` and ``task``."""
webhook_failed = Signal()
"""A delivery was given up; sent like ``webhook_delivered``."""
webhook_disabled = Signal()
"""Nothing arrives at a webhook any more, and it hears of nothing until it is enabled again. Sent with
``sender=Webhook``, its key as ``webhook``, and ``reason``, a text."""


def announce(signal: Signal, task: Any) -> None:
    """Send one of the first three, once the change of ``task`` is committed."""
    sender, known = type(task), task.snapshot()
    transaction.on_commit(
        lambda: signal.send_robust(sender=sender, task=known), using=router.db_for_write(sender), robust=True
    )


@receiver([task_submitted, task_started, task_finished], dispatch_uid="django_asyncexchange.log")
def log(*, signal: Signal, task: Any, **kwargs: Any) -> None:
    """One line per step of a task's life. Addresses are logged without their query, which may hold secrets."""
    reason = f" ({task.reason})" if task.reason else ""
    logger.info("task %s: %s %s is %s%s", task.id, task.method, task.url.partition("?")[0], task.state, reason)
