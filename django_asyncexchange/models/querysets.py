"""Questions about tasks that read as sentences, and the one statement that changes a state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Self

from django.db import connections, models, router

from ..protocol.states import FINAL, UNFINISHED, State, sources
from ..sql.writes import PreparedUpdate
from .timestamps import Now, UTCDateTimeField

BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""What has happened at all has happened after this."""
UNSENT = models.Q(state=State.PENDING, sent=None)
"""Accepted, and not yet given to the workers."""


Destination = tuple[str, str, str]
"""Of a delivery: its host, and whose it is. The receiver of one account holds up no other's at the same host."""
DESTINATION_FIELDS = ("host", "task__dialect", "task__account")


def after(duration: dt.timedelta | models.Expression) -> models.Expression:
    """Database time plus ``duration``."""
    return models.ExpressionWrapper(Now() + _expressed(duration), output_field=UTCDateTimeField())


def before(duration: dt.timedelta | models.Expression) -> models.Expression:
    """Database time minus ``duration``."""
    return models.ExpressionWrapper(Now() - _expressed(duration), output_field=UTCDateTimeField())


def unindexed(condition: models.Q) -> models.Case:
    """Hide ``condition`` from the query planner, so that it finds the row by its key, or by the index that is meant.

    With statistics from a time when nothing waited, PostgreSQL takes an index on the state for as selective as the
    primary key, and would read all rows that wait now.
    """
    return models.Case(models.When(condition, then=models.Value(True)), default=models.Value(False))


class Notify(models.Func):
    """PostgreSQL's ``pg_notify``: wakes those who LISTEN on a channel when the transaction commits. NULL elsewhere.

    In the RETURNING clause of a write it costs no statement of its own.
    """

    function = "pg_notify"
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return "NULL", []

    as_mysql = as_sqlite


def _expressed(duration: dt.timedelta | models.Expression) -> models.Expression:
    if isinstance(duration, models.Expression):
        return duration
    return models.Value(duration, output_field=models.DurationField())


class AsyncTaskQuerySet(models.QuerySet[Any]):
    def transition(self, target: State, *, expected_attempt: int | None = None, **changes: Any) -> int:
        """Bring these tasks into ``target``: the only place where a state is written.

        One conditional UPDATE: only from a state that may lead there and, where it is given, only while
        ``expected_attempt`` is the current one. Returns the number of rows changed: 0 = somebody was first.
        """
        return self._leaving(target, expected_attempt).update(state=target, **changes)

    def prepared_transition(
        self, target: State, *, expected_attempt: models.Expression | None = None, **changes: Any
    ) -> PreparedUpdate:
        """The same for what comes again and again: values that differ each time are slots."""
        rows = self._leaving(target, expected_attempt)
        return PreparedUpdate(lambda: rows, state=target, **changes)

    def _leaving(self, target: State, expected_attempt: Any) -> Self:
        leaves = models.Q(state__in=sources(target))
        if expected_attempt is None:
            return self.filter(unindexed(leaves))
        if target.is_final:  # an attempt that was released is over, although the next has not begun
            leaves &= models.Q(state=State.PROCESSING) | models.Q(attempt=0)
        return self.filter(unindexed(leaves), attempt=expected_attempt)

    def with_now(self) -> Self:
        """Each task with ``now``, the database's time."""
        return self.annotate(now=Now())

    def speaking(self, dialect: str) -> Self:
        """Tasks submitted through the mount ``dialect``."""
        return self.filter(dialect=dialect)

    def of_account(self, account: str) -> Self:
        return self.filter(account=account)

    def of_owner(self, user_pk: Any) -> Self:
        return self.filter(owner_id=user_pk)

    def within(self, window: dt.timedelta) -> Self:
        """Tasks created in the last ``window``."""
        return self.filter(created__gt=before(window))

    def overdue(self, limit: dt.timedelta | models.Expression) -> Self:
        """Tasks that have waited longer than ``limit`` and must not start any more."""
        return self.filter(state=State.PENDING, created__lt=before(limit))

    def waiting(self) -> Self:
        """Tasks that wait for their account's turn: accepted, not yet sent to the workers."""
        return self.due().filter(UNSENT)

    def waiting_of(self, dialect: Any, account: Any) -> Self:
        """The same of one account, by its index: whatever else waits, or has finished, is not looked at."""
        mine = self.filter(dialect=dialect, account=account, finished=None, sent=None)
        return mine.due().filter(unindexed(models.Q(state=State.PENDING)))

    def at_work_of(self, dialect: Any, account: Any) -> Self:
        """What the workers have been given of an account's tasks; by the same index, so by a range, not IS NOT NULL."""
        return self.unfinished_of(dialect, account).filter(sent__gt=BEGINNING)

    def unfinished_of(self, dialect: Any, account: Any) -> Self:
        """What is to be done of an account's tasks, by the same index."""
        mine = self.filter(dialect=dialect, account=account, finished=None)
        return mine.filter(unindexed(models.Q(state__in=UNFINISHED)))

    def due(self) -> Self:
        """Tasks that need not wait before they are tried again."""
        return self.filter(models.Q(not_before=None) | models.Q(not_before__lte=Now()))

    def begun_before(self, age: dt.timedelta) -> Self:
        """Tasks whose current attempt began longer than ``age`` ago."""
        return self.filter(started__lt=before(age))

    def sent_before(self, age: dt.timedelta) -> Self:
        """Tasks that were sent to the workers longer than ``age`` ago, and that nobody has claimed."""
        return self.filter(state=State.PENDING, sent__lt=before(age))

    def unfinished(self) -> Self:
        return self.filter(state__in=UNFINISHED)

    def finished(self) -> Self:
        return self.filter(state__in=FINAL)

    def expired(self) -> Self:
        """Tasks whose result is past its deletion date."""
        return self.filter(deletion_date__lte=Now())

    def forgotten(self) -> Self:
        """Tasks that nobody may ask about any more."""
        return self.filter(purge_date__lte=Now())

    def newest_first(self) -> Self:
        return self.order_by("-created", "id")


