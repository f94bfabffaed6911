"""The moves that every task makes, prepared: who is moved, and the values that differ, come with each."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Iterable
from typing import Any

from django.db import connections, models, router
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Cast
from django.db.models.lookups import IsNull, LessThan

from ..models import AsyncTask, Body, Webhook
from ..models.querysets import UNSENT, Told, after, also, before
from ..models.timestamps import Now
from ..protocol.states import State
from ..sql.queries import Counted, Prepared, PreparedRows, Same, Slot
from ..sql.writes import PreparedChain, PreparedChange, PreparedDelete, PreparedInsert, PreparedUpdate, tells

FINISHED = "asyncexchange_finished"
"""The channel on which PostgreSQL tells that a task has ended: its id."""

SMALL = 64 * 1024
"""Bytes of a body that are read along with its task, at most."""

LEASE, LIMIT, KEPT, KNOWN = (Slot(name, models.DurationField()) for name in ("lease", "limit", "kept", "known"))
MINE = Slot("mine", models.PositiveIntegerField())


def slot(name: str) -> Slot:
    """For a value of this column."""
    return Slot(name, AsyncTask._meta.get_field(name))  # type: ignore[arg-type]


RUNNING = Prepared(lambda: _of_id().filter(also(Q(state=State.PROCESSING)), attempt=MINE))
"""Attempt ``mine`` of ``id``, as long as it is the current one."""


AT_WORK = Prepared(
    lambda: AsyncTask.objects.at_work_of(slot("dialect"), slot("account")), order=("-finished", "-sent", "-created")
)
"""What the workers have been given of an account's tasks; little at a time, and always the last. In the order of their
index, because PostgreSQL remembers then what it has seen there of rows that have changed since.
"""
SEND = PreparedUpdate(lambda: _of_id().due().filter(also(UNSENT)), sent=Now())
"""Of ``id``, once: whoever sets ``sent`` sends."""


def _requests() -> Any:
    return Body.objects.filter(task_id=Slot("task", models.UUIDField()), kind=Body.REQUEST)


def _of_id() -> Any:
    return AsyncTask.objects.filter(pk=slot("id"))


def _webhooks(dialect: Any, account: Any) -> Any:
    return Webhook.objects.filter(dialect=dialect, account=account, enabled=True)


def _listeners() -> Exists:
    return Exists(_webhooks(OuterRef("dialect"), OuterRef("account")))


def _with_listeners() -> Any:
    return _of_id().annotate(is_heard=_listeners())


def _unheard() -> Any:
    return _of_id().annotate(is_heard=Value(False))


def _with_request(rows: Any) -> Any:
    request = Body.objects.filter(task=OuterRef("pk"), kind=Body.REQUEST)
    small = request.filter(name="", size__lte=SMALL)
    content, is_sealed = (Subquery(small.values(name)) for name in ("content", "is_sealed"))
    return rows.with_now().annotate(has_request=Exists(request), content=content, is_content_sealed=is_sealed)


def _with_knock(rows: Any) -> Any:
    others = _oldest(OuterRef("dialect"), OuterRef("account")).exclude(pk=OuterRef("pk")).values("pk")[:1]
    knock = Told(Value(FINISHED), Cast("id", models.TextField()))
    return rows.annotate(knock=knock, is_awaited=IsNull(Subquery(others), False))


def _acceptance(rows: Any) -> Any:
    return rows.values("created", "sent", "is_heard")


def _turn() -> Case:
    """When a task is sent that is accepted: now, unless ``share`` of its account are at work."""
    return Case(When(_has_turn(), then=Now()))


def _has_turn() -> LessThan:
    return LessThan(Counted(AT_WORK, "share", "at_work"), Slot("share", models.IntegerField()))


ACCEPTED = PreparedRows(lambda: _acceptance(_with_listeners()))
"""What is told of ``id`` when it was submitted just now."""
NEW: dict[str, Any] = {
    "state": Same(State.PENDING.value),
    "attempt": Same(0),
    **dict.fromkeys(("reason", "reason_phrase", "progress_message", "worker"), Same("")),
    **dict.fromkeys(("status_code", "progress_done", "progress_total", "lease_until", "not_before"), Value(None)),
    **dict.fromkeys(("started", "finished", "deletion_date", "purge_date"), Value(None)),
}
"""What is so of each new task."""
ACCEPT = PreparedInsert(AsyncTask, ACCEPTED, sent=_turn(), **NEW)
ACCEPT_UNHEARD = PreparedInsert(AsyncTask, PreparedRows(lambda: _acceptance(_unheard())), sent=_turn(), **NEW)
LISTENERS = Prepared(lambda: _webhooks(slot("dialect"), slot("account")))
"""The webhooks of an account."""
KEEP = PreparedInsert(Body)
"""Bytes that belong to a task, where they stay in the database."""
REQUEST = PreparedRows(_requests)
"""The body of the captured call of ``task``."""
ERASE = PreparedDelete(lambda: _requests().filter(name=""))
"""That body, where it is in the database."""
TO_START = PreparedRows(lambda: _with_request(_with_listeners().filter(also(Q(state=State.PENDING)))))
"""``id`` with all that its run has to know beforehand, as long as it waits."""
STARTED = PreparedRows(lambda: _with_request(_unheard()))
"""The same of a task that runs, and that nobody hears of."""
CHANGED = PreparedRows(_with_listeners)
"""``id`` with all that is told of a change."""
ENDED = PreparedRows(lambda: _with_knock(_with_listeners()))
"""The same, and whoever waits for the end of the task is told of it."""
ENDED_UNHEARD = PreparedRows(lambda: _with_knock(_unheard()))
"""The same of a task that nobody hears of."""


def accept(task: AsyncTask, share: int) -> None:
    """Write a task as it is submitted: sent now, unless ``share`` of its account are at work; then it waits for its
    turn. Tells when it was ``created`` and ``sent``, and whether it ``is_heard``.
    """
    alias = router.db_for_write(AsyncTask)
    if tells(alias):
        ACCEPT.insert(task, share=share)
    else:
        ACCEPT.insert(task, share=share, at_work=AT_WORK.count(dialect=task.dialect, account=task.account))
        ACCEPTED.fill(task, alias, id=task.pk)


@functools.cache
def accept_at_once(*others: PreparedInsert, is_sent: bool) -> PreparedChain:
    """The same with what belongs to it, unless somebody hears of it. ``is_sent``: the last is its message, which is not
    written where it has to wait for its turn.
    """
    return PreparedChain(ACCEPT_UNHEARD, *others, unless=LISTENERS, last_if="sent" if is_sent else "")


@functools.cache
def waiting(share: int) -> PreparedRows:
    """The oldest ``share`` tasks of an account that wait for their turn; each knows how many are ``at_work``."""
    rows = _oldest(slot("dialect"), slot("account")).only("pk")
    return PreparedRows(lambda: rows.annotate(at_work=Counted(AT_WORK, "share"))[:share])


def _oldest(dialect: Any, account: Any) -> Any:
    """In the order of the index ``asyncexchange_turns``: no more is read than is wanted, however many there are."""
    return AsyncTask.objects.waiting_of(dialect, account).order_by("finished", "sent", "created")


@functools.cache
def start_at_once(leases: tuple[tuple[str, dt.timedelta], ...]) -> PreparedChange:
    """Of ``id``, where it came through one of these mounts, and nobody hears of it. Gives the task as ``STARTED``."""
    lease = Case(*(When(dialect=name, then=Value(lease)) for name, lease in leases), output_field=LEASE.output_field)
    return _starting(_of_id().filter(also(Q(dialect__in=[name for name, _ in leases]))).due(), lease)


@functools.cache
def start_next(lease: dt.timedelta) -> PreparedChange:
    """Of an account, the oldest that waits for its turn, if fewer than ``share`` are at work and nobody hears of it."""
    oldest = _oldest(slot("dialect"), slot("account")).values("pk")[:1]
    rows = AsyncTask.objects.filter(_has_turn(), also(UNSENT), pk=Subquery(oldest)).due()
    return _starting(rows, lease, sent=Now())


def _starting(rows: Any, lease: Any, **more: Any) -> PreparedChange:
    changes = {"attempt": F("attempt") + 1, "started": Now(), "worker": slot("worker"), "lease_until": after(lease)}
    return PreparedChange(rows.filter(~_listeners()).prepared_move(State.PROCESSING, **changes, **more), STARTED)


@functools.cache
def start(*, is_limited: bool) -> PreparedUpdate:
    """Of ``id`` and attempt ``mine``, for ``lease``; unless it waits longer than ``limit``, where it is limited."""
    rows = _of_id().due()
    if is_limited:
        rows = rows.filter(created__gte=before(LIMIT))
    changes = {"attempt": slot("attempt"), "started": Now(), "worker": slot("worker"), "lease_until": after(LEASE)}
    return rows.prepared_move(State.PROCESSING, mine=MINE, **changes)  # type: ignore[no-any-return]


@functools.cache
def end(target: State, names: tuple[str, ...], *, is_mine: bool, is_overdue: bool) -> PreparedChange:
    """Of ``id`` and, where it matters, attempt ``mine``, or if it waits longer than ``limit``; with columns ``names``.

    Its answer is ``kept`` so long, and itself ``known``. Gives the task as ``ENDED``.
    """
    rows = _of_id()
    if is_overdue:
        rows = rows.overdue(LIMIT)
    return PreparedChange(_ending(rows, target, names, mine=MINE if is_mine else None), ENDED)


@functools.cache
def end_at_once(target: State, names: tuple[str, ...], *, has_request: bool, has_answer: bool) -> PreparedChain:
    """The same of ``id`` and attempt ``mine``, unless somebody hears of it; with what goes and what comes in the
    database at its end. Gives the task as ``ENDED_UNHEARD``.
    """
    change = PreparedChange(_ending(_of_id().filter(~_listeners()), target, names, mine=MINE), ENDED_UNHEARD)
    return PreparedChain(change, *[ERASE] * has_request, *[KEEP] * has_answer)


def _ending(rows: Any, target: State, names: tuple[str, ...], *, mine: Slot | None) -> PreparedUpdate:
    dates = {"finished": Now(), "deletion_date": after(KEPT), "purge_date": after(KNOWN)}
    values = dates | {name: slot(name) for name in names}
    return rows.prepared_move(target, mine=mine, **values)  # type: ignore[no-any-return]


def unlocked(keys: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Those of these tasks that nobody else holds, held by this transaction: one that hangs does not stop the others.

    Where a database cannot tell, all of them.
    """
    skips = connections[router.db_for_write(AsyncTask)].features.has_select_for_update_skip_locked
    rows: Any = AsyncTask.objects.select_for_update(skip_locked=skips).filter(pk__in=keys)
    return list(rows.order_by("pk").values_list("pk", flat=True))
