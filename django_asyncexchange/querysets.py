"""Questions about tasks that read as sentences, and the one statement that changes a state."""

from __future__ import annotations

import datetime as dt
from typing import Any, Self

from django.db import models
from django.db.models.functions import Now

from .states import FINAL, UNFINISHED, State, sources


def after(duration: dt.timedelta) -> models.Expression:
    """Database time plus ``duration``."""
    return models.ExpressionWrapper(
        Now() + models.Value(duration, output_field=models.DurationField()), output_field=models.DateTimeField()
    )


class AsyncTaskQuerySet(models.QuerySet[Any]):
    def move(self, target: State, *, mine: int | None = None, **changes: Any) -> int:
        """Bring these tasks into ``target``: the only place where a state is written.

        One conditional UPDATE: only from a state that may lead there, and, where ``mine`` is given, only if that
        attempt is still the current one. Returns the number of rows changed: 1 = it is yours, 0 = somebody was first.
        """
        rows = self.filter(state__in=sources(target))
        if mine is not None:
            rows = rows.filter(attempt=mine)
        return rows.update(state=target, **changes)

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

    def of_nobody(self) -> Self:
        """Tasks submitted without an identity; those of a deleted user are not among them."""
        return self.filter(owner=None, auth_backend="")

    def within(self, window: dt.timedelta) -> Self:
        """Tasks created in the last ``window``."""
        return self.filter(created__gt=after(-window))

    def overdue(self, limit: dt.timedelta) -> Self:
        """Tasks that have waited longer than ``limit`` and must not start any more."""
        return self.filter(state=State.PENDING, created__lt=after(-limit))

    def waiting(self) -> Self:
        """Tasks that wait for their account's turn: accepted, not yet sent to the workers."""
        return self.filter(state=State.PENDING, sent=None)

    def begun_before(self, age: dt.timedelta) -> Self:
        """Tasks whose current attempt began longer than ``age`` ago."""
        return self.filter(started__lt=after(-age))

    def sent_before(self, age: dt.timedelta) -> Self:
        """Tasks that were sent to the workers longer than ``age`` ago, and that nobody has claimed."""
        return self.filter(state=State.PENDING, sent__lt=after(-age))

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
        return self.filter(task=None, created__lte=after(-grace))

    def of_expired_tasks(self) -> Self:
        return self.filter(task__deletion_date__lte=Now())

    def of_forgotten_tasks(self) -> Self:
        return self.filter(task__purge_date__lte=Now())
