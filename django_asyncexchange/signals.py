"""Signals of tasks and webhooks. An exception in a receiver is logged and changes nothing.

Each is sent after its change is committed, with ``sender=AsyncTask`` and ``task``, a ``protocol.values.Snapshot``.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import router, transaction
from django.dispatch import Signal, receiver

logger = logging.getLogger("django_asyncexchange")

task_submitted = Signal()
"""A call was accepted; its task is PENDING."""
task_started = Signal()
"""A worker claimed the task; it is PROCESSING."""
task_finished = Signal()
"""The task has reached a final state."""

webhook_delivered = Signal()
"""A delivery was successful. Sent with ``sender=Delivery`` and the primary keys ``delivery``, ``webhook`` and
``task``.
"""
webhook_failed = Signal()
"""A delivery was given up; sent like ``webhook_delivered``."""
webhook_disabled = Signal()
"""A webhook was disabled after failing for too long, and gets no events until it is enabled again. Sent with
``sender=Webhook``, its primary key as ``webhook``, and ``reason``, a string.
"""


def announce(signal: Signal, task: Any) -> None:
    """Send one of the task signals, once the change of ``task`` is committed."""
    sender, known = type(task), task.snapshot()
    transaction.on_commit(
        lambda: signal.send_robust(sender=sender, task=known), using=router.db_for_write(sender), robust=True
    )


@receiver([task_submitted, task_started, task_finished], dispatch_uid="django_asyncexchange.log")
def log(*, signal: Signal, task: Any, **kwargs: Any) -> None:
    """Log one line for each change of state. URLs are logged without their query, which may contain secrets."""
    reason = f" ({task.reason})" if task.reason else ""
    logger.info("task %s: %s %s is %s%s", task.id, task.method, task.url.partition("?")[0], task.state, reason)
