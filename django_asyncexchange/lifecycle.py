"""The steps of a task's life. Each has one shape: move the row or raise; on commit, tell others.

Nothing else opens transactions or writes a state.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import DatabaseError, router, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.dispatch import Signal

from . import bodies, executors
from .conf import conf
from .dialects.base import Dialect, Policy
from .exceptions import CapacityExceeded, NotCancellable, RequestTooLarge, SubmitFailed
from .identity import Identity
from .messages import Headers, Owner, Request
from .models import Account, AsyncTask, Body, encode
from .querysets import after
from .signals import task_finished, task_started, task_submitted
from .states import Reason, State, outcome

logger = logging.getLogger("django_asyncexchange")

RETRY_AFTER_SECONDS = 5


def submit(
    call: Request, chunks: Iterable[bytes], *, method: str, url: str, dialect: Dialect, identity: Identity
) -> AsyncTask:
    """Store ``call`` as PENDING and hand its id to the executor. It is committed when this returns.

    Raises RequestTooLarge, CapacityExceeded, or SubmitFailed; then nothing is stored.
    """
    draft = _draft(chunks)
    task = AsyncTask(
        dialect=dialect.name,
        owner_id=identity.user_pk,
        account=identity.owner.account,
        owner_kind=identity.owner.kind,
        owner_reference=identity.owner.id,
        auth_backend=identity.auth_backend,
        auth_reference=identity.auth_reference,
        method=method,
        url=url,
        request=encode(call),
    )
    try:
        _accept(task, draft, dialect.policy.capacity)
    except BaseException as error:
        bodies.discard(draft)
        if isinstance(error, CapacityExceeded) or not isinstance(error, Exception):
            raise
        logger.exception("a call could not be accepted")
        raise SubmitFailed(headers=_retry_after()) from error
    return task


def _draft(chunks: Iterable[bytes]) -> bodies.Draft:
    try:
        return bodies.write(chunks, limit=conf.MAX_REQUEST_BYTES)
    except bodies.TooLarge as error:
        raise RequestTooLarge(limit=conf.MAX_REQUEST_BYTES) from error
    except (bodies.StorageFailed, DatabaseError) as error:
        logger.exception("a request body could not be stored")
        raise SubmitFailed(headers=_retry_after()) from error


def _accept(task: AsyncTask, draft: bodies.Draft, capacity: int | None) -> None:
    alias = router.db_for_write(AsyncTask)
    executor = executors.load()
    with transaction.atomic(using=alias):
        if capacity is not None:
            _hold(task.dialect, task.account)
            waiting = AsyncTask.objects.using(alias).speaking(task.dialect).of_account(task.account).unfinished()
            if waiting.count() >= capacity:
                raise CapacityExceeded(capacity=capacity, headers=_retry_after())
        task.save(force_insert=True, using=alias)
        bodies.attach(draft, task_id=task.pk, kind=Body.REQUEST)
        _announce(task_submitted, task)
        if executor.is_transactional(alias):
            executor.send(str(task.pk))
        else:
            transaction.on_commit(partial(_dispatch, task, executor), using=alias)


def _dispatch(task: AsyncTask, executor: executors.Executor) -> None:
    """Send the id of a committed row through a broker that knows no transaction of ours."""
    try:
        executor.send(str(task.pk))
    except Exception as error:
        _end(AsyncTask.objects.filter(pk=task.pk), State.ERROR, conf.dialect(task.dialect), reason=Reason.DISPATCH)
        raise SubmitFailed(headers=_retry_after()) from error


def _hold(dialect: str, account: str) -> None:
    """Serialise submits of one account, on every database: whoever has written this row may count and insert."""
    rows = Account.objects.filter(dialect=dialect, account=account)
    if not rows.update(touched=Now()):
        Account.objects.bulk_create([Account(dialect=dialect, account=account)], ignore_conflicts=True)
        rows.update(touched=Now())


def _retry_after() -> Headers:
    return (("Retry-After", str(RETRY_AFTER_SECONDS)),)


def claim(task_id: uuid.UUID | str) -> AsyncTask | None:
    """Take a PENDING task for running, exclusively; None where somebody was first or there is nothing to run."""
    won = AsyncTask.objects.filter(pk=task_id).move(State.PROCESSING, started=Now(), attempt=F("attempt") + 1)
    if not won:
        return None
    task = AsyncTask.objects.get(pk=task_id)
    _announce(task_started, task)
    return task


def finish(task: AsyncTask, *, status: int, reason_phrase: str, headers: Headers, draft: bodies.Draft) -> bool:
    """Store the answer of ``task`` and end it. False = cancelled or taken over meanwhile: the answer is dropped."""
    state = outcome(status)
    rows = AsyncTask.objects.filter(pk=task.pk)
    with transaction.atomic(using=rows.db):
        won = _end(
            rows,
            state,
            _dialect_of(task),
            mine=task.attempt,
            reason=Reason.EXCEPTION if state is State.ERROR else "",
            status_code=status,
            reason_phrase=reason_phrase,
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
    rows = AsyncTask.objects.filter(pk=task.pk)
    return bool(_end(rows, State.ERROR, _dialect_of(task), mine=task.attempt, reason=reason))


def cancel(task: AsyncTask) -> None:
    """End an unfinished task in CANCEL; what a running worker still answers is dropped. Raises NotCancellable."""
    if not _end(AsyncTask.objects.filter(pk=task.pk), State.CANCEL, _dialect_of(task)):
        raise NotCancellable


def rerun(task: AsyncTask) -> AsyncTask:
    """Start the same captured call again, as the same owner, as a new task."""
    identity = Identity(
        owner=Owner(account=task.account, kind=task.owner_kind, id=task.owner_reference),
        user_pk=task.owner_id,
        auth_backend=task.auth_backend,
        auth_reference=task.auth_reference,
    )
    chunks = bodies.stream(task.bodies.filter(kind=Body.REQUEST).first())
    return submit(task.captured, chunks, method=task.method, url=task.url, dialect=_dialect_of(task), identity=identity)


def _end(rows: Any, target: State, dialect: Dialect | None, *, mine: int | None = None, **changes: Any) -> int:
    policy = dialect.policy if dialect else Policy()
    won: int = rows.move(
        target,
        mine=mine,
        finished=Now(),
        deletion_date=after(policy.retention_of(target)),
        purge_date=after(max(policy.window, policy.retention_of(target))),
        **changes,
    )
    for task in rows if won else ():
        _announce(task_finished, task)
    return won


def _dialect_of(task: AsyncTask) -> Any:
    """The mount that the task came through; None where the project has taken it down meanwhile."""
    return {mount.name: mount for mount in conf.mounts}.get(task.dialect)


def _announce(signal: Signal, task: AsyncTask) -> None:
    send = partial(signal.send_robust, sender=AsyncTask, task=task.snapshot())
    transaction.on_commit(send, using=router.db_for_write(AsyncTask), robust=True)


def prune(batch: int = bodies.BATCH) -> dict[str, int]:
    """Delete what has expired: answers past their deletion date, tasks past their window, bodies of nobody.

    Returns how many ``bodies`` and ``tasks`` went, at most ``batch`` tasks. Any number may run at once.
    """
    gone = sum(
        bodies.delete(rows)
        for rows in (
            Body.objects.of_expired_tasks(),
            Body.objects.of_forgotten_tasks(),
            Body.objects.abandoned(bodies.ABANDONED_AFTER),
        )
    )
    forgotten = AsyncTask.objects.forgotten().filter(bodies=None).values_list("pk", flat=True)[:batch]
    tasks, _ = AsyncTask.objects.filter(pk__in=list(forgotten)).delete()
    return {"bodies": gone, "tasks": tasks}
