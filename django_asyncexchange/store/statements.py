"""The prepared statements of a task's life. ``transitions`` chooses those that the database supports."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Cast
from django.db.models.lookups import GreaterThan, IsNull, LessThan

from ..models import AsyncTask, Body, Webhook
from ..models.querysets import UNSENT, Notify, after, before, unindexed
from ..models.timestamps import Now
from ..protocol.states import State
from ..protocol.values import value
from ..sql.queries import CountUpTo, PreparedQuery, PreparedRows, PreparedValues, Slot
from ..sql.writes import PreparedDelete, PreparedInsert, PreparedUpdate, UpdateReturning, WriteTogether
from .values import Claim, Ended

FINISHED = "asyncexchange_finished"
"""PostgreSQL NOTIFY channel; the payload is the id of a finished task."""

SMALL_BODY = 64 * 1024
"""Request bodies up to this size, in bytes, are read in the statement that claims their task."""
BATCH = 10
"""Tasks that are read at a time, to claim or to dispatch the first that is free."""


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
SHARE = Slot("share", models.IntegerField())


def _dispatched(**besides: Any) -> PreparedQuery:
    """Dispatched, unfinished tasks of an account, without ``besides``: few, and always the last of their index.

    Read in index order, so that PostgreSQL can mark dead entries and skip them next time.
    """
    order = ("-finished", "-sent", "-created")
    return PreparedQuery(
        lambda: AsyncTask.objects.dispatched_of(slot("dialect"), slot("account")).exclude(**besides), order=order
    )


DISPATCHED, OTHERS_DISPATCHED = _dispatched(), _dispatched(pk=slot("id"))


def _skipping_locked(rows: Any) -> Subquery:
    """The key of the first of ``rows`` that no other transaction has locked."""
    return Subquery(rows.select_for_update(skip_locked=True).values("pk")[:1])


# Accept ---------------------------------------------------------------------------------------------------------------

NEW: dict[str, Any] = {
    "state": Value(State.PENDING.value),
    "attempt": Value(0),
    **dict.fromkeys(("reason", "reason_phrase", "response_cookies", "progress_message", "worker"), Value("")),
    **dict.fromkeys(("status_code", "progress_done", "progress_total", "lease_until", "not_before"), Value(None)),
    **dict.fromkeys(("started", "finished", "deletion_date", "purge_date"), Value(None)),
    "sent": Case(When(LessThan(CountUpTo(DISPATCHED, "share", "dispatched"), SHARE), then=Now())),
}
"""Column values of every new task. It is dispatched if fewer than ``share`` of its account are."""


def _accepted(has_webhooks: Any) -> PreparedValues:
    channel = Slot("channel", models.TextField())
    is_heard = GreaterThan(channel, Value("")) & IsNull(F("sent"), False)
    notified = Case(When(is_heard, then=Notify(channel, Value(""))))
    return PreparedValues(
        lambda: (
            _of_id()
            .annotate(has_webhooks=has_webhooks, notified=notified)
            .values("created", "sent", "has_webhooks", "notified")
        )
    )


ACCEPTED = _accepted(_has_webhooks())
"""What the database has set on task ``id`` when it was inserted. Notifies the workers that listen to ``channel``."""
ACCEPT = PreparedInsert(AsyncTask, ACCEPTED, **NEW)
ACCEPT_WITHOUT_WEBHOOKS = PreparedInsert(AsyncTask, _accepted(Value(False)), **NEW)
WEBHOOKS = PreparedQuery(lambda: _webhooks(slot("dialect"), slot("account")))
"""The enabled webhooks of an account."""
INSERT_BODY = PreparedInsert(Body)


@functools.cache
def new_body() -> dict[str, Any]:
    """Column values of a new body, to be completed."""
    return {field.attname: getattr(Body(), field.attname) for field in Body._meta.concrete_fields}


REQUEST_BODY = PreparedRows[Body](_request_bodies)
"""The request body of ``task``."""
DELETE_BODY = PreparedDelete(lambda: _request_bodies().filter(name=""))
"""Delete the request body of ``task``, if it is in the database."""


@functools.cache
def accept_together(*, has_body: bool) -> WriteTogether:
    """``ACCEPT`` for an account without webhooks, in one statement with the body."""
    return WriteTogether(ACCEPT_WITHOUT_WEBHOOKS, *[INSERT_BODY] * has_body, unless=WEBHOOKS)


# Dispatch -------------------------------------------------------------------------------------------------------------

_HAS_ROOM = LessThan(CountUpTo(OTHERS_DISPATCHED, "share"), SHARE)
DISPATCHABLE = PreparedRows(
    lambda: _oldest(slot("dialect"), slot("account")).filter(_HAS_ROOM).only("pk")[:BATCH], into=lambda task: task.pk
)
"""The oldest waiting tasks of an account, if fewer than ``share`` are dispatched, ``id`` not counted."""
MARK_SENT = PreparedUpdate(lambda: _of_id().due().filter(unindexed(UNSENT)), sent=Now())
"""Mark ``id`` as dispatched, once."""
DISPATCH_NEXT = UpdateReturning(
    PreparedUpdate(
        lambda: AsyncTask.objects.filter(
            _HAS_ROOM, unindexed(UNSENT), pk=_skipping_locked(_oldest(slot("dialect"), slot("account")))
        ),
        sent=Now(),
    ),
    PreparedRows(lambda: _of_id().only("pk"), into=lambda task: task.pk),
)
"""Mark the first of ``DISPATCHABLE`` that no other transaction has locked."""


# Claim ----------------------------------------------------------------------------------------------------------------

READY = PreparedRows(lambda: AsyncTask.objects.ready(slot("sent")).only("pk")[:BATCH], into=lambda task: task.pk)
"""The ready tasks that have waited longest, of those dispatched at ``sent`` or later."""
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
    return _claim(_of_id().due(), terms)


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
def claim_next(terms: Sequence[Terms]) -> UpdateReturning[Claim]:
    """The same for the first of ``READY`` that no other transaction has locked."""
    return _claim(AsyncTask.objects.filter(pk=_skipping_locked(AsyncTask.objects.ready(slot("sent")))), terms)


def _claim(rows: Any, terms: Sequence[Terms]) -> UpdateReturning[Claim]:
    leases = [When(dialect=each.dialect, then=Value(each.lease)) for each in terms]
    lease: Any = Case(*leases, output_field=LEASE.output_field)
    if len({each.lease for each in terms}) == 1:
        lease = terms[0].lease
    changes = {"attempt": F("attempt") + 1, "started": Now(), "worker": slot("worker"), "lease_until": after(lease)}
    mine = rows.filter(~_has_webhooks())
    if any(each.queue_limit is not None for each in terms):
        mine = mine.filter(unindexed(_is_claimable(terms)))
    return UpdateReturning(mine.prepared_transition(State.PROCESSING, **changes), CLAIMED)


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

DATES = ("finished", "deletion_date", "purge_date")
"""Columns that the database sets when a task ends."""


def _ended(*columns: str, **found: Any) -> PreparedRows[Ended]:
    """Task ``id`` after its end, with ``columns`` only or, without any, with all. Notifies clients that wait for it
    (``Prefer: wait``).
    """

    def rows() -> Any:
        task = _of_id().only(*columns) if columns else _of_id()
        return task.annotate(notified=Notify(Value(FINISHED), Cast("id", models.TextField())), **found)

    return PreparedRows(rows, into=lambda task, notified, **found: Ended(task=task, **found))


def _others_wait() -> IsNull:
    others = _oldest(OuterRef("dialect"), OuterRef("account")).exclude(pk=OuterRef("pk"))
    return IsNull(Subquery(others.values("pk")[:1]), False)


ENDED = _ended(has_webhooks=_has_webhooks(), others_wait=_others_wait())
ENDED_TOGETHER = _ended("pk", *DATES)
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
def end_together(
    state: State,
    names: tuple[str, ...],
    *,
    deletes_body: bool,
    has_result: bool,
    terms: Sequence[Terms] | None,
) -> WriteTogether:
    """In one statement: end ``expected_attempt`` of ``id``, if its account has no webhooks, delete its request body,
    insert its result, dispatch the next task of its account and, on ``terms``, claim the next ready task.
    """
    update = _end(_of_id().filter(~_has_webhooks()), state, names, EXPECTED_ATTEMPT)
    others: list[Any] = [*[DELETE_BODY] * deletes_body, *[INSERT_BODY] * has_result, DISPATCH_NEXT]
    if terms is not None:
        others.append(claim_next(terms))
    return WriteTogether(UpdateReturning(update, ENDED_TOGETHER), *others)


def _end(rows: Any, state: State, names: tuple[str, ...], expected_attempt: Slot | None) -> PreparedUpdate:
    dates = {"finished": Now(), "deletion_date": after(RETENTION), "purge_date": after(WINDOW)}
    values = dates | {name: slot(name) for name in names}
    update: PreparedUpdate = rows.prepared_transition(state, expected_attempt=expected_attempt, **values)
    return update
