"""What is written with every call, translated into SQL once, and learned from the statement that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from django.db import connections, models, transaction
from django.db.models import NOT_PROVIDED
from django.db.models.sql import DeleteQuery, InsertQuery, UpdateQuery

from .prepared import PreparedRows, Slot, Sql, Translated, sql_of

TELLING = {"postgresql", "sqlite"}
"""The databases that tell. MySQL cannot, and MariaDB would lock whatever else it has to look at for that."""


class PreparedUpdate:
    """An UPDATE of a queryset with slots."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]], **changes: Any) -> None:
        self._rows, self._changes = rows, changes
        self.statement = Translated(lambda: rows().model, self._translated)

    def update(self, **values: Any) -> int:
        """How many rows were changed."""
        with self.statement.written(self.statement.alias, values) as cursor:
            return int(cursor.rowcount)

    def _translated(self, alias: str) -> Sql:
        query: Any = self._rows().using(alias).query.chain(UpdateQuery)
        query.add_update_values(self._changes)
        return sql_of(query, alias)


class PreparedDelete:
    """A DELETE of a queryset with slots, of rows that no others belong to, without the signals of a ``delete()``."""

    def __init__(self, rows: Callable[[], models.QuerySet[Any]]) -> None:
        self._rows = rows
        self.statement = Translated(lambda: rows().model, self._translated)

    def delete(self, **values: Any) -> int:
        """How many rows were deleted."""
        with self.statement.written(self.statement.alias, values) as cursor:
            return int(cursor.rowcount)

    def _translated(self, alias: str) -> Sql:
        query: Any = self._rows().using(alias).query.chain(DeleteQuery)
        return sql_of(query, alias)


class PreparedChange:
    """An UPDATE of one row, and that row as it is then: in one statement, or else asked once more."""

    def __init__(self, update: PreparedUpdate, row: PreparedRows) -> None:
        self._update, self.row = update, row
        self.statement = Translated(lambda: update.statement.model, self._translated)

    def made(self, **values: Any) -> Any:
        """The row as an instance; None where none was changed. ``values`` fill the slots of both."""
        alias = self.statement.alias
        if not tells(alias):
            return self.row.first(**values) if self._update.update(**values) else None
        with self.statement.written(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.row.columns(alias).instance(row)

    def _translated(self, alias: str) -> Sql:
        return self.row.columns(alias).told_by(self._update.statement.translated(alias))


class PreparedInsert:
    """An INSERT of an instance, without the signals of a ``save()``."""

    def __init__(self, model: type[models.Model], told: PreparedRows | None = None, **given: Any) -> None:
        """``given``: columns whose values, or expressions, are the same each time. ``told``: what to learn of the new
        row, a queryset with ``values()``; or else what the database fills in.
        """
        self._model, self._given = model, given
        self.statement = Translated(lambda: model, self._translated)
        self._told = told or PreparedRows(self._filled_in)

    def insert(self, instance: Any, using: str | None = None, **values: Any) -> None:
        """Write ``instance``, and set on it what is told; where the database does not tell, the key alone.

        ``values`` are for slots of ``given`` and ``told``.
        """
        alias = using or self.statement.alias
        meta: Any = self._model._meta
        with self.statement.written(alias, values | instance.__dict__) as cursor:
            if tells(alias):
                self._told.columns(alias).fill(instance, cursor.fetchone())
            elif instance.pk is None:
                instance.pk = connections[alias].ops.last_insert_id(cursor, meta.db_table, meta.pk.column)
        instance._state.adding, instance._state.db = False, alias

    def _filled_in(self) -> models.QuerySet[Any, Any]:
        return self._model._base_manager.values(*(field.attname for field in self._by_the_database()))

    def _by_the_database(self) -> list[models.Field[Any, Any]]:
        """The fields that are left to it. Not Django's own list of them, which depends on what it can tell."""
        fields = self._model._meta.concrete_fields
        return [each for each in fields if isinstance(each, models.AutoField) or each.db_default is not NOT_PROVIDED]

    def _translated(self, alias: str) -> Sql:
        fields = [field for field in self._model._meta.concrete_fields if field not in self._by_the_database()]
        slots = {field.attname: Slot(field.attname, field) for field in fields if field.attname not in self._given}
        query = InsertQuery(self._model)
        query.insert_values(fields, [self._model(**slots, **self._given)])
        compiler: Any = query.get_compiler(alias)
        compiler.returning_fields = None
        [statement] = compiler.as_sql()
        return self._told.columns(alias).told_by(statement) if tells(alias) else statement


class PreparedChain:
    """A change of one row and what is written if it is made, in one statement of PostgreSQL."""

    def __init__(self, change: PreparedChange, *others: PreparedDelete | PreparedInsert) -> None:
        self._change, self._others = change, others
        self._ready: dict[str, str] = {}
        """SQL by alias."""

    def made(self, values: Mapping[str, Any], *more: Mapping[str, Any]) -> Any:
        """The row as an instance; None where it was not changed. ``more``: the values of the others, in turn."""
        alias = self._change.statement.alias
        filled = [each.statement.filled(alias, given) for each, given in zip(self._others, more, strict=True)]
        first, parameters = self._change.statement.filled(alias, values)
        if alias not in self._ready:
            self._ready[alias] = self._together(first, *(sql for sql, _ in filled))
        with transaction.mark_for_rollback_on_error(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(self._ready[alias], [*parameters, *chain.from_iterable(each for _, each in filled)])
            row = cursor.fetchone()
        return None if row is None else self._change.row.columns(alias).instance(row)

    @staticmethod
    def _together(first: str, *others: str) -> str:
        parts = [f"changed AS ({first})"]
        for number, sql in enumerate(others):
            insert, _, values = sql.partition(" VALUES (")
            values, *_ = values.partition(") RETURNING ")
            then = f"{insert} SELECT {values} FROM changed" if values else f"{sql} AND EXISTS (TABLE changed)"
            parts.append(f"other_{number} AS ({then})")
        return f"WITH {', '.join(parts)} TABLE changed"


def chains(alias: str) -> bool:
    """Whether statements can be chained."""
    return connections[alias].vendor == "postgresql"


def tells(alias: str) -> bool:
    """Whether a statement gives what it has written; SQLite does since 3.35."""
    connection = connections[alias]
    return connection.vendor in TELLING and bool(connection.features.can_return_columns_from_insert)
