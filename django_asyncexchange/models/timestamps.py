"""Datetimes that are aware and in UTC, in Python and in the database, whatever ``USE_TZ`` and ``TIME_ZONE`` are.

With ``USE_TZ = False`` Django stores local time, rejects aware datetimes on SQLite and MySQL, and returns naive ones.
The database's own clock is in the session's time zone on MySQL, and in UTC on SQLite.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

from django.db import models
from django.db.models import functions
from django.db.models.expressions import DatabaseDefault
from django.utils import timezone


class UTCDateTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A DateTimeField with aware values; for migrations it is a plain DateTimeField.

    Naive values are interpreted in ``TIME_ZONE``. A ``db_default`` is written by the INSERT itself, as ``Now``.
    """

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        return Now() if isinstance(value, DatabaseDefault) else value

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if isinstance(value, dt.datetime) and timezone.is_naive(value):
            return timezone.make_aware(value, timezone.get_default_timezone())
        return value

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = value if prepared else self.get_prep_value(value)
        if isinstance(value, dt.datetime) and connection.vendor != "postgresql":  # the column has no time zone
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return connection.ops.adapt_datetimefield_value(value)

    def from_db_value(self, value: dt.datetime | None, expression: Any, connection: Any) -> dt.datetime | None:
        if value is None:
            return None
        if connection.vendor != "postgresql":
            return value.replace(tzinfo=dt.UTC)
        if value.tzinfo is None:
            value = value.replace(tzinfo=zoneinfo.ZoneInfo(connection.timezone_name))
        return value.astimezone(dt.UTC)


class Now(functions.Now):
    """The database's time in UTC. On MySQL not in the session's time zone, which may have daylight saving time."""

    output_field = UTCDateTimeField()

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def utc_now() -> dt.datetime:
    """This process's time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)
