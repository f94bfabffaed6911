"""The transitions of a task: which statements make them on which database, in which transaction.

``accepted``, ``claimed`` and ``ended`` are context managers. Whatever their block writes is committed with the
transition, or the transition is rolled back with it. Where the block has nothing to write, PostgreSQL and SQLite make
it in one statement.
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
    """How a task is to end."""

    state: State
    retention: dt.timedelta
    """How long its result is kept."""
    window: dt.timedelta
    """How long the task itself is kept."""
    columns: Mapping[str, Any]
    """What else its row says then."""
    result: Draft | None = None
    failure: Draft | None = None
    """Why it failed."""
    deletes_body: bool = True
    """Whether the body of its captured request goes."""
    queue_limit: dt.timedelta | None = None
    """Only a task that waits longer than this ends so."""

    @property
    def values(self) -> dict[str, Any]:
        """What fills the slots of its statements."""
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
    """Insert ``task`` with its ``body``; ``task.sent`` is set if fewer than ``share`` tasks of its account are at work.

    ``message``: the INSERT that sends it to the workers, made if it is sent. ``needs_transaction``: whether the block
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
            at_work = statements.AT_WORK.count(dialect=task.dialect, account=task.account)
            statements.ACCEPT.insert(task, share=share, at_work=at_work)
            found = statements.ACCEPTED.get(alias, id=task.pk)
            statements.ACCEPT.fill(task, found)
        bodies.attach(body, task_id=task.pk, kind=Body.REQUEST)
        yield Accepted(task=task, has_webhooks=found["has_webhooks"], has_message=False)


def _accepted_together(
    task: AsyncTask, body: Draft, share: int, message: tuple[PreparedInsert, Mapping[str, Any]] | None
) -> Accepted | None:
    """None if the account has webhooks."""
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
    """The task ``id`` of a mount as a poll reads it: with ``now``."""
    return statements.READ.first(id=id, dialect=dialect)


def to_send(dialect: str, account: str, share: int) -> list[uuid.UUID]:
    """The waiting tasks of an account that may be sent now, oldest first."""
    oldest = statements.waiting(share).all(dialect=dialect, account=account, share=share)
    return [key for key, at_work in oldest[: max(share - oldest[0][1], 0)]] if oldest else []


def sent(id: uuid.UUID, *, waits: bool) -> bool:
    """Mark a task as sent to the workers; whether it was not yet. ``waits``: for one that somebody else has locked."""
    return (waits or bool(unlocked([id]))) and bool(statements.SEND.update(id=id))


@contextlib.contextmanager
def claimed(id: uuid.UUID | str, *, worker: str, terms: Sequence[Terms]) -> Iterator[Claim | Overdue | None]:
    """Take a pending task for running, exclusively, on the ``terms`` of its mount; the last of them are for others.

    Gives None if there is nothing to run.
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
    ours = next(each for each in terms if each.dialect in (claim.task.dialect, ""))
    if ours.queue_limit is not None and now > claim.task.created + ours.queue_limit:
        yield Overdue(task=claim.task, queue_limit=ours.queue_limit)
        return
    with transaction.atomic(using=alias) if claim.has_webhooks else contextlib.nullcontext():
        yield claim if _claims(claim, now, worker, ours) else None


def _claims(claim: Claim, now: dt.datetime, worker: str, terms: Terms) -> bool:
    """Whether the pending task of ``claim``, read at ``now``, was taken; then its row says so."""
    task = claim.task
    update = statements.claim_attempt(is_limited=terms.queue_limit is not None)
    values = {"attempt": task.attempt + 1, "worker": worker, "lease": terms.lease, "queue_limit": terms.queue_limit}
    if not update.update(id=task.pk, expected_attempt=task.attempt, **values):
        return False
    task.state, task.attempt, task.started = State.PROCESSING.value, task.attempt + 1, now
    return True


def claim_next(dialect: str, account: str, *, share: int, worker: str, lease: dt.timedelta) -> Claim | None:
    """Take the oldest waiting task of an account that has no webhooks; None where that takes several statements.

    An error here fails alone, also within a transaction.
    """
    alias = _alias()
    if not can_return(alias):
        return None
    with transaction.atomic(using=alias) if connections[alias].in_atomic_block else contextlib.nullcontext():
        return statements.claim_next(lease).update(dialect=dialect, account=account, share=share, worker=worker)


@contextlib.contextmanager
def ended(task: AsyncTask, ending: Ending, claim: Claim | None = None) -> Iterator[Ended | None]:
    """Bring a task into its final state; None if it has left the one it was in. ``claim``: only this attempt of it."""
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
        bodies.drop_request(key)
    for draft, kind in ((ending.result, Body.RESPONSE), (ending.failure, Body.FAILURE)):
        if draft is not None:
            bodies.attach(draft, task_id=key, kind=kind, attempt=attempt)


def _ended_together(claim: Claim, ending: Ending) -> Ended | None:
    """None if it takes more than the one statement: there are webhooks, a callback, a failure or files."""
    task = claim.task
    result = ending.result if ending.result and ending.result.size else None
    has_files = claim.has_body_elsewhere or (result is not None and result.reserved)
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


def released(claim: Claim, pause: dt.timedelta) -> tuple[AsyncTask, bool] | None:
    """Make the task of a lost run pending again, to be sent after ``pause``; None if it has ended or was taken over.

    Gives its row and whether its account has webhooks. For a transaction.
    """
    rows = AsyncTask.objects.filter(pk=claim.task.pk)
    reset = {"started": None, "sent": None, "lease_until": None, "not_before": after(pause)}
    if not rows.transition(State.PENDING, expected_attempt=claim.task.attempt, **reset):
        return None
    return statements.CHANGED.first(id=claim.task.pk)


def is_current(claim: Claim) -> bool:
    """Whether the attempt of ``claim`` is still running, as far as the database knows."""
    return statements.RUNNING.exists(id=claim.task.pk, expected_attempt=claim.task.attempt)


def unlocked(keys: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Lock these tasks, and give those that nobody else has locked: a transaction that hangs does not stop the others.

    On a database without SKIP LOCKED, all of them.
    """
    skips = connections[_alias()].features.has_select_for_update_skip_locked
    rows: Any = AsyncTask.objects.select_for_update(skip_locked=skips).filter(pk__in=keys)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _alias() -> str:
    return router.db_for_write(AsyncTask)