class BodyQuerySet(models.QuerySet[Any]):
    def abandoned(self, grace: dt.timedelta) -> Self:
        """Bodies that were reserved but never became part of a task."""
        return self.filter(task=None, created__lte=before(grace))

    def of_erased_requests(self) -> Self:
        """Request bodies of finished tasks whose captured request is gone: what a crash at the end has left behind."""
        return self.filter(kind="request", task__state__in=FINAL, task__request={})

    def kept_for(self, dialect: str, account: str) -> int:
        """How many bytes they are, of the tasks of one account on one mount."""
        mine = self.filter(task__dialect=dialect, task__account=account).exclude(kind="failure")
        return int(mine.aggregate(total=models.Sum("size"))["total"] or 0)

    def of_expired_tasks(self) -> Self:
        return self.filter(task__deletion_date__lte=Now())

    def of_forgotten_tasks(self) -> Self:
        return self.filter(task__purge_date__lte=Now())


class DeliveryQuerySet(models.QuerySet[Any]):
    def to(self, destination: Destination) -> Self:
        return self.filter(**dict(zip(DESTINATION_FIELDS, destination, strict=True)))

    def excluding(self, destinations: Iterable[Destination]) -> Self:
        rows = self
        for destination in destinations:
            rows = rows.exclude(**dict(zip(DESTINATION_FIELDS, destination, strict=True)))
        return rows

    def count_by_destination(self) -> dict[Destination, int]:
        """How many there are at each place."""
        rows = self.order_by().values_list(*DESTINATION_FIELDS).annotate(count=models.Count("pk"))
        return {(host, dialect, account): count for host, dialect, account, count in rows}

    def in_flight(self) -> Self:
        """Deliveries that a process is sending."""
        return self.filter(state="WAITING", lease_until__gt=Now())

    def claimable(self) -> Self:
        """Deliveries that it is time for, and that no process is sending."""
        unheld = models.Q(lease_until=None) | models.Q(lease_until__lte=Now())
        return self.filter(unheld, state="WAITING", due__lte=Now())


class AccountQuerySet(models.QuerySet[Any]):
    def hold(self, dialect: str, account: str) -> None:
        """Serialise what is done for one account, on every database: whoever has written this row may count and insert.

        A row that is there is only updated: MySQL's upsert locks the gap beside it too, where others want to insert.
        """
        if not self.filter(dialect=dialect, account=account).update(touched=Now()):
            _write(self.model(dialect=dialect, account=account, touched=Now()), ["dialect", "account"], "touched")


class WorkerQuerySet(models.QuerySet[Any]):
    def record_heartbeat(self, name: str) -> None:
        """Write down that ``name`` was heard of, just now."""
        _write(self.model(name=name, heard=Now()), ["name"], "heard")

    def seen_within(self, span: dt.timedelta) -> Self:
        return self.filter(heard__gt=before(span))

    def not_seen_for(self, span: dt.timedelta) -> Self:
        return self.filter(heard__lte=before(span))


def _write(row: models.Model, unique: list[str], field: str) -> None:
    """Insert ``row``, or set ``field`` where there is one like it, in one statement."""
    manager = type(row)._default_manager
    named = connections[router.db_for_write(type(row))].features.supports_update_conflicts_with_target
    manager.bulk_create([row], update_conflicts=True, update_fields=[field], unique_fields=unique if named else None)
