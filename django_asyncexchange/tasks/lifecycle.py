"""The life of a task: accept · claim · finish · fail · release · cancel.

Each function performs one transition, or returns that another process was first, and inserts the deliveries of its
events in the same commit. ``store.transitions`` knows the SQL.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import Any

from django.db import DatabaseError, router, transaction

from .. import executors
from ..conf import conf
from ..dialects.base import Dialect, Policy
from ..exceptions import NotCancellable
from ..models import AsyncTask, Webhook
from ..models.querysets import EPOCH
from ..protocol import process_id
from ..protocol.states import Reason, State, outcome
from ..protocol.values import Headers, Progress
from ..signals import announce, task_finished, task_started, task_submitted
from ..store import bodies, db_retry, transitions
from ..store.statements import Terms
from ..store.transitions import Look
from ..store.values import Claim, Ended
from ..webhooks import outbox
from . import cancel_file, dispatch, failures

logger = logging.getLogger("django_asyncexchange")

GRACE = dt.timedelta(seconds=60)
"""A run whose process cannot be observed counts as lost this long after its run limit."""


def accept(task: AsyncTask, body: bodies.Draft, dialect: Dialect) -> None:
    """Insert ``task`` with the ``body`` of its request as PENDING, and dispatch it if fewer than ``SHARE`` tasks of its
    account are. Sets ``created`` and ``sent``.
    """
    alias, executor = router.db_for_write(AsyncTask), executors.load()
    is_transactional, channel = executor.is_transactional(alias), executor.channel(alias)
    with transitions.accepted(
        task,
        body,
        share=dialect.policy.share,
        channel=channel,
        needs_transaction=is_transactional and not executor.reads_tasks(),
    ) as accepted:
        outbox.add(task, Webhook.CREATE, has_webhooks=accepted.has_webhooks)
        if is_transactional and task.sent is not None and not accepted.is_notified:
            executor.send(str(task.pk))
    announce(task_submitted, task)
    if task.sent is not None and not is_transactional:
        # The task is accepted: if the broker refuses the message, or this process dies here, a sweep sends it.
        transaction.on_commit(lambda: dispatch.send_message(task.pk), using=alias, robust=True)


def claim(task_id: uuid.UUID | str) -> Claim | None:
    """Claim a PENDING task exclusively; None if there is nothing to run, or another process was first."""
    with transitions.claimed(task_id, worker=process_id.me(), terms=_terms()) as found:
        if isinstance(found, Claim):
            outbox.add(found.task, Webhook.UPDATE, has_webhooks=bool(found.has_webhooks))
            announce(task_started, found.task)
            return found
    if found is not None:
        _end(found.task, State.ERROR, queue_limit=found.queue_limit, reason=Reason.QUEUE_TIMEOUT)
    return None


def look() -> Look:
    """This worker's look for the ready task that has waited longest."""
    return Look(worker=process_id.me(), terms=_terms(), since=EPOCH)


def claim_next(look: Look) -> Claim | None:
    """Claim the ready task that has waited longest, of any account; None if there is nothing to run."""
    claimed = transitions.claim_next(look)
    if claimed is not None:
        announce(task_started, claimed.task)
        return claimed
    tried: set[uuid.UUID] = set()
    while keys := [key for key in transitions.ready(look.since) if key not in tried]:
        for key in keys:
            if (found := claim(key)) is not None:
                return found
        tried.update(keys)  # ended as overdue, or claimed by others
    return None


def _terms() -> tuple[Terms, ...]:
    """The terms of all mounts, and at last those for tasks of removed ones."""
    return (*(_terms_of(mount.name, mount.policy) for mount in conf.mounts), _terms_of("", conf.policy("")))


def _terms_of(dialect: str, policy: Policy) -> Terms:
    return Terms(dialect=dialect, lease=_lease(policy), queue_limit=policy.queue_limit)


def _lease(policy: Policy) -> dt.timedelta:
    """The lease of a run. If it cannot be renewed while the view writes, it lasts as long as the run may."""
    return policy.run_limit + GRACE if cancel_file.is_used() else dt.timedelta(seconds=conf.LEASE_SECONDS)


def end_if_overdue(task: AsyncTask) -> bool:
    """End a PENDING task that has waited longer than ``QUEUE_LIMIT``; return whether it has."""
    limit = conf.policy(task.dialect).queue_limit
    if task.state != State.PENDING or limit is None or task.now <= task.created + limit:
        return False
    return _end(task, State.ERROR, queue_limit=limit, reason=Reason.QUEUE_TIMEOUT) is not None


def end_overdue(dialect: Dialect, batch: int = bodies.BATCH) -> int:
    """End tasks of ``dialect`` that have waited longer than ``QUEUE_LIMIT``, at most ``batch``; return their number."""
    limit = dialect.policy.queue_limit
    if limit is None:
        return 0
    overdue = AsyncTask.objects.of_mount(dialect.name).overdue(limit)
    tasks = list(overdue.only("pk", "dialect").order_by("pk")[:batch])  # the same order everywhere prevents deadlocks
    ended = (_end(task, State.ERROR, queue_limit=limit, reason=Reason.QUEUE_TIMEOUT) for task in tasks)
    return sum(each is not None for each in ended)


