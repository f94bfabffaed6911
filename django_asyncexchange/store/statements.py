"""The prepared statements of a task's life. ``transitions`` chooses those that the database supports."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Cast
from django.db.models.lookups import IsNull, LessThan

from ..models import AsyncTask, Body, Webhook
from ..models.querysets import UNSENT, Notify, after, before, unindexed
from ..models.timestamps import Now
from ..protocol.states import State
from ..protocol.values import value
from ..sql.queries import CountUpTo, Literal, PreparedQuery, PreparedRows, PreparedValues, Slot
from ..sql.writes import PreparedDelete, PreparedInsert, PreparedUpdate, UpdateReturning, WriteTogether
from .values import Claim, Ended

FINISHED = "asyncexchange_finished"
"""PostgreSQL NOTIFY channel; the payload is the id of a finished task."""

SMALL_BODY = 64 * 1024
"""Request bodies up to this size, in bytes, are read in the statement that claims their task."""


@value
class Terms:
    """Conditions under which tasks of a mount are claimed."""

    dialect: str
    """Empty for tasks of removed mounts."""
    lease: dt.timedelta
    queue_limit: dt.timedelta | None
    """A task that has waited longer is not claimed."""


def slot(name: str) -> Slot:
    """A slot for a value of the task column ``name``."""
    return Slot(name, AsyncTask._meta.get_field(name))  # type: ignore[arg-type]


LEASE, QUEUE_LIMIT, RETENTION, WINDOW = (
    Slot(name, models.DurationField()) for name in ("lease", "queue_limit", "retention", "window")
)
EXPECTED_ATTEMPT = Slot("expected_attempt", models.PositiveIntegerField())


# Parts ----------------------------------------------------------------------------------------------------------------


def _of_id() -> Any:
    return AsyncTask.objects.filter(pk=slot("id"))


def _webhooks(dialect: Any, account: Any) -> Any:
    return Webhook.objects.filter(dialect=dialect, account=account, enabled=True)


def _has_webhooks() -> Exists:
    return Exists(_webhooks(OuterRef("dialect"), OuterRef("account")))


def _request_bodies() -> Any:
    return Body.objects.filter(task_id=Slot("task", models.UUIDField()), kind=Body.REQUEST)


def _with_body(rows: Any) -> Any:
    """``rows``, annotated with their small request bodies."""
    request = Body.objects.filter(task=OuterRef("pk"), kind=Body.REQUEST)
    small = request.filter(name="", size__lte=SMALL_BODY)
    content, is_sealed = (Subquery(small.values(name)) for name in ("content", "is_sealed"))
    return rows.annotate(has_body=Exists(request), content=content, is_sealed=is_sealed)


def _oldest(dialect: Any, account: Any) -> Any:
    """Waiting tasks in the order of the index ``asyncexchange_turns``, so that a LIMIT reads only its first entries."""
    return AsyncTask.objects.waiting_of(dialect, account).order_by("finished", "sent", "created")


READ = PreparedRows[AsyncTask](lambda: _of_id().filter(dialect=slot("dialect")).with_now())
"""Task ``id`` of a mount, with the database's time, for polls."""
DISPATCHED = PreparedQuery(
    lambda: AsyncTask.objects.dispatched_of(slot("dialect"), slot("account")), order=("-finished", "-sent", "-created")
)
"""Dispatched, unfinished tasks of an account: few, and always the last of their index. Read in index order, so that
PostgreSQL can mark dead entries and skip them next time.
"""


def _has_room() -> LessThan:
    """Condition: fewer than ``share`` tasks of the account are dispatched."""
    return LessThan(CountUpTo(DISPATCHED, "share", "dispatched"), Slot("share", models.IntegerField()))


# Accept ---------------------------------------------------------------------------------------------------------------

NEW: dict[str, Any] = {
    "state": Literal(State.PENDING.value),
    "attempt": Literal(0),
    **dict.fromkeys(("reason", "reason_phrase", "progress_message", "worker"), Literal("")),
    **dict.fromkeys(("status_code", "progress_done", "progress_total", "lease_until", "not_before"), Value(None)),
    **dict.fromkeys(("started", "finished", "deletion_date", "purge_date"), Value(None)),
    "sent": Case(When(_has_room(), then=Now())),
}
"""Column values of every new task."""


