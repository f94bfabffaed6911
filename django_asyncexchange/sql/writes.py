"""Prepared writes: INSERT, UPDATE and DELETE, compiled once. They return the written row where the database can."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import connections, models, transaction
from django.db.models import NOT_PROVIDED

from . import compiler
from .compiler import RowsOf, Sql
from .queries import PreparedQuery, PreparedRows, PreparedValues, Slot, Statement

RETURNING_VENDORS = {"postgresql", "sqlite"}
"""Vendors with INSERT and UPDATE … RETURNING. MySQL has none; MariaDB locks the other rows that RETURNING reads."""

T = TypeVar("T")


class PreparedUpdate:
    """An UPDATE of a queryset with slots."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], **changes: Any) -> None:
        self._rows, self._changes = rows, changes
        self.statement = Statement(lambda: rows().model, self.sql)

    def update(self, **values: Any) -> int:
        """Execute; return the number of changed rows."""
        with self.statement.written(self.statement.alias, values) as cursor:
            return int(cursor.rowcount)

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause; nothing is changed if it has no rows."""
        return compiler.update(_only_with(source, self._rows()), self._changes, alias)


class PreparedDelete:
    """A DELETE of a queryset with slots. No signals and no cascade: only for rows that nothing refers to."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]]) -> None:
        self._rows = rows
        self.statement = Statement(lambda: rows().model, self.sql)

    def delete(self, **values: Any) -> int:
        """Execute; return the number of deleted rows."""
        with self.statement.written(self.statement.alias, values) as cursor:
            return int(cursor.rowcount)

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause; nothing is deleted if it has no rows."""
        return compiler.delete(_only_with(source, self._rows()), alias)


class UpdateReturning(Generic[T]):
    """An UPDATE of one row that returns the changed row: with RETURNING, or by a SELECT after it."""

    def __init__(self, update: PreparedUpdate, returning: PreparedRows[T]) -> None:
        self._update, self._returning = update, returning
        self.statement = Statement(lambda: update.statement.model, self.sql)

    def update(self, **values: Any) -> T | None:
        """Execute; return the changed row, or None. ``values`` fill the slots of both statements."""
        alias = self.statement.alias
        if not can_return(alias):
            return self._returning.first(**values) if self._update.update(**values) else None
        with self.statement.written(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.read(row, alias)

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause; nothing is changed if it has no rows."""
        return self._returning.columns(alias).returning(self._update.sql(alias, source))

    def read(self, row: Sequence[Any], alias: str) -> T:
        return self._returning.read(row, alias)

    def width(self, alias: str) -> int:
        """The number of columns that are returned. The first one is never NULL."""
        return len(self._returning.columns(alias))


