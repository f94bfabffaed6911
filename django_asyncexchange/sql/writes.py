"""Prepared writes: statements that write with every call, compiled once, and return what they wrote where they can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import connections, models, transaction
from django.db.models import NOT_PROVIDED

from . import compiler
from .compiler import RowsOf, Sql
from .queries import PreparedQuery, PreparedRows, PreparedValues, Slot, Statement

RETURNING = {"postgresql", "sqlite"}
"""Vendors whose INSERT and UPDATE return rows. MySQL's do not; MariaDB's lock whatever other rows RETURNING reads."""

T = TypeVar("T")


class PreparedUpdate:
    """An UPDATE of a queryset with slots."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], **changes: Any) -> None:
        self._rows, self._changes = rows, changes
        self.statement = Statement(lambda: rows().model, self.sql)

    def update(self, **values: Any) -> int:
        """Returns the number of rows changed."""
        with self.statement.written(self.statement.alias, values) as cursor:
            return int(cursor.rowcount)

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause without whose rows nothing is changed."""
        return compiler.update(_only_with(source, self._rows()), self._changes, alias)


class PreparedDelete:
    """A DELETE of a queryset with slots, of rows that no others refer to; sends no signals."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]]) -> None:
        self._rows = rows
        self.statement = Statement(lambda: rows().model, self.sql)

    def delete(self, **values: Any) -> int:
        """Returns the number of rows deleted."""
        with self.statement.written(self.statement.alias, values) as cursor:
            return int(cursor.rowcount)

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause without whose rows nothing is deleted."""
        return compiler.delete(_only_with(source, self._rows()), alias)


class UpdateReturning(Generic[T]):
    """An UPDATE of one row that gives the row as it is then: in one statement, or with a SELECT after it."""

    def __init__(self, update: PreparedUpdate, returning: PreparedRows[T]) -> None:
        self._update, self._returning = update, returning
        self.statement = Statement(lambda: update.statement.model, self.sql)

    def update(self, **values: Any) -> T | None:
        """The row; None if none was changed. ``values`` fill the slots of both."""
        alias = self.statement.alias
        if not can_return(alias):
            return self._returning.first(**values) if self._update.update(**values) else None
        with self.statement.written(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.read(row, alias)

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause without whose rows nothing is changed."""
        return self._returning.columns(alias).returning(self._update.sql(alias, source))

    def read(self, row: Sequence[Any], alias: str) -> T:
        return self._returning.read(row, alias)