def _accepted(has_webhooks: Any) -> PreparedValues:
    return PreparedValues(
        lambda: _of_id().annotate(has_webhooks=has_webhooks).values("created", "sent", "has_webhooks")
    )


ACCEPTED = _accepted(_has_webhooks())
"""What the database has set on task ``id`` when it was inserted."""
ACCEPT = PreparedInsert(AsyncTask, ACCEPTED, **NEW)
"""Insert a task, marked as sent if fewer than ``share`` tasks of its account are dispatched."""
ACCEPT_WITHOUT_WEBHOOKS = PreparedInsert(AsyncTask, _accepted(Value(False)), **NEW)
WEBHOOKS = PreparedQuery(lambda: _webhooks(slot("dialect"), slot("account")))
"""The enabled webhooks of an account."""
INSERT_BODY = PreparedInsert(Body)
REQUEST_BODY = PreparedRows[Body](_request_bodies)
"""The request body of ``task``."""
DELETE_BODY = PreparedDelete(lambda: _request_bodies().filter(name=""))
"""Delete the request body of ``task``, if it is in the database."""


@functools.cache
def accept_together(*others: PreparedInsert, has_message: bool) -> WriteTogether:
    """``ACCEPT`` for an account without webhooks, in one statement with the body and the queue message, which comes
    last.
    """
    return WriteTogether(ACCEPT_WITHOUT_WEBHOOKS, *others, unless=WEBHOOKS, last_if="sent" if has_message else "")


# Dispatch -------------------------------------------------------------------------------------------------------------

MARK_SENT = PreparedUpdate(lambda: _of_id().due().filter(unindexed(UNSENT)), sent=Now())
"""Mark ``id`` as sent, once: the process that sets ``sent`` sends the message."""


@functools.cache
def waiting(share: int) -> PreparedRows[tuple[Any, int]]:
    """The oldest ``share`` waiting tasks of an account, each with the number of the account's dispatched tasks."""
    rows = _oldest(slot("dialect"), slot("account")).only("pk")
    return PreparedRows(
        lambda: rows.annotate(dispatched=CountUpTo(DISPATCHED, "share"))[:share],
        into=lambda task, dispatched: (task.pk, dispatched),
    )


# Claim ----------------------------------------------------------------------------------------------------------------

TO_CLAIM = PreparedRows(
    lambda: _with_body(_of_id().filter(unindexed(Q(state=State.PENDING)))).annotate(
        has_webhooks=_has_webhooks(), now=Now()
    ),
    into=lambda task, now, **found: (Claim(task=task, **found), now),
)
"""(claim of ``id``, the database's time), if ``id`` is pending."""
CLAIMED = PreparedRows(
    lambda: _with_body(_of_id()), into=lambda task, **found: Claim(task=task, has_webhooks=False, **found)
)


@functools.cache
def claim(terms: Sequence[Terms]) -> UpdateReturning[Claim]:
    """Claim ``id`` for ``worker``, if one of ``terms`` allows it and its account has no webhooks."""
    leases = [When(dialect=each.dialect, then=Value(each.lease)) for each in terms]
    lease = Case(*leases, output_field=LEASE.output_field)
    return _claim(_of_id().filter(unindexed(_is_claimable(terms))).due(), lease)


def _is_claimable(terms: Sequence[Terms]) -> Q:
    allowed = Q()
    unlimited = [each.dialect for each in terms if each.queue_limit is None]
    if unlimited:
        allowed |= Q(dialect__in=unlimited)
    for each in terms:
        if each.queue_limit is not None:
            allowed |= Q(dialect=each.dialect, created__gte=before(each.queue_limit))
    return allowed


@functools.cache
def claim_next(lease: dt.timedelta) -> UpdateReturning[Claim]:
    """Claim the oldest waiting task of an account without webhooks, if fewer than ``share`` are dispatched."""
    oldest = _oldest(slot("dialect"), slot("account")).values("pk")[:1]
    rows = AsyncTask.objects.filter(_has_room(), unindexed(UNSENT), pk=Subquery(oldest)).due()
    return _claim(rows, lease, sent=Now())


