"""What a dead worker or a lost message leaves behind is started again or brought to an end.

A run counts as lost when its lease is over, or as soon as its process is seen to be dead. Calls that may be repeated
run again, others end in ERROR with reason lost, because nobody knows how far they came. Whoever was only slow changes
nothing: its attempt is no longer the current one.
"""

from __future__ import annotations

import datetime as dt
import logging

from django.db import router, transaction

from .. import executors
from ..conf import conf
from ..models import AsyncTask
from ..models.querysets import after
from ..protocol import process_id
from ..protocol.states import Reason, State
from ..store import db_retry, transitions
from ..store.values import Claim
from . import cancel_file, lifecycle, run_file

logger = logging.getLogger("django_asyncexchange")

RESEND_AFTER = dt.timedelta(seconds=30)
"""How long after it was sent an unclaimed task is sent again. A message too many is harmless: one claim wins."""
BEGINNINGS = 3
"""How often a call may be claimed whose workers die before it begins, at least."""
BATCH = 500


def recover() -> dict[str, int]:
    """Bring back what was lost; returns how many tasks run ``again``, were ended as ``lost``, and are to be ``resent``.

    Any number may run at once. ``dispatch.sweep`` sends what this has put back.
    """
    counts = {"again": 0, "lost": 0}
    running = AsyncTask.objects.filter(state=State.PROCESSING).with_now()
    for task in running.order_by("started", "pk")[:BATCH]:
        if _is_lost(task) and (became := _give_up_unless_locked(task)):
            counts[became] += 1
    return {**counts, "resent": _resend()}


@db_retry.again_if_deadlocked
def _give_up_unless_locked(task: AsyncTask) -> str:
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        return give_up(Claim(task=task)) if transitions.unlocked([task.pk]) else ""


def give_up(claim: Claim) -> str:
    """Let a lost run be followed by another, or end its task; returns what it is then, empty = somebody was first."""
    task = claim.task
    never_began, trace = run_file.left(task)
    if trace:
        logger.error("task %s: nothing could interrupt its run, whose process was ended:\n%s", task.pk, trace)
        return "lost" if lifecycle.fail(claim, Reason.RUN_TIMEOUT, trace) else ""
    never_began = never_began and process_id.is_gone(task.worker)  # one that lives may begin yet
    attempts = max(conf.policy(task.dialect).attempts, BEGINNINGS if never_began else 0)
    again = (task.is_repeatable or never_began) and task.attempt < attempts
    won = lifecycle.release(claim) if again else lifecycle.fail(claim, Reason.LOST)
    if not won:
        return ""
    logger.warning("task %s: attempt %d is lost, %s", task.pk, task.attempt, "again" if again else "ended")
    return "again" if again else "lost"


def _is_lost(task: AsyncTask) -> bool:
    if task.worker and process_id.is_gone(task.worker):
        return True
    longest = (task.started or task.created) + conf.policy(task.dialect).run_limit + lifecycle.GRACE
    if task.now <= longest and process_id.is_at_work(task.worker):
        _keep(task)
        return False
    return bool(task.now > (task.lease_until or longest))  # none: claimed by an older version of this app


def _keep(task: AsyncTask) -> None:
    """Move on the lease of a run whose process cannot: code in C keeps its interpreter. Others would not know."""
    lease = dt.timedelta(seconds=conf.LEASE_SECONDS)
    if task.lease_until is not None and task.lease_until - task.now < lease / 2 and not cancel_file.are_used():
        mine = AsyncTask.objects.filter(pk=task.pk, attempt=task.attempt, state=State.PROCESSING)
        with transaction.atomic(using=router.db_for_write(AsyncTask)):
            if transitions.unlocked([task.pk]):
                mine.update(lease_until=after(lease))


def _resend() -> int:
    """Let those be sent again whose message is nowhere: not those that still wait in the queue behind others."""
    forgotten = AsyncTask.objects.sent_before(RESEND_AFTER)
    oldest = list(forgotten.order_by("sent", "pk").values_list("pk", flat=True)[:BATCH])
    if not oldest:
        return 0
    missing = forgotten.count() - (executors.waiting() or 0)
    chosen = oldest[: max(missing, 0)]
    if not chosen:
        return 0
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        return int(forgotten.filter(pk__in=transitions.unlocked(chosen)).update(sent=None))
