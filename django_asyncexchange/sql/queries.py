"""Questions that come with every call, translated into SQL once; ``writes`` has what is written.

Django translates a queryset anew each time, and that takes several times as long as the database needs for the answer.

>>> one = Prepared(lambda: AsyncTask.objects.filter(account=Slot("account", AsyncTask.account.field)))
>>> one.exists(account="7")
False
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, models, router, transaction

Sql = tuple[str, Sequence[Any]]
"""A statement and its parameters, slots among them."""


class Slot(models.Expression):
    """Stands in a prepared queryset for a value that comes with each question."""

    def __init__(self, name: str, field: models.Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


class Same(models.Expression):
    """A text or a number that is the same each time, written into the statement.

    psycopg translates statements of more than fifty parameters anew each time.
    """

    def __init__(self, value: str | int) -> None:
        super().__init__(output_field=models.TextField() if isinstance(value, str) else models.IntegerField())
        self.value = value

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return f"'{self.value}'" if isinstance(self.value, str) else str(self.value), []


class Translated:
    """SQL with slots, made once for each database."""

    def __init__(self, model: Callable[[], Any], translated: Callable[[str], Sql]) -> None:
        self._model_of, self._translated = model, translated
        self._ready: dict[str, Sql] = {}
        """By alias."""

    @functools.cached_property
    def model(self) -> Any:
        return self._model_of()

    @property
    def alias(self) -> str:
        """Always the database that is written to: what was just written counts."""
        return router.db_for_write(self.model)

    def translated(self, alias: str) -> Sql:
        if alias not in self._ready:
            self._ready[alias] = self._translated(alias)
        return self._ready[alias]

    def filled(self, alias: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The statement with these values."""
        sql, parameters = self.translated(alias)
        connection = connections[alias]
        return sql, [
            each.output_field.get_db_prep_save(values[each.name], connection) if isinstance(each, Slot) else each
            for each in parameters
        ]

    @contextlib.contextmanager
    def executed(self, alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """The cursor with what came of it."""
        with connections[alias].cursor() as cursor:
            cursor.execute(*self.filled(alias, values))
            yield cursor

    @contextlib.contextmanager
    def written(self, alias: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """The same of a statement that changes something; where it fails, so does the transaction around it."""
        with transaction.mark_for_rollback_on_error(using=alias), self.executed(alias, values) as cursor:
            yield cursor


class Prepared:
    """A queryset with slots, of which it is asked whether and how many rows there are."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], *, order: Sequence[str] = ()) -> None:
        """``order``: that of an index, for a look at the first few."""
        self._rows, self._order = rows, order
        self.statement = Translated(lambda: rows().model, self._translated)

    def exists(self, **values: Any) -> bool:
        """Whether there is such a row."""
        with self.statement.executed(self.statement.alias, values) as cursor:
            return cursor.fetchone() is not None

    def count(self, **values: Any) -> int:
        """How many such rows there are; for few."""
        with self.statement.executed(self.statement.alias, values) as cursor:
            return len(cursor.fetchall())

    def _translated(self, alias: str) -> Sql:
        query = self._rows().using(alias).query
        query.clear_ordering(force=True)
        query.add_ordering(*self._order)
        query.set_values(["pk"])
        return sql_of(query, alias)


class Counted(models.Expression):
    """How many rows a question finds, inside of another statement; no more than the slot named ``most`` says.

    ``before``: the name of a slot for what was asked before, for MySQL, which would lock what a writing one counts.
    """

    def __init__(self, question: Prepared, most: str, before: str = "") -> None:
        super().__init__(output_field=models.IntegerField())
        self._question, self._most, self._before = question, Slot(most, self.output_field), before

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, parameters = self._question.statement.translated(connection.alias)
        return f"(SELECT COUNT(*) FROM ({sql} LIMIT %s) AS counted)", [*parameters, self._most]

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        if not self._before:
            return self.as_sql(compiler, connection)
        return Slot(self._before, self.output_field).as_sql(compiler, connection)


class PreparedRows:
    """A queryset with slots that is asked for its rows, whole."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]]) -> None:
        self._rows = rows
        self._statement = Translated(lambda: rows().model, lambda alias: self.columns(alias).statement)
        self._columns: dict[str, Columns] = {}

    def first(self, using: str | None = None, **values: Any) -> Any:
        """The first row as an instance, with what it is annotated with; None where there is none."""
        alias = using or self._statement.alias
        with self._statement.executed(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.columns(alias).instance(row)

    def all(self, using: str | None = None, **values: Any) -> list[Any]:
        """All of them."""
        alias = using or self._statement.alias
        with self._statement.executed(alias, values) as cursor:
            rows = cursor.fetchall()
        return [self.columns(alias).instance(row) for row in rows]

    def fill(self, instance: Any, alias: str, **values: Any) -> None:
        """Set on ``instance`` what a queryset with ``values()`` finds."""
        with self._statement.executed(alias, values) as cursor:
            self.columns(alias).fill(instance, cursor.fetchone())

    def columns(self, alias: str) -> Columns:
        """What it asks for, for statements that tell of what they have written."""
        if alias not in self._columns:
            self._columns[alias] = Columns(self._rows(), alias)
        return self._columns[alias]


class Columns:
    """What a queryset asks of each row, and how to turn the answer into Python's."""

    def __init__(self, rows: models.QuerySet[Any], alias: str) -> None:
        compiler: Any = rows.using(alias).query.get_compiler(alias)
        self.statement: Sql = compiler.as_sql()
        self._model, self._alias = rows.model, alias
        self._columns = [column for _, column, _ in compiler.select]
        self._names = [name or column.target.attname for column, _, name in compiler.select]
        self._fields = [column.target.attname for column, _, name in compiler.select if name is None]
        self._converters = compiler.get_converters([column for column, *_ in compiler.select])

    def told_by(self, statement: Sql) -> Sql:
        """``statement``, which also gives these columns of what it has written."""
        (sql, parameters), names = statement, ", ".join(sql for sql, _ in self._columns)
        return f"{sql} RETURNING {names}", [*parameters, *(each for _, more in self._columns for each in more)]

    def instance(self, row: Sequence[Any]) -> Any:
        values = self._values(row)
        instance = self._model.from_db(self._alias, self._fields, [values.pop(name) for name in self._fields])
        for name, value in values.items():
            setattr(instance, name, value)
        return instance

    def fill(self, instance: Any, row: Sequence[Any]) -> None:
        for name, value in self._values(row).items():
            setattr(instance, name, value)

    def _values(self, row: Sequence[Any]) -> dict[str, Any]:
        values, connection = list(row), connections[self._alias]
        for column, (steps, expression) in self._converters.items():
            for convert in steps:
                values[column] = convert(values[column], expression, connection)
        return dict(zip(self._names, values, strict=True))


def sql_of(query: Any, alias: str) -> Sql:
    sql, parameters = query.get_compiler(alias).as_sql()
    return sql, tuple(parameters)
