"""Prepared queries: querysets that come with every call, compiled once; ``writes`` has the statements that write.

Django compiles a queryset anew each time, which takes several times as long as the database needs for the answer.

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
    """Placeholder in a prepared queryset for a value that is given at each execution, by ``name``."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


class Literal(models.Expression):
    """A constant text or number, written into the statement itself.

    psycopg prepares statements of more than fifty parameters anew each time.
    """

    def __init__(self, value: str | int) -> None:
        super().__init__(output_field=models.TextField() if isinstance(value, str) else models.IntegerField())
        self.value = value

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return f"'{self.value}'" if isinstance(self.value, str) else str(self.value), []


class Statement:
    """SQL with slots, compiled once per database."""

    def __init__(self, model: Callable[[], type[models.Model]], compile: Callable[[str], Sql]) -> None:
        """``compile``: gives the SQL for a database alias."""
        self._model_of, self._compile = model, compile
        self._compiled: dict[str, Sql] = {}
        """By alias."""

    @functools.cached_property
    def model(self) -> type[models.Model]:
        return self._model_of()

    @property
    def alias(self) -> str:
        """Always the database for writes: reads have to see what was just written."""
        return router.db_for_write(self.model)

    def sql(self, alias: str) -> Sql:
        if alias not in self._compiled:
            self._compiled[alias] = self._compile(alias)
        return self._compiled[alias]

    def bound(self, alias: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The statement with ``values`` in its slots."""
        sql, parameters = self.sql(alias)
        connection = connections[alias]
        return sql, [
            each.output_field.get_db_prep_save(values[each.name], connection) if isinstance(each, Slot) else each
            for each in parameters
        ]

    @contextlib.contextmanager
    def executed(self, alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """The cursor after the execution."""
        with connections[alias].cursor() as cursor:
            cursor.execute(*self.bound(alias, values))
            yield cursor

    @contextlib.contextmanager
    def written(self, alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """The same for a statement that writes: if it fails, the transaction around it can only be rolled back."""
        with transaction.mark_for_rollback_on_error(using=alias), self.executed(alias, values) as cursor:
            yield cursor


class PreparedQuery:
    """A queryset with slots of which only the number of rows matters."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], *, order: Sequence[str] = ()) -> None:
        """``order``: that of an index, where only its first entries are to be read."""
        self.statement = Statement(lambda: rows().model, lambda alias: compiler.select(rows(), alias, order=order))

    def exists(self, **values: Any) -> bool:
        """Whether there is a row."""
        with self.statement.executed(self.statement.alias, values) as cursor:
            return cursor.fetchone() is not None

    def count(self, **values: Any) -> int:
        """The number of rows, which should be small."""
        with self.statement.executed(self.statement.alias, values) as cursor:
            return len(cursor.fetchall())


class CountUpTo(models.Expression):
    """Subquery: how many rows a prepared query finds, at most the value of the slot ``most``.

    ``counted``: the slot for a number that was counted before, for MySQL: within a statement that writes, it would lock
    the rows it counts.
    """

    def __init__(self, query: PreparedQuery, most: str, counted: str = "") -> None:
        super().__init__(output_field=models.IntegerField())
        self._query, self._most, self._counted = query, Slot(most, self.output_field), counted

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, parameters = self._query.statement.sql(connection.alias)
        return f"(SELECT COUNT(*) FROM ({sql} LIMIT %s) AS counted)", [*parameters, self._most]

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        if not self._counted:
            return self.as_sql(compiler, connection)
        return Slot(self._counted, self.output_field).as_sql(compiler, connection)


class PreparedRows(Generic[T]):
    """A queryset with slots whose rows are read whole."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], into: Callable[..., T] | None = None) -> None:
        """``into``: makes the result from a model instance and, by name, the annotations of the queryset; without it,
        rows are instances, and annotations their attributes, as Django has them.
        """
        self._rows, self._into = rows, into
        self._statement = Statement(lambda: rows().model, lambda alias: self.columns(alias).select)
        self._columns: dict[str, Columns] = {}
        """By alias."""

    def first(self, using: str | None = None, **values: Any) -> T | None:
        """The first row; None if there is none."""
        alias = using or self._statement.alias
        with self._statement.executed(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.read(row, alias)

    def all(self, using: str | None = None, **values: Any) -> list[T]:
        """All rows."""
        alias = using or self._statement.alias
        with self._statement.executed(alias, values) as cursor:
            rows = cursor.fetchall()
        return [self.read(row, alias) for row in rows]

    def columns(self, alias: str) -> Columns:
        """What the queryset selects, for the RETURNING clause of a statement that writes."""
        if alias not in self._columns:
            self._columns[alias] = Columns(self._rows(), alias)
        return self._columns[alias]

    def read(self, row: Sequence[Any], alias: str) -> T:
        """One row of the database as a result."""
        columns = self.columns(alias)
        annotations = columns.values(row)
        instance = columns.instance(annotations)
        if self._into is not None:
            return self._into(instance, **annotations)
        for name, value in annotations.items():
            setattr(instance, name, value)
        return cast(T, instance)


class PreparedValues:
    """A queryset with slots and ``values()``: what the database adds to a row that is inserted."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any, Any]]) -> None:
        self._rows = rows
        self._statement = Statement(lambda: rows().model, lambda alias: self.columns(alias).select)
        self._columns: dict[str, Columns] = {}
        """By alias."""

    def get(self, alias: str, **values: Any) -> dict[str, Any]:
        """The values of a row that exists."""
        with self._statement.executed(alias, values) as cursor:
            return self.columns(alias).values(cursor.fetchone())

    def columns(self, alias: str) -> Columns:
        """What the queryset selects, for the RETURNING clause of an INSERT."""
        if alias not in self._columns:
            self._columns[alias] = Columns(self._rows(), alias)
        return self._columns[alias]
