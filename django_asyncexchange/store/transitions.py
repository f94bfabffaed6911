"""The transitions of a task: which statements perform them on which database, in which transaction.

``accepted``, ``claimed`` and ``ended`` are context managers: what their block writes is committed or rolled back
together with the transition. If the block writes nothing, PostgreSQL and SQLite need a single statement.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, router, transaction

from ..models import AsyncTask, Body
from ..models.querysets import after
from ..protocol.states import State
from ..protocol.values import value
from ..sql.writes import can_return, can_write_at_once, can_write_together
from . import bodies, lock_file, statements
from .bodies import Draft
from .statements import Terms
from .values import Accepted, Claim, Ended, Overdue

NONE = uuid.UUID(int=0)
"""The key of no task."""


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


@value
class Look:
    """A worker's look for its next task."""

    worker: str
    terms: Sequence[Terms]
    since: dt.datetime
    """Only tasks that were dispatched then or later."""


@contextlib.contextmanager
def accepted(
    task: AsyncTask, body: Draft, *, share: int, channel: str = "", needs_transaction: bool = False
) -> Iterator[Accepted]:
    """Insert ``task`` with its ``body``; sets ``task.sent`` if fewer than ``share`` tasks of its account are
    dispatched, and then notifies the PostgreSQL ``channel``.

    ``needs_transaction``: whether the block writes.
    """
    alias = _alias()
    is_simple = not needs_transaction and not body.reserved and can_write_at_once(alias)
    stored = _accepted_together(task, body, share, channel) if is_simple else None
    if stored is not None:
        yield stored
        return
    with transaction.atomic(using=alias):
        if can_return(alias):
            found = statements.ACCEPT.insert(task, share=share, channel=channel)
        else:
            dispatched = statements.DISPATCHED.count(dialect=task.dialect, account=task.account)
            statements.ACCEPT.insert(task, share=share, dispatched=dispatched)
            found = statements.ACCEPTED.get(alias, id=task.pk, channel=channel)
            statements.ACCEPT.fill(task, found)
        bodies.attach(body, task_id=task.pk, kind=Body.REQUEST)
        yield Accepted(task=task, has_webhooks=found["has_webhooks"], is_notified=found["notified"] is not None)


def _accepted_together(task: AsyncTask, body: Draft, share: int, channel: str) -> Accepted | None:
    """``accepted`` in one statement; None if the account has webhooks."""
    accept, more = statements.accept_together(has_body=bool(body.size)), []
    if body.size:
        more.append(statements.new_body() | bodies.columns(body, task_id=task.pk, kind=Body.REQUEST))
    written = accept.execute(task.__dict__ | {"share": share, "channel": channel}, *more)
    if written is None:
        return None
    found = statements.ACCEPT_WITHOUT_WEBHOOKS.read(written[0], task, _alias())
    return Accepted(task=task, has_webhooks=False, is_notified=found["notified"] is not None)


def read(id: uuid.UUID, dialect: str) -> AsyncTask | None:
    """Read task ``id`` of a mount for a poll, with ``now``."""
    return statements.READ.first(id=id, dialect=dialect)


def dispatch_next(dialect: str, account: str, share: int, besides: uuid.UUID = NONE) -> uuid.UUID | None:
    """Dispatch the oldest waiting task of an account that no other transaction has locked; return its key.

    None if nothing waits, or ``share`` tasks are dispatched, ``besides`` not counted.
    """
    values: dict[str, Any] = {"dialect": dialect, "account": account, "share": share, "id": besides}
    if can_return(_alias()):
        return statements.DISPATCH_NEXT.update(**values)
    for key in _unlocked(statements.DISPATCHABLE.all(**values)):
        if statements.MARK_SENT.update(id=key):
            return key
    return None


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


def claim_next(look: Look) -> Claim | None:
    """Claim the ready task that has waited longest, in one statement.

    None if there is none, or if that takes several statements: its account has webhooks, or it has waited too long.
    """
    if not can_return(_alias()):
        return None
    with lock_file.held(_alias()):
        return statements.claim_next(look.terms).update(sent=look.since, worker=look.worker)