class PreparedInsert:
    """An INSERT of an instance, without the signals of ``Model.save()``."""

    def __init__(self, model: type[models.Model], returning: PreparedValues | None = None, **given: Any) -> None:
        """``given``: expressions for columns whose value does not come from the instance. ``returning``: the values to
        read back; by default, the columns that the database generates.
        """
        self._model, self._given = model, given
        self._returning = returning or PreparedValues(self._generated_columns)
        self.statement = Statement(lambda: model, self.sql)

    def insert(self, instance: Any, using: str | None = None, **values: Any) -> dict[str, Any]:
        """Insert ``instance`` and set the generated columns on it; return the values that were read back.

        Without RETURNING that is nothing, and only an automatic primary key is set. ``values`` fill the slots of
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

    def write(self, values: Mapping[str, Any]) -> None:
        """Insert a row of ``values`` by ``attname``, and read nothing back."""
        with self.statement.written(self.statement.alias, values):
            pass

    def sql(self, alias: str, source: str = "") -> Sql:
        """``source``: a FROM clause with one row; nothing is inserted if it has none."""
        statement = compiler.insert(self._model, self._values(), alias, source=source)
        return self._returning.columns(alias).returning(statement) if can_return(alias) else statement

    def read(self, row: Sequence[Any], instance: Any, alias: str) -> dict[str, Any]:
        """Set the generated columns of the returned ``row`` on ``instance``; return all its values."""
        values = self._returning.columns(alias).values(row)
        self.fill(instance, values)
        instance._state.adding, instance._state.db = False, alias
        return values

    def fill(self, instance: Any, values: Mapping[str, Any]) -> None:
        """Set those of ``values`` on ``instance`` that are columns."""
        for name in self._attnames & values.keys():
            setattr(instance, name, values[name])

    @functools.cached_property
    def _attnames(self) -> set[str]:
        return {field.attname for field in self._model._meta.concrete_fields}

    def _values(self) -> dict[str, Any]:
        """Return an expression for each written column, by ``attname``."""
        values: dict[str, Any] = {}
        for field in self._model._meta.concrete_fields:
            if field.attname in self._given:
                values[field.attname] = self._given[field.attname]
            elif field in self._with_db_default():
                # Not db_default itself: UTCDateTimeField has an expression of its own, independent of the time zone.
                values[field.attname] = field.pre_save(self._model(), add=True)
            elif not isinstance(field, models.AutoField):
                values[field.attname] = Slot(field.attname, field)
        return values

    def _generated_columns(self) -> models.QuerySet[Any, Any]:
        automatic = [each for each in self._model._meta.concrete_fields if isinstance(each, models.AutoField)]
        return self._model._base_manager.values(*(field.attname for field in (*automatic, *self._with_db_default())))

    def _with_db_default(self) -> list[Any]:
        """Columns whose value always comes from ``db_default``.

        Those with a Python default as well are written: their ``db_default`` is for rolling upgrades, when web servers
        of an older release do not know the column.
        """
        fields = self._model._meta.concrete_fields
        return [each for each in fields if each.db_default is not NOT_PROVIDED and not each.has_default()]


class WriteTogether:
    """Several writes: a first row and, if it was written, others.

    On PostgreSQL one statement (data-modifying CTEs), which saves the round trips of a transaction: all of them see the
    rows as they were before it. On SQLite a transaction, which locks the database no longer than the statements take.
    """

    def __init__(
        self,
        first: UpdateReturning[Any] | PreparedInsert,
        *others: PreparedDelete | PreparedInsert | UpdateReturning[Any],
        unless: PreparedQuery | None = None,
    ) -> None:
        """``unless``: nothing is written if this query finds a row. PostgreSQL only."""
        self.first, self._unless = first, unless
        self._updates = {number: each for number, each in enumerate(others, 1) if isinstance(each, UpdateReturning)}
        """Those of the others that return a row, by their number."""
        self._parts = [Statement(lambda: first.statement.model, self._first_sql), *map(_part, others)]
        self._sql: dict[str, str] = {}
        """By database alias."""

    def execute(
        self,
        values: Mapping[str, Any],
        *more: Mapping[str, Any],
        within: contextlib.AbstractContextManager[object] | None = None,
    ) -> tuple[Any, list[Any]] | None:
        """Execute. Returns (first row, what each UPDATE of the others returned, or None), None if nothing was written.

        ``more``: the values of the others, in order. ``within``: entered when everything is prepared.
        """
        alias = self.first.statement.alias
        parts = [part.bound(alias, given) for part, given in zip(self._parts, (values, *more), strict=True)]
        if self._unless is not None:
            parts.insert(0, self._unless.statement.bound(alias, values))
        execute = self._execute_at_once if _has_writing_ctes(alias) else self._execute_one_by_one
        with within or contextlib.nullcontext():
            rows = execute(alias, parts)
        if rows is None:
            return None
        first, *others = rows
        updates = zip(self._updates.values(), others, strict=True)
        return first, [None if row is None else update.read(row, alias) for update, row in updates]

    def _execute_one_by_one(self, alias: str, parts: list[tuple[str, list[Any]]]) -> list[Any] | None:
        """The rows that one statement after the other returns; None if the first returns none."""
        rows: list[Any] = []
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            for number, part in enumerate(parts):
                cursor.execute(*part)
                if number == 0 or number in self._updates:
                    rows.append(cursor.fetchone())
                if rows[0] is None:
                    return None
        return rows

    def _execute_at_once(self, alias: str, parts: list[tuple[str, list[Any]]]) -> list[Any] | None:
        """The same by a single statement."""
        if alias not in self._sql:
            self._sql[alias] = self._together([sql for sql, _ in parts])
        with transaction.mark_for_rollback_on_error(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(self._sql[alias], [each for _, parameters in parts for each in parameters])
            row = cursor.fetchone()
        return None if row is None else self._split(row, alias)

    def _first_sql(self, alias: str) -> Sql:
        return self.first.sql(alias, "free" if self._unless else "")

    def _together(self, statements: list[str]) -> str:
        free = [f"free AS (SELECT 1 WHERE NOT EXISTS ({statements.pop(0)}))"] if self._unless is not None else []
        first, *others = statements
        named = [f"first AS ({first})", *(f"other_{number} AS ({sql})" for number, sql in enumerate(others, 1))]
        joined = "".join(f" LEFT JOIN other_{number} ON TRUE" for number in self._updates)
        return f"WITH {', '.join([*free, *named])} SELECT * FROM first{joined}"

    def _split(self, row: Sequence[Any], alias: str) -> list[Any]:
        """Split the joined ``row``. A row that was not written is all NULL, and becomes None."""
        rows: list[Any] = []
        end = len(row)
        for update in reversed(self._updates.values()):
            begin = end - update.width(alias)
            rows.append(None if row[begin] is None else row[begin:end])
            end = begin
        return [row[:end], *reversed(rows)]


def _part(write: PreparedDelete | PreparedInsert | UpdateReturning[Any]) -> Statement:
    """``write`` as a part of ``WriteTogether``, executed only if the first row was written."""
    return Statement(
        lambda: write.statement.model, lambda alias: write.sql(alias, "first" if _has_writing_ctes(alias) else "")
    )


def _only_with(source: str, rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    return rows.filter(RowsOf(source)) if source else rows


def can_write_together(alias: str) -> bool:
    """Whether ``WriteTogether`` can replace a transaction: outside of ``atomic()``, where only a savepoint could."""
    return can_return(alias) and not connections[alias].in_atomic_block


def can_write_at_once(alias: str) -> bool:
    """Whether it then is a single statement."""
    return _has_writing_ctes(alias) and can_write_together(alias)


def _has_writing_ctes(alias: str) -> bool:
    return connections[alias].vendor == "postgresql"


def can_return(alias: str) -> bool:
    """Whether the database supports INSERT and UPDATE … RETURNING; SQLite does since 3.35."""
    connection = connections[alias]
    return connection.vendor in RETURNING_VENDORS and bool(connection.features.can_return_columns_from_insert)
