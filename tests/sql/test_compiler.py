"""The text of every kind of statement that is compiled: Django does not document it, and may change it one day."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection, models
from django.db.models import F, Value
from django.test.utils import CaptureQueriesContext

from django_asyncexchange.models import Account, AsyncTask, Body
from django_asyncexchange.sql import compiler
from django_asyncexchange.sql.compiler import Columns, RowsOf
from django_asyncexchange.sql.queries import Slot

pytestmark = pytest.mark.django_db

TABLE = '"asyncexchange_account"'
IS_SHORT = connection.vendor == "postgresql"
ROW, FROM, AS = ("this", f"{TABLE} this", " AS this") if IS_SHORT else (TABLE, TABLE, "")
"""PostgreSQL's statements have a short alias for the table."""
NAME = Slot("name", models.CharField())


def accounts():
    return Account.objects.filter(account=NAME)


def quoted(sql):
    """As the other databases write it, and Django before 6.1, which did not quote aliases."""
    return sql.replace("`", '"') if connection.vendor == "mysql" else sql.replace('"this"', "this")


def test_a_select_of_keys_in_the_order_of_an_index():
    sql, parameters = compiler.select(accounts().order_by("pk"), "default", order=("-dialect",))
    assert quoted(sql) == (
        f'SELECT {ROW}."id" AS "pk" FROM {FROM} WHERE {ROW}."account" = (%s) ORDER BY {ROW}."dialect" DESC'
    )
    assert parameters == (NAME,)


@pytest.mark.skipif(not IS_SHORT, reason="only PostgreSQL's statements have the alias")
def test_a_select_with_a_join_keeps_its_names():
    rows = Body.objects.select_related("task").filter(kind=NAME)
    assert "this" not in Columns(rows, "default").select[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="only there a transaction would wait for the write lock")
def test_a_statement_is_compiled_without_a_transaction():
    with CaptureQueriesContext(connection) as queries:
        compiler.select(accounts(), "default")
    assert not queries.captured_queries


def test_an_update_whose_last_clause_is_its_condition():
    changes = {"dialect": NAME, "account": F("dialect")}
    sql, parameters = compiler.update(accounts(), changes, "default")
    assert quoted(sql) == (
        f'UPDATE {TABLE}{AS} SET "dialect" = %s, "account" = {ROW}."dialect" WHERE {ROW}."account" = (%s)'
    )
    assert parameters == (NAME, NAME)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL writes several rows in one statement")
def test_a_delete_with_the_condition_that_another_part_of_its_statement_has_a_row():
    sql, parameters = compiler.delete(accounts().filter(RowsOf("first")), "default")
    assert quoted(sql) == (f'DELETE FROM {TABLE} WHERE ({TABLE}."account" = (%s) AND EXISTS (SELECT 1 FROM first))')
    assert parameters == (NAME,)


@pytest.mark.parametrize(
    ("source", "rows"), [("", "VALUES (%s, %s)"), ("first WHERE sent", "SELECT %s, %s FROM first WHERE sent")]
)
def test_an_insert_of_a_row_of_expressions(source, rows):
    values = {"account": NAME, "dialect": Value("one")}
    sql, parameters = compiler.insert(Account, values, "default", source=source)
    assert quoted(sql) == f'INSERT INTO {TABLE}{AS} ("dialect", "account") {rows}'
    assert parameters == ["one", NAME]


def test_a_null_is_written_into_an_insert():
    sql, parameters = compiler.insert(Body, {"content": Value(None), "name": Value("x")}, "default")
    assert quoted(sql) == f'INSERT INTO "asyncexchange_body"{AS} ("content", "name") VALUES (NULL, %s)'
    assert parameters == ["x"]


def test_a_returning_clause_has_the_columns_of_a_queryset_and_their_parameters():
    columns = Columns(Account.objects.only("dialect").annotate(label=Value("x")), "default")
    sql, parameters = columns.returning(("INSERT", [NAME]))
    assert quoted(sql) == 'INSERT RETURNING "id", "dialect", %s'
    assert parameters == [NAME, "x"]


def with_constants(sql, *parameters):
    return compiler.with_constants((sql, parameters), "default", lambda each: isinstance(each, Slot))


POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="only psycopg parses statements each time")


@POSTGRESQL
@pytest.mark.parametrize(
    ("constant", "literal"),
    [
        ("it's", "'it''s'"),
        ("100%s", "'100%%s'"),
        (None, "NULL"),
        (True, "true"),
        (7, "7"),
        (dt.timedelta(seconds=1.5), "interval"),
    ],
)
def test_constants_are_written_into_the_sql_of_postgresql(constant, literal):
    sql, parameters = with_constants("SELECT %s, %s WHERE 'a' LIKE '%%'", NAME, constant)
    assert parameters == [NAME]
    with connection.cursor() as cursor:
        cursor.execute(sql, ["x"])
        assert cursor.fetchone() == ("x", constant)
    assert literal in sql


@pytest.mark.skipif(connection.vendor == "postgresql", reason="other databases")
def test_constants_stay_parameters_on_other_databases():
    assert with_constants("SELECT %s, %s", NAME, "one") == ("SELECT %s, %s", (NAME, "one"))


def test_a_returned_row_is_an_instance_and_annotations():
    columns = Columns(AsyncTask.objects.only("pk", "muted").annotate(label=Value("x")), "default")
    key = AsyncTask().pk
    values = columns.values([key if connection.vendor == "postgresql" else key.hex, '["a"]', "x"])
    instance = columns.instance(values)
    assert (instance.pk, instance.muted, values) == (key, ["a"], {"label": "x"})
    assert instance.get_deferred_fields() >= {"url", "request"}