class PreparedInsert:
    """An INSERT of an instance, without the signals of ``Model.save()``."""

    def __init__(self, model: type[models.Model], returning: PreparedValues | None = None, **given: Any) -> None:
        """``given``: expressions for columns that are not taken from the instance. ``returning``: what to learn of the
        new row; by default, the columns that the database fills in.
        """
        self._model, self._given = model, given
        self._returning = returning or PreparedValues(self._filled_in)
        self.statement = Statement(lambda: model, self.sql)

    def insert(self, instance: Any, using: str | None = None, **values: Any) -> dict[str, Any]:
        """Write ``instance`` and set on it what the database has filled in. Returns that, and what else is returned.

        On a database that returns nothing, only an automatic primary key is known afterwards. ``values`` fill slots of
        ``given`` and ``returning``.
        """
        alias = using or self.statement.alias
        meta: Any = self._model._meta
        with self.statement.written(alias, values | instance.__dict__) as cursor:
            if can_return(alias):
                return self.read(cursor.fetchone(), instance, alias)
            if instance.pk is None:
                instance.pk = connections[alias].ops.last_insert_id(cursor, meta.db_table, meta.pk.column)
        instance._state.adding, instance._state.db = False, alias
        return {}

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause, of one row; without that nothing is inserted."""
        statement = compiler.insert(self._model, self._values(), alias, source=source)
        return self._returning.columns(alias).returning(statement) if can_return(alias) else statement

    def read(self, row: Sequence[Any], instance: Any, alias: str) -> dict[str, Any]:
        """Set on ``instance``, which was written as this ``row``, what the database has filled in."""
        values = self._returning.columns(alias).values(row)
        self.fill(instance, values)
        instance._state.adding, instance._state.db = False, alias
        return values

    def fill(self, instance: Any, values: Mapping[str, Any]) -> None:
        """Set those of ``values`` on ``instance`` that are columns."""
        columns = {field.attname for field in self._model._meta.concrete_fields}
        for name in columns & values.keys():
            setattr(instance, name, values[name])

    def _values(self) -> dict[str, Any]:
        """An expression for each column that is written."""
        values: dict[str, Any] = {}
        for field in self._model._meta.concrete_fields:
            if field.attname in self._given:
                values[field.attname] = self._given[field.attname]
            elif field in self._defaulted():
                values[field.attname] = field.db_default
            elif not isinstance(field, models.AutoField):
                values[field.attname] = Slot(field.attname, field)
        return values

    def _filled_in(self) -> models.QuerySet[Any, Any]:
        automatic = [each for each in self._model._meta.concrete_fields if isinstance(each, models.AutoField)]
        return self._model._base_manager.values(*(field.attname for field in (*automatic, *self._defaulted())))

    def _defaulted(self) -> list[Any]:
        """The columns that are never set in Python. Those with a default in Python too have one in the database for
        rolling upgrades alone: for web servers of a release that does not know the column.
        """
        fields = self._model._meta.concrete_fields
        return [each for each in fields if each.db_default is not NOT_PROVIDED and not each.has_default()]


class WriteTogether:
    """One statement of PostgreSQL that writes a first row and, if it was written, others: common table expressions.

    It saves the round trips of a transaction.
    """

    def __init__(
        self,
        first: UpdateReturning[Any] | PreparedInsert,
        *others: PreparedDelete | PreparedInsert,
        unless: PreparedQuery | None = None,
        last_if: str = "",
    ) -> None:
        """``unless``: nothing is written if this query finds a row. ``last_if``: the last of ``others`` is written only
        if the first row has a value in this column.
        """
        self.first, self._unless = first, unless
        last = f"first WHERE {last_if} IS NOT NULL" if last_if else "first"
        sources = ["first"] * (len(others) - 1) + [last]
        self._parts = [
            Statement(lambda: first.statement.model, lambda alias: first.sql(alias, "free" if unless else ""))
        ]
        self._parts += [_part(write, source) for write, source in zip(others, sources, strict=False)]
        self._sql: dict[str, str] = {}
        """By alias."""

    def execute(self, values: Mapping[str, Any], *more: Mapping[str, Any]) -> Any:
        """The first row as the database returns it; None if it was not written. ``more``: the values of each other."""
        alias = self.first.statement.alias
        parts = [part.bound(alias, given) for part, given in zip(self._parts, (values, *more), strict=True)]
        if self._unless is not None:
            parts.insert(0, self._unless.statement.bound(alias, values))
        if alias not in self._sql:
            self._sql[alias] = self._together([sql for sql, _ in parts])
        with transaction.mark_for_rollback_on_error(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(self._sql[alias], [each for _, parameters in parts for each in parameters])
            return cursor.fetchone()

    def _together(self, statements: list[str]) -> str:
        free = [f"free AS (SELECT 1 WHERE NOT EXISTS ({statements.pop(0)}))"] if self._unless is not None else []
        first, *others = statements
        named = [f"first AS ({first})", *(f"other_{number} AS ({sql})" for number, sql in enumerate(others))]
        return f"WITH {', '.join([*free, *named])} SELECT * FROM first"


def _part(write: PreparedDelete | PreparedInsert, source: str) -> Statement:
    """``write`` within a statement that writes more, if ``source`` has a row."""
    return Statement(lambda: write.statement.model, lambda alias: write.sql(alias, source))


def _only_with(source: str, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    return rows.filter(RowsOf(source)) if source else rows


def can_write_together(alias: str) -> bool:
    """Whether ``WriteTogether`` works in the place of a transaction; within another one, only a savepoint does."""
    connection = connections[alias]
    return connection.vendor == "postgresql" and not connection.in_atomic_block


def can_return(alias: str) -> bool:
    """Whether INSERT and UPDATE return what they wrote; SQLite's do since 3.35."""
    connection = connections[alias]
    return connection.vendor in RETURNING and bool(connection.features.can_return_columns_from_insert)
