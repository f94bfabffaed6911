"""What a dead worker or a lost message leaves behind is started again or brought to an end (contract 0.4, engine C3).

A run that is over its limit by ``GRACE`` has no worker any more: a living one would have interrupted it. Safe calls run
again, others end in ERROR with reason lost, because nobody knows how far they came. Whoever was only slow changes
nothing: its attempt is no longer the current one.
"""

from __future__ import annotations

import datetime as dt
import logging

from . import lifecycle
from .models import AsyncTask
from .states import Reason, State

logger = logging.getLogger("django_asyncexchange")

GRACE = dt.timedelta(seconds=60)
"""How long after its run limit a run counts as lost."""
RESEND_AFTER = dt.timedelta(minutes=5)
"""How long after it was sent an unclaimed task is sent again. A message too many is harmless: one claim wins."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may run twice (RFC 9110 section 9.2.1)."""
BATCH = 500


def recover() -> dict[str, int]:
    """Bring back what was lost; returns how many tasks run ``again``, were ended as ``lost``, and are to be ``resent``.

    Any number may run at once. ``turns.sweep`` sends what this has put back.
    """
    counts = {"again": 0, "lost": 0}
    running = AsyncTask.objects.filter(state=State.PROCESSING).begun_before(GRACE).with_now()
    for task in running.order_by("started", "pk")[:BATCH]:
        if task.started is None or task.now <= task.started + lifecycle.policy_of(task).run_limit + GRACE:
            continue
        again = task.method in SAFE and task.attempt < lifecycle.policy_of(task).attempts
        won = lifecycle.release(task) if again else lifecycle.fail(task, Reason.LOST)
        if won:
            logger.warning("task %s: attempt %d is lost, %s", task.pk, task.attempt, "again" if again else "ended")
            counts["again" if again else "lost"] += 1
    return {**counts, "resent": AsyncTask.objects.sent_before(RESEND_AFTER).update(sent=None)}
