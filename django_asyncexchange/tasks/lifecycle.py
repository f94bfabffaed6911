"""The steps of a task's life after its submission. Each has one shape: move the row or raise; on commit, tell others.

Together with ``submit`` this is the only room that opens transactions and writes states.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import uuid
from typing import Any

from django.db import DatabaseError, connections, router, transaction

from ..conf import conf
from ..dialects.base import Dialect, Policy
from ..exceptions import NotCancellable
from ..models import AsyncTask, Body, Webhook
from ..models.querysets import after
from ..protocol import process_id
from ..protocol.states import Reason, State, outcome
from ..protocol.values import Headers
from ..signals import announce, task_finished, task_started
from ..sql.writes import chains, tells
from ..store import bodies, db_retry, transitions
from ..webhooks import outbox
from . import cancel_file, dispatch, failures

logger = logging.getLogger("django_asyncexchange")

GRACE = dt.timedelta(seconds=60)
"""How long after its run limit a run counts as lost that nobody can see alive."""


def claim(task_id: uuid.UUID | str) -> AsyncTask | None:
    """Take a PENDING task for running, exclusively; None where somebody was first or there is nothing to run."""
    task = _claim_at_once(task_id) or _claim(task_id)
    if task is not None:
        announce(task_started, task)
    return task


def _claim_at_once(task_id: uuid.UUID | str) -> AsyncTask | None:
    """The usual case in one statement: nobody hears of it, and it may have waited for as long as it has."""
    leases = tuple((mount.name, _lease(mount.policy)) for mount in conf.mounts if mount.policy.queue_limit is None)
    if not leases or not tells(router.db_for_write(AsyncTask)):
        return None
    task: AsyncTask | None = transitions.start_at_once(leases).made(id=task_id, worker=process_id.me())
    return task


def claim_next(dialect: Dialect, account: str) -> AsyncTask | None:
    """Take the oldest task that waits for its turn, without a message; None where that takes more than a statement.

    What fails here fails alone, also within a transaction.
    """
    alias = router.db_for_write(AsyncTask)
    if dialect.policy.queue_limit is not None or not tells(alias):
        return None
    start = transitions.start_next(_lease(dialect.policy))
    with transaction.atomic(using=alias) if connections[alias].in_atomic_block else contextlib.nullcontext():
        values = {"dialect": dialect.name, "account": account, "share": dialect.policy.share}
        task: AsyncTask | None = start.made(worker=process_id.me(), **values)
    if task is not None:
        announce(task_started, task)
    return task


def _claim(task_id: uuid.UUID | str) -> AsyncTask | None:
    """Each case: look, decide, take."""
    task: AsyncTask | None = transitions.TO_START.first(id=task_id)
    if task is None or drop_if_overdue(task):
        return None
    policy = conf.policy(task.dialect)
    values = {"attempt": task.attempt + 1, "worker": process_id.me(), "lease": _lease(policy)}
    limit = policy.queue_limit
    alias = router.db_for_write(AsyncTask)
    with transaction.atomic(using=alias) if task.is_heard else contextlib.nullcontext():
        start = transitions.start(is_limited=limit is not None)
        if not start.update(id=task.pk, mine=task.attempt, limit=limit, **values):
            return None
        task.state, task.attempt, task.started = State.PROCESSING.value, task.attempt + 1, task.now
        if task.is_heard:
            outbox.announce(task, Webhook.UPDATE, is_heard=True)
    return task


def _lease(policy: Policy) -> dt.timedelta:
    """How long a run counts as alive without a word; where none can be said while it writes, as long as it may take."""
    return policy.run_limit + GRACE if cancel_file.are_used() else dt.timedelta(seconds=conf.LEASE_SECONDS)


def drop_if_overdue(task: AsyncTask) -> bool:
    """End a PENDING task, read with ``with_now()``, that has waited longer than its dialect allows (S003-21)."""
    limit = conf.policy(task.dialect).queue_limit
    if task.state != State.PENDING or limit is None or task.now <= task.created + limit:
        return False
    return _end(task, State.ERROR, overdue=limit, reason=Reason.QUEUE_TIMEOUT)


def drop_overdue(dialect: Dialect, batch: int = bodies.BATCH) -> int:
    """End the tasks of ``dialect`` that have waited longer than it allows; returns how many, at most ``batch``."""
    limit = dialect.policy.queue_limit
    if limit is None:
        return 0
    overdue = AsyncTask.objects.speaking(dialect.name).overdue(limit)
    tasks = list(overdue.only("pk", "dialect").order_by("pk")[:batch])  # one order for all: no deadlock
    return sum(_end(task, State.ERROR, overdue=limit, reason=Reason.QUEUE_TIMEOUT) for task in tasks)


def is_mine(task: AsyncTask) -> bool:
    """Whether the attempt that ``task`` was claimed for is still the current one."""
    return transitions.RUNNING.exists(id=task.pk, mine=task.attempt)


def finish(
    task: AsyncTask,
    *,
    status: int,
    reason_phrase: str,
    headers: Headers,
    draft: bodies.Draft,
    failure: str = "",
    then: dispatch.Giving = dispatch.pass_on,
) -> bool:
    """Store the answer of ``task`` and end it. False = cancelled or taken over meanwhile: the answer is dropped.

    ``then`` is called where others of its account wait.
    """
    state = outcome(status)
    won = _end_and_say_why(
        task,
        state,
        mine=task.attempt,
        draft=draft,
        retention=task.retention if state is State.DONE else None,
        reason=Reason.EXCEPTION if state is State.ERROR else "",
        status_code=status,
        reason_phrase=reason_phrase[:255],
        response_headers=[list(pair) for pair in headers],
        failure=failure if state is State.ERROR else "",
        then=then,
    )
    if not won:
        bodies.discard(draft)
        logger.info("task %s: a late answer was dropped", task.pk)
    return won


def fail(task: AsyncTask, reason: Reason, failure: str = "") -> bool:
    """End ``task`` in ERROR without an answer. False = it was cancelled or taken over meanwhile.

    ``failure``: what of it is for those who look after the project.
    """
    return _end_and_say_why(task, State.ERROR, mine=task.attempt, reason=reason, failure=failure)


def _end_and_say_why(task: AsyncTask, target: State, *, failure: str, **more: Any) -> bool:
    """``_end``; where the database does not take what was raised, the end goes without it."""
    try:
        return _end(task, target, failure=failure, **more)
    except DatabaseError:
        if not failure:
            raise
        logger.warning("task %s: why it failed could not be kept", task.pk, exc_info=True)
        return _end(task, target, **more)


def release(task: AsyncTask) -> bool:
    """Put a lost run back into the queue, for another attempt a little later. False = it ended or was taken over."""
    pause = after(dt.timedelta(seconds=2**task.attempt))
    rows = AsyncTask.objects.filter(pk=task.pk)
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        if not rows.move(State.PENDING, mine=task.attempt, started=None, sent=None, lease_until=None, not_before=pause):
            return False
        changed = transitions.CHANGED.first(id=task.pk)
        outbox.announce(changed, Webhook.UPDATE, is_heard=changed.is_heard)
    return True


def cancel(task: AsyncTask) -> None:
    """End an unfinished task in CANCEL; what a running worker still answers is dropped. Raises NotCancellable."""
    with cancel_file.raised(task.pk):
        if _end(task, State.CANCEL):
            return
    gave_in = AsyncTask.objects.filter(pk=task.pk, state=State.CANCEL)
    if task.state != State.PROCESSING:
        gave_in = gave_in.filter(attempt__gt=task.attempt)  # a run that has begun since the caller looked
    if not (cancel_file.are_used() and gave_in.exists()):
        raise NotCancellable


def give_in(task: AsyncTask) -> bool:
    """End a run whose cancellation waits for it to let go of the database. False = it is cancelled already."""
    return _end(task, State.CANCEL, mine=task.attempt)


@db_retry.again_if_deadlocked
def _end(
    task: AsyncTask,
    target: State,
    *,
    mine: int | None = None,
    draft: bodies.Draft | None = None,
    overdue: dt.timedelta | None = None,
    retention: dt.timedelta | None = None,
    failure: str = "",
    then: dispatch.Giving = dispatch.pass_on,
    **changes: Any,
) -> bool:
    """Move one task into a final state, with its answer, and the dates on which that and itself will go."""
    policy = conf.policy(task.dialect)
    retention = policy.retention_of(target) if retention is None else retention
    if not conf.KEEP_REQUESTS:
        changes["request"] = {}
    changes |= task.reported() if mine is not None else {}  # what its run has said since that was last recorded
    values = {"id": task.pk, "mine": mine, "limit": overdue, "kept": retention, "known": max(policy.window, retention)}
    is_simple = mine is not None and not failure
    ended = _ended_at_once(task, target, values, changes, draft) if is_simple else None
    if ended is not None:
        _tell(ended, then)
        return True
    move = transitions.end(target, tuple(changes), is_mine=mine is not None, is_overdue=overdue is not None)
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        if (ended := move.made(**values, **changes)) is None:
            return False
        task.state, task.finished, task.deletion_date = ended.state, ended.finished, ended.deletion_date
        if not conf.KEEP_REQUESTS and task.has_request is not False:
            bodies.drop_request(task.pk)
        if draft is not None:
            bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=mine or 0)
        if failure:
            bodies.attach(failures.draft(failure), task_id=task.pk, kind=Body.FAILURE, attempt=mine or 0)
        _tell(ended, then)
    return True


def _ended_at_once(
    task: AsyncTask, target: State, values: dict[str, Any], changes: dict[str, Any], draft: bodies.Draft | None
) -> AsyncTask | None:
    """``task`` ended in one statement, where it was claimed so, and its bodies lie in the database.

    None = it may still be ended in the other way.
    """
    answer = draft if draft and draft.size else None
    has_files = task.has_body_elsewhere or (answer is not None and answer.reserved)
    is_simple = task.has_request is not None and not (task.is_heard or task.callback_url or has_files)
    if not is_simple or not chains(router.db_for_write(AsyncTask)):
        return None
    erases = bool(task.has_request) and not conf.KEEP_REQUESTS
    more: list[dict[str, Any]] = [{"task": task.pk}] * erases
    if answer is not None:
        said = bodies.columns(answer, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
        more.append(Body(**said).__dict__)
    move = transitions.end_at_once(target, tuple(changes), has_request=erases, has_answer=answer is not None)
    return move.changed({**values, **changes}, *more)  # type: ignore[no-any-return]


def _tell(task: AsyncTask, then: dispatch.Giving) -> None:
    """Let everybody know of a task's end, each in their way. ``then``: what gives the next of its account its turn."""
    outbox.announce(task, Webhook.UPDATE, Webhook.PROCESSED, is_heard=task.is_heard)
    announce(task_finished, task)
    if task.is_awaited and (dialect := conf.mounted(task.dialect)):
        then(dialect, task.account)
