"""The steps of a task's life after its submission. Each has one shape: move the row or raise; on commit, tell others.

Together with ``submission`` this is the only room that opens transactions and writes states.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from functools import partial
from typing import Any

from django.db import router, transaction
from django.db.models.functions import Now
from django.dispatch import Signal

from . import bodies, turns, waiting
from .conf import conf
from .dialects.base import Dialect, Policy
from .exceptions import NotCancellable
from .identity import Identity
from .messages import Headers, Owner
from .models import AsyncTask, Body
from .querysets import after
from .signals import task_finished, task_started
from .states import Reason, State, outcome

logger = logging.getLogger("django_asyncexchange")


def claim(task_id: uuid.UUID | str) -> AsyncTask | None:
    """Take a PENDING task for running, exclusively; None where somebody was first or there is nothing to run."""
    task: AsyncTask | None = AsyncTask.objects.with_now().filter(pk=task_id, state=State.PENDING).first()
    if task is None or drop_if_overdue(task):
        return None
    rows = AsyncTask.objects.filter(pk=task.pk)
    limit = policy_of(task).queue_limit
    if limit is not None:
        rows = rows.filter(created__gte=after(-limit))
    if not rows.move(State.PROCESSING, mine=task.attempt, started=Now(), attempt=task.attempt + 1):
        return None
    task.state, task.attempt, task.started = State.PROCESSING.value, task.attempt + 1, task.now
    announce(task_started, task)
    return task


def drop_if_overdue(task: AsyncTask) -> bool:
    """End a PENDING task, read with ``with_now()``, that has waited longer than its dialect allows (S003-21)."""
    limit = policy_of(task).queue_limit
    if task.state != State.PENDING or limit is None or task.now <= task.created + limit:
        return False
    return bool(_end(task.pk, State.ERROR, mount_of(task), overdue=limit, reason=Reason.QUEUE_TIMEOUT))


def drop_overdue(dialect: Dialect, batch: int = bodies.BATCH) -> int:
    """End the tasks of ``dialect`` that have waited longer than it allows; returns how many, at most ``batch``."""
    limit = dialect.policy.queue_limit
    if limit is None:
        return 0
    overdue = AsyncTask.objects.speaking(dialect.name).overdue(limit)
    ids = list(overdue.order_by("pk").values_list("pk", flat=True)[:batch])  # one order for all: no deadlock
    return sum(_end(pk, State.ERROR, dialect, overdue=limit, reason=Reason.QUEUE_TIMEOUT) for pk in ids)


def is_mine(task: AsyncTask) -> bool:
    """Whether the attempt that ``task`` was claimed for is still the current one."""
    rows = AsyncTask.objects.filter(pk=task.pk, attempt=task.attempt, state=State.PROCESSING)
    return rows.exists()


def finish(task: AsyncTask, *, status: int, reason_phrase: str, headers: Headers, draft: bodies.Draft) -> bool:
    """Store the answer of ``task`` and end it. False = cancelled or taken over meanwhile: the answer is dropped."""
    state = outcome(status)
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        won = _end(
            task.pk,
            state,
            mount_of(task),
            mine=task.attempt,
            reason=Reason.EXCEPTION if state is State.ERROR else "",
            status_code=status,
            reason_phrase=reason_phrase[:255],
            response_headers=[list(pair) for pair in headers],
        )
        if won:
            bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    if not won:
        bodies.discard(draft)
        logger.info("task %s: a late answer was dropped", task.pk)
    return bool(won)


def fail(task: AsyncTask, reason: Reason) -> bool:
    """End ``task`` in ERROR without an answer. False = it was cancelled or taken over meanwhile."""
    return bool(_end(task.pk, State.ERROR, mount_of(task), mine=task.attempt, reason=reason))


def release(task: AsyncTask) -> bool:
    """Put a lost run back into the queue, for another attempt. False = it ended or was taken over meanwhile."""
    rows = AsyncTask.objects.filter(pk=task.pk)
    return bool(rows.move(State.PENDING, mine=task.attempt, started=None, sent=None))


def cancel(task: AsyncTask) -> None:
    """End an unfinished task in CANCEL; what a running worker still answers is dropped. Raises NotCancellable."""
    if not _end(task.pk, State.CANCEL, mount_of(task)):
        raise NotCancellable


def identity_of(task: AsyncTask) -> Identity:
    """Who submitted ``task``."""
    return Identity(
        owner=Owner(account=task.account, kind=task.owner_kind, id=task.owner_reference),
        user_pk=task.owner_id,
        auth_backend=task.auth_backend,
        auth_reference=task.auth_reference,
    )


def mount_of(task: AsyncTask) -> Dialect | None:
    """The mount that the task came through; None where the project has taken it down meanwhile."""
    return next((mount for mount in conf.mounts if mount.name == task.dialect), None)


def policy_of(task: AsyncTask) -> Policy:
    """The numbers that apply to ``task``."""
    mount = mount_of(task)
    return mount.policy if mount else Policy()


def _end(
    task_id: uuid.UUID,
    target: State,
    dialect: Dialect | None,
    *,
    mine: int | None = None,
    overdue: dt.timedelta | None = None,
    **changes: Any,
) -> int:
    """Move one task into a final state, with the dates on which its answer and itself will go."""
    policy = dialect.policy if dialect else Policy()
    retention = policy.retention_of(target)
    task = AsyncTask.objects.filter(pk=task_id)
    won: int = (task if overdue is None else task.overdue(overdue)).move(
        target,
        mine=mine,
        finished=Now(),
        deletion_date=after(retention),
        purge_date=after(max(policy.window, retention)),
        **changes,
        **({} if conf.KEEP_REQUESTS else {"request": {}}),
    )
    if won:
        ended = task.get()
        announce(task_finished, ended)
        waiting.knock(task_id)
        transaction.on_commit(partial(_afterwards, ended, dialect), robust=True, using=router.db_for_write(AsyncTask))
    return won


def _afterwards(task: AsyncTask, dialect: Dialect | None) -> None:
    """What a finished task leaves behind: its captured body, and a turn for the next of its account."""
    if not conf.KEEP_REQUESTS:
        bodies.delete(task.bodies.filter(kind=Body.REQUEST))
    if dialect is not None:
        turns.send_next(dialect, task.account)


def announce(signal: Signal, task: AsyncTask) -> None:
    """Send ``signal`` once the change is committed."""
    send = partial(signal.send_robust, sender=AsyncTask, task=task.snapshot())
    transaction.on_commit(send, using=router.db_for_write(AsyncTask), robust=True)