def _claim(rows: Any, lease: Any, **more: Any) -> UpdateReturning[Claim]:
    changes = {"attempt": F("attempt") + 1, "started": Now(), "worker": slot("worker"), "lease_until": after(lease)}
    update = rows.filter(~_has_webhooks()).prepared_transition(State.PROCESSING, **changes, **more)
    return UpdateReturning(update, CLAIMED)


@functools.cache
def claim_attempt(*, is_limited: bool) -> PreparedUpdate:
    """Claim ``id`` after ``expected_attempt``; ``is_limited``: only if it has not waited longer than
    ``queue_limit``.
    """
    rows = _of_id().due()
    if is_limited:
        rows = rows.filter(created__gte=before(QUEUE_LIMIT))
    changes = {"attempt": slot("attempt"), "started": Now(), "worker": slot("worker"), "lease_until": after(LEASE)}
    update: PreparedUpdate = rows.prepared_transition(State.PROCESSING, expected_attempt=EXPECTED_ATTEMPT, **changes)
    return update


RUNNING = PreparedQuery(lambda: _of_id().filter(unindexed(Q(state=State.PROCESSING)), attempt=EXPECTED_ATTEMPT))
"""Task ``id``, if ``expected_attempt`` is running."""


# End ------------------------------------------------------------------------------------------------------------------


def _ended(has_webhooks: Any) -> PreparedRows[Ended]:
    def rows() -> Any:
        others = _oldest(OuterRef("dialect"), OuterRef("account")).exclude(pk=OuterRef("pk")).values("pk")[:1]
        return _of_id().annotate(
            notified=Notify(Value(FINISHED), Cast("id", models.TextField())),
            has_webhooks=has_webhooks,
            others_wait=IsNull(Subquery(others), False),
        )

    return PreparedRows(rows, into=lambda task, notified, **found: Ended(task=task, **found))


ENDED, ENDED_WITHOUT_WEBHOOKS = _ended(_has_webhooks()), _ended(Value(False))
"""Task ``id`` after its end. Notifies clients that wait for it (``Prefer: wait``)."""
CHANGED = PreparedRows(
    lambda: _of_id().annotate(has_webhooks=_has_webhooks()), into=lambda task, has_webhooks: (task, has_webhooks)
)
"""(task ``id``, whether its account has webhooks)."""


@functools.cache
def end(state: State, names: tuple[str, ...], *, is_mine: bool, is_overdue: bool) -> UpdateReturning[Ended]:
    """End ``id`` and set the columns ``names``; keep its result for ``retention``, the task for ``window``.

    ``is_mine``: only attempt ``expected_attempt``. ``is_overdue``: only if it has waited longer than ``queue_limit``.
    """
    rows = _of_id().overdue(QUEUE_LIMIT) if is_overdue else _of_id()
    return UpdateReturning(_end(rows, state, names, EXPECTED_ATTEMPT if is_mine else None), ENDED)


@functools.cache
def end_together(state: State, names: tuple[str, ...], *, deletes_body: bool, has_result: bool) -> WriteTogether:
    """End ``expected_attempt`` of ``id``, if its account has no webhooks; delete its request body and insert its result
    in the same statement.
    """
    update = _end(_of_id().filter(~_has_webhooks()), state, names, EXPECTED_ATTEMPT)
    others: list[PreparedDelete | PreparedInsert] = [*[DELETE_BODY] * deletes_body, *[INSERT_BODY] * has_result]
    return WriteTogether(UpdateReturning(update, ENDED_WITHOUT_WEBHOOKS), *others)


def _end(rows: Any, state: State, names: tuple[str, ...], expected_attempt: Slot | None) -> PreparedUpdate:
    dates = {"finished": Now(), "deletion_date": after(RETENTION), "purge_date": after(WINDOW)}
    values = dates | {name: slot(name) for name in names}
    update: PreparedUpdate = rows.prepared_transition(state, expected_attempt=expected_attempt, **values)
    return update
