"""Moments, in the database and out of it: always instants in UTC, whatever ``USE_TZ`` and ``TIME_ZONE`` say.

With ``USE_TZ = False`` Django keeps local time, refuses aware datetimes on SQLite and MySQL, and gives naive ones back;
the time of the database itself is that of its session on MySQL, and UTC on SQLite.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

from django.db import models
from django.db.models import functions
from django.db.models.expressions import DatabaseDefault
from django.utils import timezone


class Moment(models.DateTimeField):  # type: ignore[type-arg]
    """A DateTimeField, also to migrations, whose values are aware. Naive ones are taken for the project's local time.

    What the database is to fill in (``db_default``) comes with the INSERT, by ``Now``.
    """

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        return Now() if isinstance(value, DatabaseDefault) else value

    def get_prep_value(self, value: Any) -> Any:
        moment = super().get_prep_value(value)
        if isinstance(moment, dt.datetime) and timezone.is_naive(moment):
            return timezone.make_aware(moment, timezone.get_default_timezone())
        return moment

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        moment = value if prepared else self.get_prep_value(value)
        if isinstance(moment, dt.datetime) and connection.vendor != "postgresql":  # a column without a zone
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        return connection.ops.adapt_datetimefield_value(moment)

    def from_db_value(self, value: dt.datetime | None, expression: Any, connection: Any) -> dt.datetime | None:
        if value is None:
            return None
        if connection.vendor != "postgresql":
            return value.replace(tzinfo=dt.UTC)
        if value.tzinfo is None:
            value = value.replace(tzinfo=zoneinfo.ZoneInfo(connection.timezone_name))
        return value.astimezone(dt.UTC)


class Now(functions.Now):
    """The time of the database; on MySQL too in UTC, not in the zone of its session, whose clocks are changed."""

    output_field = Moment()

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def utc() -> dt.datetime:
    """The time of this process."""
    return dt.datetime.now(dt.UTC)
