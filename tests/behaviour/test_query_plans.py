"""No operation scans the whole task table on PostgreSQL. With a million rows: ``tests/benchmarks``."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.models.timestamps import Now
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies, queue, statements, transitions
from django_asyncexchange.tasks import dispatch, lifecycle, pruning, recovery
from django_asyncexchange.webhooks import delivery

from ..benchmarks import tables
from ..benchmarks.plans import sequential_scans
from ..services import IDLE, exchange, soon, stored, submitted

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans of PostgreSQL; test_databases brings one"),
    pytest.mark.urls("tests.services"),
]

ROWS, ACCOUNTS = 20_000, 500


@pytest.fixture(scope="module")
def grown(django_db_setup, django_db_blocker):
    """A task table as it grows in use, in a transaction around those of the tests."""
    with django_db_blocker.unblock(), transaction.atomic():
        tables.fill("default", ROWS, ACCOUNTS)
        yield
        transaction.set_rollback(True)


@pytest.fixture
def caller(grown, client):
    """A client of one of many accounts."""
    client.force_login(User.objects.get(pk=7))
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield client


def test_sequential_scan_is_detected(caller):
    assert sequential_scans("default", lambda: list(AsyncTask.objects.filter(worker="nobody")))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?offset=20",
        "?state=API_ERROR",
        "?state__not=DONE",
        "?request__contains=/stock/",
        "?deletion_date__isnull=false",
        "?order_by=-deletion_date",
        "?order_by=url",
        "?state=DONE&method=GET&order_by=finished",
    ],
)
def test_list_page_scans_no_table(caller, query):
    def page():
        assert caller.get(f"/async/tasks{query}").json()["count"] > 0

    assert sequential_scans("default", page) == []


def test_task_lookup_scans_no_table(caller):
    task = AsyncTask.objects.filter(account="7").first()
    assert sequential_scans("default", lambda: caller.get(f"/async/tasks/{task.pk}")) == []


def test_submit_claim_and_fail_scan_no_table(caller):
    task = submitted(dialect="prefer", account="7")
    assert sequential_scans("default", lambda: submitted(dialect="prefer", account="7")) == []
    assert sequential_scans("default", lambda: lifecycle.claim(task.pk)) == []
    claimed = lifecycle.claim(submitted(dialect="prefer", account="7").pk)
    assert sequential_scans("default", lambda: lifecycle.fail(claimed, "exception")) == []


FLOOD = 3000


@pytest.fixture
def flood(caller):
    """Thousands of calls of two accounts, inserted after the last ANALYZE."""
    waiting = stored(dialect="prefer", account="flooder")
    same = ", ".join(field.column for field in AsyncTask._meta.concrete_fields if field.name not in ("id", "account"))
    copy = f"SELECT gen_random_uuid(), %s, {same} FROM {tables.TASKS}, generate_series(1, %s) WHERE id = %s"
    with connection.cursor() as cursor:
        for account in ("flooder", "another"):
            cursor.execute(f"INSERT INTO {tables.TASKS} (id, account, {same}) {copy}", [account, FLOOD, waiting.pk])


def most_rows(work):
    """The most rows or index entries that one plan node of the statements of ``work`` has read."""
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        work()
        transaction.set_rollback(True)
    plans = []
    with connection.cursor() as cursor:
        for query in queries:
            if query["sql"].startswith(("SELECT", "INSERT", "UPDATE", "WITH")):
                with transaction.atomic():
                    cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"])
                    plans += [cursor.fetchone()[0][0]["Plan"]]
                    transaction.set_rollback(True)
    return max(seen for plan in plans for seen in looked_at(plan))


def looked_at(plan):
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    yield (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from looked_at(part)


def test_read_of_all_pending_rows_is_detected(flood):
    assert most_rows(lambda: list(AsyncTask.objects.waiting().filter(url=""))) >= FLOOD


def test_submit_dispatch_and_end_read_few_pending_rows(flood):
    dialect, share = conf.dialect("prefer"), conf.dialect("prefer").policy.share
    few = 4 * share
    assert most_rows(lambda: submitted(dialect="prefer", account="flooder")) < few
    assert most_rows(lambda: dispatch.dispatch_account(dialect, "flooder")) < few
    task = stored(dialect="prefer", account="flooder")
    assert most_rows(lambda: lifecycle.claim(task.pk)) < few
    claimed = lifecycle.claim(task.pk)
    assert most_rows(lambda: lifecycle.fail(claimed, "exception")) < few


def test_end_scans_no_table_when_most_tasks_are_pending(flood):
    AsyncTask.objects.finished()._raw_delete(connection.alias)
    AsyncTask.objects.update(account="flooder")
    claimed = lifecycle.claim(stored(dialect="prefer", account="flooder").pk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert sequential_scans("default", lambda: lifecycle.fail(claimed, "exception")) == []


@pytest.mark.parametrize("ready", [100, 2 * FLOOD])
@pytest.mark.parametrize("is_analyzed", [True, False])
def test_look_for_ready_tasks_reads_a_few_of_them(flood, ready, is_analyzed):
    keys = AsyncTask.objects.of_mount("prefer").waiting().values("pk")[:ready]
    assert AsyncTask.objects.filter(pk__in=list(keys.values_list("pk", flat=True))).update(sent=Now()) == ready
    if is_analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    few = 4 * statements.BATCH
    look = lifecycle.look()
    assert most_rows(lambda: transitions.ready(look.since)) < few
    assert most_rows(lambda: transitions.claim_next(look)) < few
    assert most_rows(lambda: lifecycle.claim_next(look)) < few
    claimed = lifecycle.claim_next(look)
    since = dataclasses.replace(look, since=claimed.task.sent)
    assert most_rows(lambda: ended(claimed, since)) < few
    assert sequential_scans("default", lambda: transitions.claim_next(since)) == []


@pytest.mark.parametrize("ready", [100, 2 * FLOOD])
@pytest.mark.parametrize("is_analyzed", [True, False])
def test_estimate_reads_few_of_many_pending_rows(flood, ready, is_analyzed):
    keys = AsyncTask.objects.of_mount("prefer").waiting().values("pk")[:ready]
    assert AsyncTask.objects.filter(pk__in=list(keys.values_list("pk", flat=True))).update(sent=Now()) == ready
    tasks = [stored(dialect="prefer", account="flooder", sent=sent) for sent in (None, soon(minutes=1))]
    if is_analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    for work in (queue.recent, *(functools.partial(queue.ahead_of, task) for task in tasks)):
        assert most_rows(work) <= queue.MOST
        assert sequential_scans("default", work) == []


def test_position_reads_few_rows_after_a_flood_has_ended(flood):
    """The statistics are those of the flood, when all tasks waited."""
    AsyncTask.objects.finished()._raw_delete(connection.alias)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    AsyncTask.objects.update(state=State.DONE, sent=Now(), started=Now(), finished=Now())
    task = stored(dialect="prefer", account="flooder")
    assert most_rows(lambda: queue.ahead_of(task)) < 100
    assert most_rows(queue.recent) <= queue.MOST


def test_estimate_finds_recent_runs_behind_many_pending_rows(flood):
    assert len(queue.recent().runs) == queue.SAMPLE


def ended(claim, look):
    response = {"status": 200, "reason_phrase": "OK", "headers": ()}
    assert lifecycle.finish(claim, **response, draft=bodies.write([b"{}"], limit=100), next_look=look).next


def test_look_without_ready_tasks_reads_few_of_many_waiting_ones(flood):
    assert most_rows(lambda: lifecycle.claim_next(lifecycle.look())) < 4 * statements.BATCH


@pytest.mark.parametrize("work", [recovery.recover, dispatch.sweep, delivery.sweep, pruning.prune])
def test_maintenance_scans_no_table(caller, work):
    assert sequential_scans("default", work) == []
