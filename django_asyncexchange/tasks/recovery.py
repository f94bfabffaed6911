"""Recovery of lost runs and lost queue messages.

A run is lost when its lease has expired, or as soon as its process is known to be dead. Repeatable calls run again;
others end in ERROR with reason lost, because nobody knows how far they came. A worker that was only slow changes
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
"""An unclaimed task is sent again this long after it was sent. A duplicate message is harmless: one claim wins."""
MIN_CLAIMS = 3
"""Minimum number of claims of a call whose workers die before it starts."""
BATCH = 500


def recover() -> dict[str, int]:
    """Recover lost runs; return how many tasks run ``again``, were ended as ``lost``, and will be ``resent``.

    Any number of processes may recover at once. ``dispatch.sweep`` sends the released tasks.
    """
    counts = {"again": 0, "lost": 0}
    running = AsyncTask.objects.filter(state=State.PROCESSING).with_now()
    for task in running.order_by("started", "pk")[:BATCH]:
        if _is_lost(task) and (outcome := _handle_lost_unless_locked(task)):
            counts[outcome] += 1
    return {**counts, "resent": _resend()}


@db_retry.retry_deadlocks
def _handle_lost_unless_locked(task: AsyncTask) -> str:
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        return handle_lost(Claim(task=task)) if transitions.lock_available([task.pk]) else ""


def handle_lost(claim: Claim) -> str:
    """Release a lost run for another attempt, or end its task; return "again" or "lost", or "" if another process was
    first.
    """
    task = claim.task
    never_started, trace = run_file.read(task)
    if trace:
        logger.error("task %s: run could not be interrupted, so its process was killed:\n%s", task.pk, trace)
        return "lost" if lifecycle.fail(claim, Reason.RUN_TIMEOUT, trace) else ""
    never_started = never_started and process_id.is_gone(task.worker)  # a live process may still start it
    attempts = max(conf.policy(task.dialect).attempts, MIN_CLAIMS if never_started else 0)
    again = (task.is_repeatable or never_started) and task.attempt < attempts
    is_done = lifecycle.release(claim) if again else lifecycle.fail(claim, Reason.LOST)
    if not is_done:
        return ""
    logger.warning("task %s: attempt %d lost, %s", task.pk, task.attempt, "again" if again else "ended")
    return "again" if again else "lost"


def _is_lost(task: AsyncTask) -> bool:
    if task.worker and process_id.is_gone(task.worker):
        return True
    longest = (task.started or task.created) + conf.policy(task.dialect).run_limit + lifecycle.GRACE
    if task.now <= longest and process_id.is_at_work(task.worker):
        _renew_lease(task)
        return False
    return bool(task.now > (task.lease_until or longest))  # no lease: claimed by an older version of this app


def _renew_lease(task: AsyncTask) -> None:
    """Renew the lease of a live run of this machine whose process cannot, because C code holds its interpreter. Other
    machines would not know that it lives.
    """
    lease = dt.timedelta(seconds=conf.LEASE_SECONDS)
    if task.lease_until is not None and task.lease_until - task.now < lease / 2 and not cancel_file.is_used():
        mine = AsyncTask.objects.filter(pk=task.pk, attempt=task.attempt, state=State.PROCESSING)
        with transaction.atomic(using=router.db_for_write(AsyncTask)):
            if transitions.lock_available([task.pk]):
                mine.update(lease_until=after(lease))


def _resend() -> int:
    """Mark tasks for resending whose message is lost, but not those that are still queued."""
    if executors.load().reads_tasks():
        return 0  # no messages
    unclaimed = AsyncTask.objects.sent_before(RESEND_AFTER)
    oldest = list(unclaimed.order_by("sent", "pk").values_list("pk", flat=True)[:BATCH])
    if not oldest:
        return 0
    missing = unclaimed.count() - (executors.waiting() or 0)
    chosen = oldest[: max(missing, 0)]
    if not chosen:
        return 0
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        return int(unclaimed.filter(pk__in=transitions.lock_available(chosen)).update(sent=None))