def finish(
    claim: Claim,
    *,
    status: int,
    reason_phrase: str,
    headers: Headers,
    draft: bodies.Draft,
    cookies: str = "",
    failure: str = "",
    progress: Progress | None = None,
    next_look: Look | None = None,
) -> Ended | None:
    """Store the response and end the task. None if it was cancelled or taken over: the response is dropped.

    ``cookies``: of the response, encrypted. ``failure``: the traceback, for administrators. ``next_look``: claim the
    next task too, as ``claim_next`` does.
    """
    state = outcome(status)
    ended = _end_with_failure(
        claim,
        state,
        draft=draft,
        retention=claim.task.retention if state is State.DONE else None,
        reason=Reason.EXCEPTION if state is State.ERROR else "",
        status_code=status,
        reason_phrase=reason_phrase[:255],
        response_headers=[list(pair) for pair in headers],
        failure=failure if state is State.ERROR else "",
        next_look=next_look,
        **({"response_cookies": cookies} if cookies else {}),
        **_columns(progress),
    )
    if ended is None:
        bodies.discard(draft)
        logger.info("task %s: late response dropped", claim.task.pk)
    return ended


def fail(claim: Claim, reason: Reason, failure: str = "", progress: Progress | None = None) -> Ended | None:
    """End a task in ERROR without a response. None if it was cancelled or taken over. ``failure``: as in ``finish``."""
    return _end_with_failure(claim, State.ERROR, reason=reason, failure=failure, **_columns(progress))


def _columns(progress: Progress | None) -> dict[str, Any]:
    if progress is None:
        return {}
    done, total, message = progress.done, progress.total, progress.message
    return {"progress_done": done, "progress_total": total, "progress_message": message}


def _end_with_failure(
    claim: Claim, state: State, *, failure: str, next_look: Look | None = None, **more: Any
) -> Ended | None:
    """``_end``; without the claim of the next task, and at last without the traceback, if the database refuses them."""
    try:
        return _end(claim.task, state, claim=claim, failure=failure, next_look=next_look, **more)
    except DatabaseError:
        if next_look is None and not failure:
            raise
        logger.warning(
            "task %s: its end is stored without %s",
            claim.task.pk,
            "its traceback" if next_look is None else "the claim of the next task",
            exc_info=True,
        )
        return _end_with_failure(claim, state, failure=failure if next_look is not None else "", **more)


def release(claim: Claim) -> bool:
    """Make the task of a lost run PENDING again, with exponential backoff. False if it has ended or was taken over."""
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        released = transitions.release(claim, dt.timedelta(seconds=2**claim.task.attempt))
        if released is None:
            return False
        task, has_webhooks = released
        outbox.add(task, Webhook.UPDATE, has_webhooks=has_webhooks)
    return True


def is_current(claim: Claim) -> bool:
    """Whether ``claim`` is still the current attempt."""
    return transitions.is_current(claim)


def cancel(task: AsyncTask) -> AsyncTask:
    """Cancel an unfinished task; a response of its running worker is dropped. Raises NotCancellable.

    Returns the changed task.
    """
    with cancel_file.requested(task.pk):
        if (ended := _end(task, State.CANCEL)) is not None:
            return ended.task
    confirmed = AsyncTask.objects.filter(pk=task.pk, state=State.CANCEL)
    if task.state != State.PROCESSING:
        confirmed = confirmed.filter(attempt__gt=task.attempt)  # a run that started after the caller read the task
    cancelled: AsyncTask | None = confirmed.first() if cancel_file.is_used() else None
    if cancelled is None:
        raise NotCancellable
    return cancelled


def confirm_cancel(claim: Claim, progress: Progress | None = None) -> Ended | None:
    """End a run in CANCEL that was interrupted by the cancel file. None if it is over already."""
    return _end(claim.task, State.CANCEL, claim=claim, **_columns(progress))


@db_retry.retry_deadlocks
def _end(
    task: AsyncTask,
    state: State,
    *,
    claim: Claim | None = None,
    draft: bodies.Draft | None = None,
    failure: str = "",
    queue_limit: dt.timedelta | None = None,
    retention: dt.timedelta | None = None,
    next_look: Look | None = None,
    **columns: Any,
) -> Ended | None:
    """Move a task to a final state; store its response, its traceback, and its deletion and purge dates."""
    policy, keeps_request = conf.policy(task.dialect), conf.KEEP_REQUESTS
    retention = policy.retention_of(state) if retention is None else retention
    ending = transitions.Ending(
        state=state,
        retention=retention,
        window=max(policy.window, retention),
        columns=columns if keeps_request else {**columns, "request": {}},
        result=draft,
        failure=failures.draft(failure) if failure else None,
        deletes_body=not keeps_request,
        queue_limit=queue_limit,
    )
    dialect = conf.mounted(task.dialect)
    share = dialect.policy.share if dialect is not None else 0
    with transitions.ended(task, ending, claim, share=share, look=next_look) as ended:
        if ended is None:
            return None
        outbox.add(ended.task, Webhook.UPDATE, Webhook.PROCESSED, has_webhooks=ended.has_webhooks)
        announce(task_finished, ended.task)
        if ended.next is not None:
            announce(task_started, ended.next.task)
        if ended.dispatched is not None:
            dispatch.notify_after_commit(ended.dispatched, is_worker=next_look is not None)
    return ended