def ready(since: dt.datetime) -> list[uuid.UUID]:
    """Return ready tasks that no other transaction has locked, those that have waited longest at the front.

    ``since``: only those dispatched then or later.
    """
    return _unlocked(statements.READY.all(sent=since))


@contextlib.contextmanager
def ended(
    task: AsyncTask, ending: Ending, claim: Claim | None = None, *, share: int = 0, look: Look | None = None
) -> Iterator[Ended | None]:
    """Move a task to its final state; yields None if it has left its state before. ``claim``: end only this attempt, of
    ``task``.

    Dispatches the next task of its account, if fewer than ``share`` others are dispatched. ``look``: claims the next
    ready task.
    """
    alias = _alias()
    is_simple = claim is not None and can_write_together(alias)
    end = _ended_together(claim, ending, share, look) if claim is not None and is_simple else None
    if end is not None:
        yield end
        return
    mine = claim is not None
    statement = statements.end(
        ending.state, tuple(ending.columns), is_mine=mine, is_overdue=ending.queue_limit is not None
    )
    with lock_file.held(alias) if mine else contextlib.nullcontext(), transaction.atomic(using=alias):
        end = statement.update(id=task.pk, expected_attempt=task.attempt, **ending.values)
        if end is not None:
            _write_bodies(ending, claim, task.pk, task.attempt if mine else 0)
            dispatched = dispatch_next(task.dialect, task.account, share) if end.others_wait else None
            following = claim_next(look) if look is not None else None
            end = dataclasses.replace(end, dispatched=dispatched, next=following)
        yield end


def _changed(task: AsyncTask, dates: AsyncTask, ending: Ending) -> AsyncTask:
    """``task`` as it is after its end, of which the database has returned the ``dates``."""
    changed = copy.copy(task)
    for name, column in {"state": ending.state.value, **ending.columns}.items():
        setattr(changed, name, column)
    for name in statements.DATES:
        setattr(changed, name, getattr(dates, name))
    return changed


def _write_bodies(ending: Ending, claim: Claim | None, key: uuid.UUID, attempt: int) -> None:
    if ending.deletes_body and (claim is None or claim.has_body is not False):
        bodies.delete_request(key)
    for draft, kind in ((ending.result, Body.RESPONSE), (ending.failure, Body.FAILURE)):
        if draft is not None:
            bodies.attach(draft, task_id=key, kind=kind, attempt=attempt)


def _ended_together(claim: Claim, ending: Ending, share: int, look: Look | None) -> Ended | None:
    """``ended`` in one go; None if it takes more: webhooks, a callback, a traceback or files."""
    task = claim.task
    result = ending.result if ending.result and ending.result.size else None
    has_files = claim.has_unread_body or (result is not None and result.reserved)
    if claim.has_body is None or claim.has_webhooks or task.callback_url or has_files or ending.failure is not None:
        return None
    deletes_body = bool(claim.has_body) and ending.deletes_body
    more: list[dict[str, Any]] = [{"task": task.pk}] * deletes_body
    if result is not None:
        columns = bodies.columns(result, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
        more.append(statements.new_body() | columns)
    more.append({"dialect": task.dialect, "account": task.account, "share": share, "id": task.pk})
    if look is not None:
        more.append({"sent": look.since, "worker": look.worker})
    end = statements.end_together(
        ending.state,
        tuple(ending.columns),
        deletes_body=deletes_body,
        has_result=result is not None,
        terms=look.terms if look is not None else None,
    )
    values = {"id": task.pk, "expected_attempt": task.attempt, **ending.values}
    written = end.execute(values, *more, within=lock_file.held(_alias()))
    if written is None:
        return None
    row, (dispatched, *following) = written
    changed = _changed(task, statements.ENDED_TOGETHER.read(row, _alias()).task, ending)
    return Ended(task=changed, dispatched=dispatched, next=following[0] if following else None)


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


def _unlocked(keys: list[uuid.UUID]) -> list[uuid.UUID]:
    """Those of ``keys``, in their order, that no other transaction has locked at this moment."""
    if not keys or not connections[_alias()].features.has_select_for_update_skip_locked:
        return keys
    with transaction.atomic(using=_alias()):
        free = set(lock_available(keys))
    return [key for key in keys if key in free]


def _alias() -> str:
    return router.db_for_write(AsyncTask)
