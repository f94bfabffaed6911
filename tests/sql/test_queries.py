"""Statements that are compiled once and executed with new parameters."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Case, When
from django.db.models.functions import Concat
from django.db.models.lookups import Exact
from django.test.utils import CaptureQueriesContext

from django_asyncexchange.models import AsyncTask, Body, Webhook
from django_asyncexchange.models.querysets import after
from django_asyncexchange.models.timestamps import Now
from django_asyncexchange.protocol.states import State
from django_asyncexchange.sql.queries import CountUpTo, PreparedQuery, PreparedRows, PreparedValues, Slot
from django_asyncexchange.sql.writes import (
    PreparedDelete,
    PreparedInsert,
    PreparedUpdate,
    UpdateReturning,
    WriteTogether,
    can_return,
)
from django_asyncexchange.store import statements as prepared
from django_asyncexchange.store import transitions
from django_asyncexchange.store.bodies import Draft

from ..services import stored

pytestmark = pytest.mark.django_db


def slot(name):
    return Slot(name, AsyncTask._meta.get_field(name))


OF_ACCOUNT = PreparedQuery(lambda: AsyncTask.objects.filter(account=slot("account")))


def test_each_execution_has_its_own_parameters():
    stored(account="one")
    stored(account="one")
    assert [OF_ACCOUNT.count(account=name) for name in ("one", "two", "one")] == [2, 0, 2]
    assert [OF_ACCOUNT.exists(account=name) for name in ("two", "one")] == [False, True]


def test_statement_is_compiled_once(monkeypatch):
    made = []
    question = PreparedQuery(lambda: made.append(1) or AsyncTask.objects.filter(account=slot("account")))
    for name in ("one", "two", "three"):
        question.exists(account=name)
    assert len(made) <= 2  # once for the model, once for the SQL


def test_insert_may_depend_on_a_count():
    alone = Case(When(Exact(CountUpTo(OF_ACCOUNT, "found"), Slot("others", models.IntegerField())), then=Now()))
    insert = PreparedInsert(AsyncTask, sent=alone)
    tasks = of_account("one", "one", "two")
    for task in tasks:
        insert.insert(task, others=0, found=OF_ACCOUNT.count(account=task.account))  # counted before a lock
    written = AsyncTask.objects.in_bulk()
    assert [written[task.pk].sent is not None for task in tasks] == [True, False, True]


def same(task, other):
    return all(getattr(task, field.attname) == getattr(other, field.attname) for field in AsyncTask._meta.fields)


def test_row_equals_the_instance_of_an_ordinary_queryset():
    task = stored(State.DONE, account="one", response_headers=[["A", "b"]], retention=dt.timedelta(hours=1))
    first = PreparedRows(lambda: AsyncTask.objects.with_now().filter(pk=slot("id"))).first(id=str(task.pk))
    plain = AsyncTask.objects.with_now().get(pk=task.pk)
    assert same(first, plain)
    assert abs(first.now - plain.now) < dt.timedelta(minutes=1)
    assert (first._state.adding, first._state.db) == (False, "default")
    first.worker = "me"
    first.save()
    assert AsyncTask.objects.get(pk=task.pk).worker == "me"


def test_missing_row_is_none():
    assert PreparedRows(lambda: AsyncTask.objects.filter(pk=slot("id"))).first(id=uuid.uuid4()) is None


def test_insert_writes_what_save_writes_and_returns_database_defaults():
    known = {"dialect": "prefer", "account": "one", "method": "GET", "url": "http://here/%s", "request": {"ü": [1]}}
    task, saved = AsyncTask(**known, muted=["a"], retention=dt.timedelta(hours=1)), AsyncTask(**known)
    PreparedInsert(AsyncTask, sent=Now()).insert(task)
    saved.save()
    if can_return("default"):
        assert isinstance(task.created, dt.datetime)
    row = AsyncTask.objects.get(pk=task.pk)
    assert (row.sent, row.muted, row.retention) == (row.created, ["a"], dt.timedelta(hours=1))
    for field in AsyncTask._meta.fields:
        if field.name not in {"id", "created", "sent", "muted", "retention"}:
            assert getattr(row, field.attname) == getattr(AsyncTask.objects.get(pk=saved.pk), field.attname)


def of_account(*names):
    return [AsyncTask(dialect="prefer", account=name, url="http://here/", request={}) for name in names]


@pytest.fixture(params=["telling", "asked"])
def statements(request, monkeypatch):
    """The number of statements that write and read back: one with RETURNING, two on MySQL and an old SQLite."""
    if request.param == "asked":
        if connection.vendor == "postgresql":
            pytest.skip("PostgreSQL always tells")
        monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)
        monkeypatch.delitem(
            vars(AsyncTask._meta), "db_returning_fields", raising=False
        )  # Django has kept what it could
        monkeypatch.setattr(prepared.ACCEPT.statement, "_compiled", {})  # and so have we
    yield 1 if can_return("default") else 2
    vars(AsyncTask._meta).pop("db_returning_fields", None)


@pytest.mark.parametrize(("share", "is_sent"), [(1, False), (2, True)])
@pytest.mark.parametrize("has_webhooks", [True, False])
def test_an_accepted_task_returns_when_it_was_sent_and_whether_it_has_webhooks(
    statements, share, is_sent, has_webhooks
):
    stored(account="one", dialect="prefer", sent=Now())
    Webhook.objects.create(dialect="prefer", account="one" if has_webhooks else "two", url="https://there.example/")
    (task,) = of_account("one")
    accepting = transitions.accepted(task, Draft(), share=share, needs_transaction=True)
    with CaptureQueriesContext(connection) as queries, accepting as accepted:
        pass
    row = AsyncTask.objects.get(pk=task.pk)
    assert (task.created, task.sent, accepted.has_webhooks) == (row.created, row.sent, has_webhooks)
    written = [query for query in queries if "SAVEPOINT" not in query["sql"]]
    assert (task.sent is not None, len(written)) == (is_sent, 2 * statements - 1)  # asked before, and again


def test_insert_returns_the_primary_key(statements):
    body = Body(task=stored(), kind=Body.RESPONSE, content=b"x", size=1)
    PreparedInsert(Body).insert(body)
    assert body.pk == Body.objects.get().pk


def test_update_returns_the_changed_row(statements, django_assert_num_queries):
    rows = PreparedRows(lambda: AsyncTask.objects.filter(pk=slot("id")).annotate(twice=Concat("account", "account")))
    update = PreparedUpdate(lambda: AsyncTask.objects.filter(pk=slot("id"), state=State.PENDING), worker=slot("worker"))
    change, task = UpdateReturning(update, rows), stored(account="one")
    with django_assert_num_queries(statements):
        changed = change.update(id=task.pk, worker="me")
    assert (changed.worker, changed.twice) == ("me", "oneone")
    assert same(changed, AsyncTask.objects.get())


def test_update_that_matches_nothing_returns_none(statements):
    update = PreparedUpdate(lambda: AsyncTask.objects.filter(pk=slot("id"), state=State.DONE), worker=slot("worker"))
    change = UpdateReturning(update, PreparedRows(lambda: AsyncTask.objects.filter(pk=slot("id"))))
    assert change.update(id=stored().pk, worker="me") is None


@pytest.mark.parametrize("content", [bytes(range(256)), b"", None])
def test_insert_writes_all_bytes(content):
    body = Body(task=stored(), kind=Body.RESPONSE, content=content, size=1)
    PreparedInsert(Body).insert(body)
    row = Body.objects.get()
    assert (row.content if row.content is None else bytes(row.content)) == content
    assert body.pk in (row.pk, None)


def test_parameters_are_escaped():
    stored(account="one")
    assert OF_ACCOUNT.count(account="x' OR '1'='1") == 0
    assert OF_ACCOUNT.count(account="%s") == 0


@pytest.mark.parametrize("value", [{}, {"a": [1, "ü"]}, [["A", "b"]], []])
def test_json_column_takes_the_values_of_a_model(value):
    task = stored()
    change = PreparedUpdate(lambda: AsyncTask.objects.filter(pk=slot("id")), response_headers=slot("response_headers"))
    assert change.update(id=task.pk, response_headers=value) == 1
    task.refresh_from_db()
    assert task.response_headers == value


def test_duration_is_added_to_the_databases_time():
    task = stored()
    change = PreparedUpdate(
        lambda: AsyncTask.objects.filter(pk=slot("id")),
        started=Now(),
        finished=after(Slot("length", models.DurationField())),
    )
    change.update(id=task.pk, length=dt.timedelta(hours=1, milliseconds=250))
    task.refresh_from_db()
    assert abs(task.finished - task.started - dt.timedelta(hours=1, milliseconds=250)) < dt.timedelta(milliseconds=2)


def test_update_returns_the_number_of_changed_rows():
    change = PreparedUpdate(lambda: AsyncTask.objects.filter(pk=slot("id")), worker=slot("worker"))
    assert change.update(id=uuid.uuid4(), worker="nobody") == 0
    assert change.update(id=stored().pk, worker="somebody") == 1


@pytest.mark.parametrize("target", [State.DONE, State.CANCEL])
def test_prepared_transition_is_the_same_sql_as_the_querysets(target):
    task, day = stored(), dt.timedelta(days=1)
    dates = {"finished": Now(), "deletion_date": after(day), "purge_date": after(day)}
    with CaptureQueriesContext(connection) as queries:
        AsyncTask.objects.filter(pk=task.pk).transition(target, expected_attempt=7, **dates, reason="")
        end = prepared.end(target, ("reason",), is_mine=True, is_overdue=False)
        end.update(id=task.pk, expected_attempt=7, retention=day, window=day, reason="")
    plain, compiled = (query["sql"].replace("(", "").replace(")", "") for query in queries)
    unquoted = compiled.replace('"this"', "this")  # Django 6.1 quotes aliases
    alike = unquoted.replace(" AS this SET", " SET").replace("this.", '"asyncexchange_asynctask".')
    assert alike.partition(" RETURNING ")[0] == plain


# Several writes in one statement --------------------------------------------------------------------------------------

CHAINS = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL writes several at once")


def of(task, content):
    return {**Body(task_id=task.pk, kind=Body.RESPONSE, content=content, size=len(content)).__dict__}


def bodies_of(task):
    return {body.kind: bytes(body.content) for body in Body.objects.filter(task=task)}


@pytest.fixture
def rename():
    """Sets the worker of a task, deletes its request and inserts a body."""
    rows = AsyncTask.objects.filter(pk=slot("id"), worker="one")
    returning = PreparedRows(lambda: AsyncTask.objects.filter(pk=slot("id")).with_now())
    requests = Body.objects.filter(task_id=Slot("task", models.UUIDField()), kind=Body.REQUEST)
    change = UpdateReturning(PreparedUpdate(lambda: rows, worker=slot("worker")), returning)
    return WriteTogether(change, PreparedDelete(lambda: requests), PreparedInsert(Body))


@CHAINS
def test_chain_writes_all_rows_in_one_statement(rename):
    task = stored(worker="one")
    Body.objects.create(task=task, kind=Body.REQUEST, content=b"asked", size=5)
    with CaptureQueriesContext(connection) as queries:
        row, others = rename.execute({"id": task.pk, "worker": "two"}, {"task": task.pk}, of(task, b"told 100%"))
    changed = rename.first.read(row, "default")
    assert (len(queries), others, changed.worker, "now" in vars(changed)) == (1, [], "two", True)
    assert (AsyncTask.objects.get(pk=task.pk).worker, bodies_of(task)) == ("two", {"response": b"told 100%"})


@CHAINS
def test_chain_writes_nothing_when_its_row_does_not_match(rename):
    task = stored(worker="another")
    Body.objects.create(task=task, kind=Body.REQUEST, content=b"asked", size=5)
    assert rename.execute({"id": task.pk, "worker": "two"}, {"task": task.pk}, of(task, b"told")) is None
    assert (AsyncTask.objects.get(pk=task.pk).worker, bodies_of(task)) == ("another", {"request": b"asked"})


@CHAINS
def test_chain_is_atomic(rename):
    task = stored(worker="one")
    Body.objects.create(task=task, kind=Body.REQUEST, content=b"asked", size=5)
    twice = {**of(task, b"told"), "kind": None}
    with pytest.raises(IntegrityError), transaction.atomic():
        rename.execute({"id": task.pk, "worker": "two"}, {"task": task.pk}, twice)
    assert (AsyncTask.objects.get(pk=task.pk).worker, bodies_of(task)) == ("one", {"request": b"asked"})


@pytest.fixture
def accept():
    """Accepts a task with two bodies, unless its account has one already."""
    returning = PreparedValues(lambda: AsyncTask.objects.values("created", "sent"))
    insert, body = PreparedInsert(AsyncTask, returning), PreparedInsert(Body)
    return WriteTogether(insert, body, body, unless=OF_ACCOUNT)


@CHAINS
def test_chain_inserts_a_row_and_those_that_refer_to_it(accept):
    (task,) = of_account("one")
    row, others = accept.execute(task.__dict__, of(task, b"told"), {**of(task, b"asked"), "kind": Body.REQUEST})
    accept.first.read(row, task, "default")
    assert (bodies_of(task), others) == ({"response": b"told", "request": b"asked"}, [])
    row = AsyncTask.objects.get(pk=task.pk)
    assert (task.created, task.sent, task._state.adding, task._state.db) == (row.created, row.sent, False, "default")
    assert same(row, task)


@pytest.fixture
def rename_all():
    """Sets the worker of a task that has the worker ``one``, inserts a body, and sets that of two others."""

    def change(returning):
        rows = AsyncTask.objects.filter(pk=slot("id"), worker="one")
        return UpdateReturning(PreparedUpdate(lambda: rows, worker=slot("worker")), PreparedRows(returning))

    def renamed():
        return AsyncTask.objects.filter(pk=slot("id"))

    key = PreparedRows(lambda: renamed().only("pk"), into=lambda task: task.pk)
    only_key = UpdateReturning(
        PreparedUpdate(lambda: AsyncTask.objects.filter(pk=slot("id"), worker="one"), worker=slot("worker")), key
    )
    return WriteTogether(change(renamed), only_key, PreparedInsert(Body), change(lambda: renamed().with_now()))


@CHAINS
@pytest.mark.parametrize("workers", [("one", "one"), ("one", "x"), ("x", "one"), ("x", "x")])
def test_chain_returns_what_each_of_its_updates_returned(rename_all, workers):
    first, second, third = (stored(worker=worker) for worker in ("one", *workers))
    given = [{"id": task.pk, "worker": name} for task, name in ((first, "a"), (second, "b"), (third, "c"))]
    with CaptureQueriesContext(connection) as queries:
        row, (key, last) = rename_all.execute(given[0], given[1], of(first, b"told"), given[2])
    assert len(queries) == 1
    assert rename_all.first.read(row, "default").worker == "a"
    assert key == (second.pk if workers[0] == "one" else None)
    assert (last and (last.pk, last.worker)) == ((third.pk, "c") if workers[1] == "one" else None)
    assert bodies_of(first) == {"response": b"told"}


@CHAINS
def test_chain_changes_nothing_else_when_its_row_does_not_match(rename_all):
    first, second, third = (stored(worker=worker) for worker in ("x", "one", "one"))
    given = [{"id": task.pk, "worker": "new"} for task in (first, second, third)]
    assert rename_all.execute(given[0], given[1], of(first, b"told"), given[2]) is None
    assert set(AsyncTask.objects.values_list("worker", flat=True)) == {"x", "one"}


@CHAINS
def test_chain_inserts_nothing_when_its_condition_is_met(accept):
    stored(account="one")
    (task,) = of_account("one")
    assert accept.execute(task.__dict__, of(task, b"always"), of(task, b"if sent")) is None
    assert (AsyncTask.objects.count(), Body.objects.count(), task._state.adding) == (1, 0, True)
