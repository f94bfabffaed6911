"""Querysets, and ``transition``, the one statement that changes a state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Self

from django.db import connections, models, router

from ..protocol.states import FINAL, UNFINISHED, State, sources
from ..sql.writes import PreparedUpdate
from .timestamps import Now, UTCDateTimeField

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Before every timestamp: ``sent__gt=EPOCH`` is a range of an index, which IS NOT NULL is not."""
UNSENT = models.Q(state=State.PENDING, sent=None)
"""Accepted, but not dispatched."""


Destination = tuple[str, str, str]
"""(host, dialect, account) of a delivery. One account's receiver does not block another account at the same host."""
DESTINATION_FIELDS = ("host", "task__dialect", "task__account")


def after(duration: dt.timedelta | models.Expression) -> models.Expression:
    """The database's time plus ``duration``."""
    return models.ExpressionWrapper(Now() + _as_expression(duration), output_field=UTCDateTimeField())


def before(duration: dt.timedelta | models.Expression) -> models.Expression:
    """The database's time minus ``duration``."""
    return models.ExpressionWrapper(Now() - _as_expression(duration), output_field=UTCDateTimeField())


def unindexed(condition: models.Q) -> models.Case:
    """Hide ``condition`` from the query planner, so that it uses the primary key or the intended index.

    With outdated statistics PostgreSQL takes an index on the state for as selective as the primary key, and reads all
    waiting tasks.
    """
    return models.Case(models.When(condition, then=models.Value(True)), default=models.Value(False))


class Notify(models.Func):
    """``pg_notify`` as an expression: notifies listeners of a channel on commit. NULL on other databases.

    In the RETURNING clause of a write it needs no statement of its own.
    """

    function = "pg_notify"
    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return "NULL", []

    as_mysql = as_sqlite


def _as_expression(duration: dt.timedelta | models.Expression) -> models.Expression:
    if isinstance(duration, models.Expression):
        return duration
    return models.Value(duration, output_field=models.DurationField())


class AsyncTaskQuerySet(models.QuerySet[Any]):
    def transition(self, target: State, *, expected_attempt: int | None = None, **changes: Any) -> int:
        """Move these tasks to the state ``target``. No other code writes a state.

        One conditional UPDATE: only from states that may precede ``target`` and, if given, only while
        ``expected_attempt`` is the current one. Returns the number of rows changed: 0 = another process was first.
        """
        return self._ready_for(target, expected_attempt).update(state=target, **changes)

    def prepared_transition(
        self, target: State, *, expected_attempt: models.Expression | None = None, **changes: Any
    ) -> PreparedUpdate:
        """``transition`` as a prepared statement; values that differ each time are slots."""
        rows = self._ready_for(target, expected_attempt)
        return PreparedUpdate(lambda: rows, state=target, **changes)

    def _ready_for(self, target: State, expected_attempt: Any) -> Self:
        may_leave = models.Q(state__in=sources(target))
        if expected_attempt is None:
            return self.filter(unindexed(may_leave))
        if target.is_final:  # a released attempt is over, even if the next has not started
            may_leave &= models.Q(state=State.PROCESSING) | models.Q(attempt=0)
        return self.filter(unindexed(may_leave), attempt=expected_attempt)

    def with_now(self) -> Self:
        """Annotate ``now``, the database's time."""
        return self.annotate(now=Now())

    def of_mount(self, dialect: str) -> Self:
        """Tasks of the mount ``dialect``."""
        return self.filter(dialect=dialect)

    def of_account(self, account: str) -> Self:
        return self.filter(account=account)

    def of_owner(self, user_pk: Any) -> Self:
        return self.filter(owner_id=user_pk)

    def within(self, window: dt.timedelta) -> Self:
        """Tasks created in the last ``window``."""
        return self.filter(created__gt=before(window))

    def overdue(self, limit: dt.timedelta | models.Expression) -> Self:
        """Pending tasks that have waited longer than ``limit`` and must not start any more."""
        return self.filter(state=State.PENDING, created__lt=before(limit))

    def ready(self, since: Any = EPOCH) -> Self:
        """Dispatched tasks that no worker has claimed, those that were dispatched first at the front.

        By the index ``asyncexchange_ready``. ``since``: only those dispatched then or later.
        """
        return self.filter(state=State.PENDING, sent__gte=since).order_by("sent")

    def waiting(self) -> Self:
        """Tasks that are due but not dispatched."""
        return self.due().filter(UNSENT)

    def waiting_of(self, dialect: Any, account: Any) -> Self:
        """``waiting`` tasks of one account. By the index ``asyncexchange_turns``, so that no other tasks are read."""
        mine = self.filter(dialect=dialect, account=account, finished=None, sent=None)
        return mine.due().filter(unindexed(models.Q(state=State.PENDING)))

    def dispatched_of(self, dialect: Any, account: Any) -> Self:
        """Dispatched, unfinished tasks of an account, by the same index."""
        return self.unfinished_of(dialect, account).filter(sent__gt=EPOCH)

    def unfinished_of(self, dialect: Any, account: Any) -> Self:
        """Unfinished tasks of an account, by the same index."""
        mine = self.filter(dialect=dialect, account=account, finished=None)
        return mine.filter(unindexed(models.Q(state__in=UNFINISHED)))

    def due(self) -> Self:
        """Tasks that need not wait before their next attempt."""
        return self.filter(models.Q(not_before=None) | models.Q(not_before__lte=Now()))

    def sent_before(self, age: dt.timedelta) -> Self:
        """Tasks that were dispatched longer than ``age`` ago and not claimed."""
        return self.filter(state=State.PENDING, sent__lt=before(age))

    def unfinished(self) -> Self:
        return self.filter(state__in=UNFINISHED)

    def finished(self) -> Self:
        return self.filter(state__in=FINAL)

    def keeping_result(self) -> Self:
        """Finished tasks before their deletion date, cancelled ones excluded."""
        answered = FINAL - {State.CANCEL}
        return self.filter(unindexed(models.Q(state__in=answered)), deletion_date__gt=Now())

    def expired(self) -> Self:
        """Tasks whose result is past its deletion date."""
        return self.filter(deletion_date__lte=Now())

    def with_cookies(self) -> Self:
        """Tasks whose response has cookies that nobody has taken."""
        return self.exclude(response_cookies="")

    def purgeable(self) -> Self:
        """Tasks past their purge date."""
        return self.filter(purge_date__lte=Now())

    def newest_first(self) -> Self:
        return self.order_by("-created", "id")


