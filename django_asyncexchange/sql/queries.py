"""Prepared queries: querysets with parameters, compiled once per database. ``writes`` has INSERT, UPDATE and DELETE.

Django compiles a queryset on every evaluation, which takes several times as long as the query takes the database.

>>> of_account = PreparedQuery(lambda: AsyncTask.objects.filter(account=Slot("account", AsyncTask.account.field)))
>>> of_account.exists(account="7")
False
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from django.db import connections, models, router, transaction

from . import compiler
from .compiler import Columns, Sql

T = TypeVar("T")


class Slot(models.Expression):
    """A parameter of a prepared statement: its value is given at each execution, by ``name``."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name
        self._is_text = type(field) in (models.CharField, models.TextField)

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def adapted(self, values: Mapping[str, Any], connection: Any) -> Any:
        """The value of this slot as the driver takes it."""
        value = values[self.name]
        if value is None or (self._is_text and type(value) is str):  # what every database takes as it is
            return value
        return self.output_field.get_db_prep_save(value, connection)


class Statement:
    """SQL with slots, compiled once per database."""

    def __init__(self, model: Callable[[], type[models.Model]], compile: Callable[[str], Sql]) -> None:
        """``compile``: compiles the statement for a database alias."""
        self._model_of, self._compile = model, compile
        self._compiled: dict[str, Sql] = {}
        """By database alias."""

    @functools.cached_property
    def model(self) -> type[models.Model]:
        return self._model_of()

    @property
    def alias(self) -> str:
        """The alias of the primary database, because a replica may lag behind."""
        return router.db_for_write(self.model)

    def sql(self, alias: str) -> Sql:
        if alias not in self._compiled:
            statement = self._compile(alias)
            self._compiled[alias] = compiler.with_constants(statement, alias, lambda each: isinstance(each, Slot))
        return self._compiled[alias]

    def bound(self, alias: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """Return the SQL and its parameters, with ``values`` in the slots."""
        sql, parameters = self.sql(alias)
        connection = connections[alias]
        return sql, [each.adapted(values, connection) if isinstance(each, Slot) else each for each in parameters]

    @contextlib.contextmanager
    def executed(self, alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Execute the statement; yields the cursor."""
        with connections[alias].cursor() as cursor:
            cursor.execute(*self.bound(alias, values))
            yield cursor

    @contextlib.contextmanager
    def written(self, alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Execute a write; yields the cursor. An error marks the surrounding transaction for rollback."""
        with transaction.mark_for_rollback_on_error(using=alias), self.executed(alias, values) as cursor:
            yield cursor


class PreparedQuery:
    """A queryset with slots, for ``exists()`` and ``count()``."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], *, order: Sequence[str] = ()) -> None:
        """``order``: the order of an index, so that reading the first rows is cheap.

        Not on MySQL and MariaDB, which find the index without it, and sort all rows if one of its columns is NULL.
        """

        def compiled(alias: str) -> compiler.Sql:
            return compiler.select(rows(), alias, order=() if connections[alias].vendor == "mysql" else order)

        self.statement = Statement(lambda: rows().model, compiled)

    def exists(self, **values: Any) -> bool:
        """Whether a row matches."""
        with self.statement.executed(self.statement.alias, values) as cursor:
            return cursor.fetchone() is not None

    def count(self, **values: Any) -> int:
        """Return the number of matching rows. They are fetched, so use it for few rows only."""
        with self.statement.executed(self.statement.alias, values) as cursor:
            return len(cursor.fetchall())


class CountUpTo(models.Expression):
    """Subquery: the number of rows of a prepared query, at most the value of the slot ``limit``.

    ``counted_before``: slot of a count that was read before. MySQL uses it, because in a write the subquery would lock
    the rows that it counts.
    """

    def __init__(self, query: PreparedQuery, limit: str, counted_before: str = "") -> None:
        super().__init__(output_field=models.IntegerField())
        self._query, self._limit, self._counted_before = query, Slot(limit, self.output_field), counted_before

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, parameters = self._query.statement.sql(connection.alias)
        return f"(SELECT COUNT(*) FROM ({sql} LIMIT %s) AS counted)", [*parameters, self._limit]

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        if not self._counted_before:
            return self.as_sql(compiler, connection)
        return Slot(self._counted_before, self.output_field).as_sql(compiler, connection)


class Selection:
    """A queryset with slots whose columns are read."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any, Any]]) -> None:
        self._rows = rows
        self._statement = Statement(lambda: rows().model, lambda alias: self.columns(alias).select)
        self._columns: dict[str, Columns] = {}
        """By database alias."""

    def columns(self, alias: str) -> Columns:
        """The selected columns, for the RETURNING clause of a write."""
        if alias not in self._columns:
            self._columns[alias] = Columns(self._rows(), alias)
        return self._columns[alias]


class PreparedRows(Selection, Generic[T]):
    """A queryset with slots that returns model instances, or what ``into`` makes of them."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], into: Callable[..., T] | None = None) -> None:
        """``into``: called with the instance and, by name, the annotations of a row. Without it, annotations become
        attributes of the instance, as in Django.
        """
        super().__init__(rows)
        self._into = into

    def first(self, using: str | None = None, **values: Any) -> T | None:
        """Return the first row, or None."""
        alias = using or self._statement.alias
        with self._statement.executed(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.read(row, alias)

    def all(self, using: str | None = None, **values: Any) -> list[T]:
        """Return all rows."""
        alias = using or self._statement.alias
        with self._statement.executed(alias, values) as cursor:
            rows = cursor.fetchall()
        return [self.read(row, alias) for row in rows]

    def read(self, row: Sequence[Any], alias: str) -> T:
        """Convert a database row to a result."""
        columns = self.columns(alias)
        annotations = columns.values(row)
        instance = columns.instance(annotations)
        if self._into is not None:
            return self._into(instance, **annotations)
        for name, value in annotations.items():
            setattr(instance, name, value)
        return cast(T, instance)


class PreparedValues(Selection):
    """A queryset with slots and ``values()``: what the database has set in a new row."""

    def get(self, alias: str, **values: Any) -> dict[str, Any]:
        """Return the values of an existing row."""
        with self._statement.executed(alias, values) as cursor:
            return self.columns(alias).values(cursor.fetchone())
