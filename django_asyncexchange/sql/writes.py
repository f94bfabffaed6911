"""What is written with every call, translated into SQL once, and learned from the statement that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import connections, models, transaction
from django.db.models import NOT_PROVIDED
from django.db.models.sql import DeleteQuery, InsertQuery, UpdateQuery

from .queries import Prepared, PreparedRows, Slot, Sql, Translated, sql_of

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

    def __init__(self, update: PreparedUpdate, told: PreparedRows) -> None:
        self._update, self.told = update, told
        self.statement = Translated(lambda: update.statement.model, self._translated)

    def made(self, **values: Any) -> Any:
        """The row as an instance; None where none was changed. ``values`` fill the slots of both."""
        alias = self.statement.alias
        if not tells(alias):
            return self.told.first(**values) if self._update.update(**values) else None
        with self.statement.written(alias, values) as cursor:
            row = cursor.fetchone()
        return None if row is None else self.told.columns(alias).instance(row)

    def _translated(self, alias: str) -> Sql:
        return self.told.columns(alias).told_by(self._update.statement.translated(alias))


class PreparedInsert:
    """An INSERT of an instance, without the signals of a ``save()``."""

    def __init__(self, model: type[models.Model], told: PreparedRows | None = None, **given: Any) -> None:
        """``given``: columns whose values, or expressions, are the same each time. ``told``: what to learn of the new
        row, a queryset with ``values()``; or else what the database fills in.
        """
        self._model, self._given = model, given
        self.statement = Translated(lambda: model, self._translated)
        self.told = told or PreparedRows(self._filled_in)

    def insert(self, instance: Any, using: str | None = None, **values: Any) -> None:
        """Write ``instance``, and set on it what is told; where the database does not tell, the key alone.

        ``values`` are for slots of ``given`` and ``told``.
        """
        alias = using or self.statement.alias
        meta: Any = self._model._meta
        with self.statement.written(alias, values | instance.__dict__) as cursor:
            if tells(alias):
                self.told.columns(alias).fill(instance, cursor.fetchone())
            elif instance.pk is None:
                instance.pk = connections[alias].ops.last_insert_id(cursor, meta.db_table, meta.pk.column)
        instance._state.adding, instance._state.db = False, alias

    def _filled_in(self) -> models.QuerySet[Any, Any]:
        return self._model._base_manager.values(*(field.attname for field in self._by_the_database()))

    def _by_the_database(self) -> list[models.Field[Any, Any]]:
        """The fields that are left to it. Not Django's own list of them, which depends on what it can tell."""
        fields = self._model._meta.concrete_fields
        return [each for each in fields if isinstance(each, models.AutoField) or _is_of_the_database(each)]

    def _translated(self, alias: str) -> Sql:
        fields = [each for each in self._model._meta.concrete_fields if not isinstance(each, models.AutoField)]
        known = {*self._given, *(each.attname for each in self._by_the_database())}  # these know their value themselves
        slots = {field.attname: Slot(field.attname, field) for field in fields if field.attname not in known}
        query = InsertQuery(self._model)
        query.insert_values(fields, [self._model(**slots, **self._given)])
        compiler: Any = query.get_compiler(alias)
        compiler.returning_fields = None
        [statement] = compiler.as_sql()
        return self.told.columns(alias).told_by(statement) if tells(alias) else statement


class PreparedChain:
    """A row that is changed or inserted, and what is written with it, in one statement of PostgreSQL."""

    def __init__(
        self,
        first: PreparedChange | PreparedInsert,
        *others: PreparedDelete | PreparedInsert,
        unless: Prepared | None = None,
        last_if: str = "",
    ) -> None:
        """Nothing is done if ``unless`` finds a row; the others only if the first is, and the last of them only if that
        told a value for the column ``last_if``.
        """
        self._first, self._others, self._unless, self._last_if = first, others, unless, last_if
        self._ready: dict[str, str] = {}
        """SQL by alias."""

    def changed(self, values: Mapping[str, Any], *more: Mapping[str, Any]) -> Any:
        """The changed row as an instance; None where it was not. ``more``: the values of the others, in turn."""
        row = self._made(values, more)
        return None if row is None else self._first.told.columns(self._first.statement.alias).instance(row)

    def inserted(self, instance: Any, values: Mapping[str, Any], *more: Mapping[str, Any]) -> bool:
        """Whether ``instance`` was written; it knows then what is told. ``values`` are for further slots of it."""
        row, alias = self._made(instance.__dict__ | values, more), self._first.statement.alias
        if row is not None:
            self._first.told.columns(alias).fill(instance, row)
            instance._state.adding, instance._state.db = False, alias
        return row is not None

    def _made(self, values: Mapping[str, Any], more: Sequence[Mapping[str, Any]]) -> Any:
        alias = self._first.statement.alias
        parts = [(self._first.statement, values), *zip((each.statement for each in self._others), more, strict=True)]
        if self._unless is not None:
            parts.insert(0, (self._unless.statement, values))
        filled = [statement.filled(alias, given) for statement, given in parts]
        if alias not in self._ready:
            self._ready[alias] = self._together([sql for sql, _ in filled])
        with transaction.mark_for_rollback_on_error(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(self._ready[alias], [each for _, parameters in filled for each in parameters])
            return cursor.fetchone()

    def _together(self, statements: list[str]) -> str:
        is_guarded = self._unless is not None
        guard = [f"free AS (SELECT 1 WHERE NOT EXISTS ({statements.pop(0)}))"] if is_guarded else []
        first, *others = statements
        then = [_following(sql, "first") for sql in others]
        if self._last_if:
            then[-1] = _following(others[-1], f"first WHERE {self._last_if} IS NOT NULL")
        parts = [f"first AS ({_following(first, 'free') if is_guarded else first})"]
        parts += [f"other_{number} AS ({sql})" for number, sql in enumerate(then)]
        return f"WITH {', '.join([*guard, *parts])} SELECT * FROM first"


def _following(sql: str, rows: str) -> str:
    """The statement ``sql``, which does nothing where there are no ``rows``."""
    insert, is_insert, rest = sql.partition(" VALUES (")
    if not is_insert:
        return f"{sql} AND EXISTS (SELECT 1 FROM {rows})"
    values, returning, names = rest.partition(") RETURNING ")
    return f"{insert} SELECT {values} FROM {rows}{returning[1:]}{names}"


def chains(alias: str) -> bool:
    """Whether a chain can stand for a transaction; within another one, only a savepoint can."""
    connection = connections[alias]
    return connection.vendor == "postgresql" and not connection.in_atomic_block


def tells(alias: str) -> bool:
    """Whether a statement gives what it has written; SQLite does since 3.35."""
    connection = connections[alias]
    return connection.vendor in TELLING and bool(connection.features.can_return_columns_from_insert)


def _is_of_the_database(field: models.Field[Any, Any]) -> bool:
    """Whether a row of ours never says it. A default beside it is for web servers of a release without the column."""
    return field.db_default is not NOT_PROVIDED and not field.has_default()