class BodyQuerySet(models.QuerySet[Any]):
    def abandoned(self, grace: dt.timedelta) -> Self:
        """Bodies that were reserved longer than ``grace`` ago and never attached to a task."""
        return self.filter(task=None, created__lte=before(grace))

    def of_erased_requests(self) -> Self:
        """Request bodies of finished tasks whose request was erased: a crash left them behind."""
        return self.filter(kind="request", task__state__in=FINAL, task__request={})

    def total_size(self, dialect: str, account: str) -> int:
        """Total size in bytes of one account's bodies on one mount, tracebacks excluded."""
        mine = self.filter(task__dialect=dialect, task__account=account).exclude(kind="failure")
        return int(mine.aggregate(total=models.Sum("size"))["total"] or 0)

    def of_expired_tasks(self) -> Self:
        return self.filter(task__deletion_date__lte=Now())

    def of_purgeable_tasks(self) -> Self:
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
        """Number of deliveries by destination."""
        rows = self.order_by().values_list(*DESTINATION_FIELDS).annotate(count=models.Count("pk"))
        return {(host, dialect, account): count for host, dialect, account, count in rows}

    def in_flight(self) -> Self:
        """Deliveries that a process is sending."""
        return self.filter(state="WAITING", lease_until__gt=Now())

    def claimable(self) -> Self:
        """Deliveries that are due and that no process is sending."""
        free = models.Q(lease_until=None) | models.Q(lease_until__lte=Now())
        return self.filter(free, state="WAITING", due__lte=Now())


class AccountQuerySet(models.QuerySet[Any]):
    def lock(self, dialect: str, account: str) -> None:
        """Lock one account on every database until the transaction ends, to count its tasks and insert another.

        An existing row is only updated: MySQL's upsert also locks the gap next to it, where others want to insert.
        """
        if not self.filter(dialect=dialect, account=account).update(touched=Now()):
            _upsert(self.model(dialect=dialect, account=account, touched=Now()), ["dialect", "account"], "touched")


class WorkerQuerySet(models.QuerySet[Any]):
    def record_heartbeat(self, name: str) -> None:
        """Record a heartbeat of ``name``."""
        _upsert(self.model(name=name, heard=Now()), ["name"], "heard")

    def seen_within(self, span: dt.timedelta) -> Self:
        return self.filter(heard__gt=before(span))

    def not_seen_for(self, span: dt.timedelta) -> Self:
        return self.filter(heard__lte=before(span))


def _upsert(row: models.Model, unique: list[str], field: str) -> None:
    """Insert ``row``, or update ``field`` of the existing row, in one statement."""
    manager = type(row)._default_manager
    named = connections[router.db_for_write(type(row))].features.supports_update_conflicts_with_target
    manager.bulk_create([row], update_conflicts=True, update_fields=[field], unique_fields=unique if named else None)
