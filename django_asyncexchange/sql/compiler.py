"""Compile querysets and models to SQL: the only module that uses Django's SQL compilers.

Django documents how to compile an expression, but not a queryset. ``tests/sql/test_compiler.py`` pins the SQL of every
kind of statement and fails on a Django release that changes one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import connections, models, transaction
from django.db.models.sql import DeleteQuery, UpdateQuery

SHORT = "this"
"""The alias of the table on PostgreSQL: psycopg parses statements of more than 4,096 characters each time."""
Sql = tuple[str, Sequence[Any]]
"""SQL and its parameters, in the order of the placeholders."""


class RowsOf(models.Expression):
    """Condition: the common table expression ``name`` of the same statement has rows."""

    conditional = True

    def __init__(self, name: str) -> None:
        super().__init__(output_field=models.BooleanField())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return f"EXISTS (SELECT 1 FROM {self.name})", []


class Columns:
    """The columns that a queryset selects, with Django's converters to Python values."""

    def __init__(self, rows: models.QuerySet[Any], alias: str) -> None:
        compiler: Any = _shortened(rows.using(alias).query, alias).get_compiler(alias)
        self.select: Sql = compiler.as_sql()
        """The SELECT of the whole queryset."""
        self.model = rows.model
        self._alias = alias
        quote = connections[alias].ops.quote_name
        self._columns: list[Sql] = [
            column if name else (quote(target.target.column), ()) for target, column, name in compiler.select
        ]
        self._names = [name or column.target.attname for column, _, name in compiler.select]
        self._fields = [column.target.attname for column, _, name in compiler.select if name is None]
        self._converters = compiler.get_converters([column for column, *_ in compiler.select])

    def __len__(self) -> int:
        return len(self._names)

    def returning(self, statement: Sql) -> Sql:
        """Return ``statement``, an INSERT or UPDATE of this table, with a RETURNING clause for these columns."""
        (sql, parameters), names = statement, ", ".join(sql for sql, _ in self._columns)
        return f"{sql} RETURNING {names}", [*parameters, *(each for _, more in self._columns for each in more)]

    def instance(self, values: dict[str, Any]) -> Any:
        """Build the model instance; its columns are removed from ``values``, which leaves the annotations."""
        return self.model.from_db(self._alias, self._fields, [values.pop(name) for name in self._fields])

    def values(self, row: Sequence[Any]) -> dict[str, Any]:
        """Convert a database row to Python values, by name."""
        values, connection = list(row), connections[self._alias]
        for column, (steps, expression) in self._converters.items():
            for convert in steps:
                values[column] = convert(values[column], expression, connection)
        return dict(zip(self._names, values, strict=True))


def select(rows: models.QuerySet[Any], alias: str, *, order: Sequence[str] = ()) -> Sql:
    """Compile the SELECT of the primary keys of ``rows``, ordered by ``order`` alone."""
    query: Any = _shortened(rows.using(alias).query, alias)
    query.clear_ordering(force=True)
    query.add_ordering(*order)
    query.set_values(["pk"])
    return _compiled(query, alias)


def update(rows: models.QuerySet[Any], changes: Mapping[str, Any], alias: str) -> Sql:
    """Compile the UPDATE of ``rows``."""
    query: Any = _shortened(rows.using(alias).query.chain(UpdateQuery), alias)
    query.add_update_values(changes)
    (sql, parameters), table = _compiled(query, alias), connections[alias].ops.quote_name(rows.model._meta.db_table)
    if query.base_table == SHORT:
        sql = f"UPDATE {table} AS {SHORT} SET {sql.partition(' SET ')[2]}"
    return sql, parameters


def delete(rows: models.QuerySet[Any], alias: str) -> Sql:
    """Compile the DELETE of ``rows``: no signals and no cascade, unlike ``QuerySet.delete()``."""
    return _compiled(rows.using(alias).query.chain(DeleteQuery), alias)


def insert(model: type[models.Model], values: Mapping[str, Any], alias: str, *, source: str = "") -> Sql:
    """Compile the INSERT of one row from ``values``, expressions by ``attname``.

    ``source``: a FROM clause; nothing is inserted if it has no rows.
    """
    fields = [field for field in model._meta.concrete_fields if field.attname in values]
    quote = connections[alias].ops.quote_name
    query: Any = model._base_manager.all().query
    compiler = query.get_compiler(alias)
    resolved = (values[field.attname].resolve_expression(query, allow_joins=False, for_save=True) for field in fields)
    compiled = [compiler.compile(expression) for expression in resolved]
    names, row = ", ".join(quote(str(field.column)) for field in fields), ", ".join(sql for sql, _ in compiled)
    rows = f"SELECT {row} FROM {source}" if source else f"VALUES ({row})"
    short = f" AS {SHORT}" if connections[alias].vendor == "postgresql" else ""
    statement = f"INSERT INTO {quote(model._meta.db_table)}{short} ({names}) {rows}"
    return statement, [each for _, parameters in compiled for each in parameters]


def with_constants(statement: Sql, alias: str, is_slot: Callable[[Any], bool]) -> Sql:
    """Write all parameters but the slots into the SQL, on PostgreSQL: psycopg parses longer statements, and those with
    more than fifty parameters, each time they are executed.
    """
    connection: Any = connections[alias]
    if connection.vendor != "postgresql":
        return statement
    (first, *others), parameters = statement[0].split("%s"), statement[1]
    text = [first]
    for parameter, part in zip(parameters, others, strict=True):
        constant = "%s" if is_slot(parameter) else connection.ops.compose_sql("%s", [parameter]).replace("%", "%%")
        text += [constant, part]
    return "".join(text), [parameter for parameter in parameters if is_slot(parameter)]


def _shortened(query: Any, alias: str) -> Any:
    """``query``, whose only table has the alias ``SHORT`` on PostgreSQL. SQLite's RETURNING knows no aliases."""
    short = query.clone()
    short.get_initial_alias()
    if connections[alias].vendor != "postgresql" or len(short.alias_map) > 1 or short.select_related:
        return short
    short.change_aliases({short.base_table: SHORT})
    return short.clone()  # without the former alias, which the query has cached


def _compiled(query: Any, alias: str) -> Sql:
    connection = connections[alias]
    needs_transaction = connection.features.has_select_for_update and not connection.in_atomic_block
    with transaction.atomic(using=alias) if needs_transaction else contextlib.nullcontext():  # for SELECT FOR UPDATE
        sql, parameters = query.get_compiler(alias).as_sql()
    return sql, tuple(parameters)
