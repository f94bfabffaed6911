"""The transitions of a task: which statements perform them on which database, in which transaction.

``accepted``, ``claimed`` and ``ended`` are context managers: what their block writes is committed or rolled back
together with the transition. If the block writes nothing, PostgreSQL and SQLite need a single statement.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, router, transaction

from ..models import AsyncTask, Body
from ..models.querysets import after
from ..protocol.states import State
from ..protocol.values import value
from ..sql.writes import PreparedInsert, can_return, can_write_together
from . import bodies, statements
from .bodies import Draft
from .statements import Terms
from .values import Accepted, Claim, Ended, Overdue


@value
class Ending:
    """The final state of a task, and what is stored with it."""

    state: State
    retention: dt.timedelta
    """How long its result is kept."""
    window: dt.timedelta
    """How long the task itself is kept."""
    columns: Mapping[str, Any]
    """Further columns of its row."""
    result: Draft | None = None
    failure: Draft | None = None
    """Its traceback, for administrators."""
    deletes_body: bool = True
    """Whether the request body is deleted."""
    queue_limit: dt.timedelta | None = None
    """Only a task that has waited longer than this is ended."""

    @property
    def values(self) -> dict[str, Any]:
        """Values for the slots of the statements."""
        kept = {"retention": self.retention, "window": self.window, "queue_limit": self.queue_limit}
        return {**kept, **self.columns}


@contextlib.contextmanager
def accepted(
    task: AsyncTask,
    body: Draft,
    *,
    share: int,
    message: tuple[PreparedInsert, Mapping[str, Any]] | None,
    needs_transaction: bool,
) -> Iterator[Accepted]:
    """Insert ``task`` with its ``body``; sets ``task.sent`` if fewer than ``share`` tasks of its account are
    dispatched.

    ``message``: the INSERT of the queue message, executed if the task is sent. ``needs_transaction``: whether the block
    writes.
    """
    alias = _alias()
    is_simple = not needs_transaction and not body.reserved and can_write_together(alias)
    stored = _accepted_together(task, body, share, message) if is_simple else None
    if stored is not None:
        yield stored
        return
    with transaction.atomic(using=alias):
        if can_return(alias):
            found = statements.ACCEPT.insert(task, share=share)
        else:
            dispatched = statements.DISPATCHED.count(dialect=task.dialect, account=task.account)
            statements.ACCEPT.insert(task, share=share, dispatched=dispatched)
            found = statements.ACCEPTED.get(alias, id=task.pk)
            statements.ACCEPT.fill(task, found)
        bodies.attach(body, task_id=task.pk, kind=Body.REQUEST)
        yield Accepted(task=task, has_webhooks=found["has_webhooks"], has_message=False)


def _accepted_together(
    task: AsyncTask, body: Draft, share: int, message: tuple[PreparedInsert, Mapping[str, Any]] | None
) -> Accepted | None:
    """``accepted`` in one statement; None if the account has webhooks."""
    others: list[tuple[PreparedInsert, Mapping[str, Any]]] = []
    if body.size:
        row = Body(**bodies.columns(body, task_id=task.pk, kind=Body.REQUEST))
        others.append((statements.INSERT_BODY, row.__dict__))
    if message is not None:
        others.append(message)
    accept = statements.accept_together(*(insert for insert, _ in others), has_message=message is not None)
    row = accept.execute(task.__dict__ | {"share": share}, *(values for _, values in others))
    if row is None:
        return None
    statements.ACCEPT_WITHOUT_WEBHOOKS.read(row, task, _alias())
    return Accepted(task=task, has_webhooks=False, has_message=message is not None and task.sent is not None)


def read(id: uuid.UUID, dialect: str) -> AsyncTask | None:
    """Read task ``id`` of a mount for a poll, with ``now``."""
    return statements.READ.first(id=id, dialect=dialect)


def to_dispatch(dialect: str, account: str, share: int) -> list[uuid.UUID]:
    """Return the waiting tasks of an account that may be dispatched now, oldest first."""
    oldest = statements.waiting(share).all(dialect=dialect, account=account, share=share)
    return [key for key, dispatched in oldest[: max(share - oldest[0][1], 0)]] if oldest else []


def mark_sent(id: uuid.UUID, *, waits_for_locks: bool) -> bool:
    """Mark a task as sent; return whether it was not yet. Without ``waits_for_locks``, a locked task is skipped."""
    return (waits_for_locks or bool(lock_available([id]))) and bool(statements.MARK_SENT.update(id=id))


@contextlib.contextmanager
def claimed(id: uuid.UUID | str, *, worker: str, terms: Sequence[Terms]) -> Iterator[Claim | Overdue | None]:
    """Claim a pending task exclusively, on the ``terms`` of its mount; the last of them are for removed mounts.

    Yields None if there is nothing to run.
    """
    alias = _alias()
    claim = statements.claim(terms).update(id=id, worker=worker) if can_return(alias) else None
    if claim is not None:
        yield claim
        return
    found = statements.TO_CLAIM.first(id=id)
    if found is None:
        yield None
        return
    claim, now = found
    own_terms = next(each for each in terms if each.dialect in (claim.task.dialect, ""))
    if own_terms.queue_limit is not None and now > claim.task.created + own_terms.queue_limit:
        yield Overdue(task=claim.task, queue_limit=own_terms.queue_limit)
        return
    with transaction.atomic(using=alias) if claim.has_webhooks else contextlib.nullcontext():
        yield claim if _claims(claim, now, worker, own_terms) else None


def _claims(claim: Claim, now: dt.datetime, worker: str, terms: Terms) -> bool:
    """Claim the task of ``claim``, read at ``now``; return whether no other process was first. Updates the instance."""
    task = claim.task
    update = statements.claim_attempt(is_limited=terms.queue_limit is not None)
    values = {"attempt": task.attempt + 1, "worker": worker, "lease": terms.lease, "queue_limit": terms.queue_limit}
    if not update.update(id=task.pk, expected_attempt=task.attempt, **values):
        return False
    task.state, task.attempt, task.started = State.PROCESSING.value, task.attempt + 1, now
    return True


def claim_next(dialect: str, account: str, *, share: int, worker: str, lease: dt.timedelta) -> Claim | None:
    """Claim the oldest waiting task of an account without webhooks; None if there is none, or if it takes several
    statements.

    In a transaction it has a savepoint, so that an error breaks nothing else.
    """
    alias = _alias()
    if not can_return(alias):
        return None
    with transaction.atomic(using=alias) if connections[alias].in_atomic_block else contextlib.nullcontext():
        return statements.claim_next(lease).update(dialect=dialect, account=account, share=share, worker=worker)


@contextlib.contextmanager
def ended(task: AsyncTask, ending: Ending, claim: Claim | None = None) -> Iterator[Ended | None]:
    """Move a task to its final state; yields None if it has left its state before. ``claim``: end only this attempt."""
    alias = _alias()
    end = _ended_together(claim, ending) if claim is not None and can_write_together(alias) else None
    if end is not None:
        yield end
        return
    mine = claim is not None
    statement = statements.end(
        ending.state, tuple(ending.columns), is_mine=mine, is_overdue=ending.queue_limit is not None
    )
    with transaction.atomic(using=alias):
        end = statement.update(id=task.pk, expected_attempt=task.attempt, **ending.values)
        if end is not None:
            _write_bodies(ending, claim, task.pk, task.attempt if mine else 0)
        yield end


def _write_bodies(ending: Ending, claim: Claim | None, key: uuid.UUID, attempt: int) -> None:
    if ending.deletes_body and (claim is None or claim.has_body is not False):
        bodies.delete_request(key)
    for draft, kind in ((ending.result, Body.RESPONSE), (ending.failure, Body.FAILURE)):
        if draft is not None:
            bodies.attach(draft, task_id=key, kind=kind, attempt=attempt)


def _ended_together(claim: Claim, ending: Ending) -> Ended | None:
    """``ended`` in one statement; None if it takes more: webhooks, a callback, a traceback or files."""
    task = claim.task
    result = ending.result if ending.result and ending.result.size else None
    has_files = claim.has_unread_body or (result is not None and result.reserved)
    if claim.has_body is None or claim.has_webhooks or task.callback_url or has_files or ending.failure is not None:
        return None
    deletes_body = bool(claim.has_body) and ending.deletes_body
    more: list[dict[str, Any]] = [{"task": task.pk}] * deletes_body
    if result is not None:
        row = Body(**bodies.columns(result, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt))
        more.append(row.__dict__)
    end = statements.end_together(
        ending.state, tuple(ending.columns), deletes_body=deletes_body, has_result=result is not None
    )
    row = end.execute({"id": task.pk, "expected_attempt": task.attempt, **ending.values}, *more)
    return None if row is None else statements.ENDED_WITHOUT_WEBHOOKS.read(row, _alias())


def release(claim: Claim, pause: dt.timedelta) -> tuple[AsyncTask, bool] | None:
    """Make the task of a lost run pending again, due after ``pause``; None if it has ended or was claimed again.

    Returns (task, whether its account has webhooks). Call it in a transaction.
    """
    rows = AsyncTask.objects.filter(pk=claim.task.pk)
    reset = {"started": None, "sent": None, "lease_until": None, "not_before": after(pause)}
    if not rows.transition(State.PENDING, expected_attempt=claim.task.attempt, **reset):
        return None
    return statements.CHANGED.first(id=claim.task.pk)


def is_current(claim: Claim) -> bool:
    """Whether the attempt of ``claim`` is running, according to the database."""
    return statements.RUNNING.exists(id=claim.task.pk, expected_attempt=claim.task.attempt)


def lock_available(keys: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Lock and return those tasks that no other transaction has locked, so that one that hangs does not block the rest.

    On a database without SKIP LOCKED, waits and returns all of them.
    """
    skips = connections[_alias()].features.has_select_for_update_skip_locked
    rows: Any = AsyncTask.objects.select_for_update(skip_locked=skips).filter(pk__in=keys)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _alias() -> str:
    return router.db_for_write(AsyncTask)
