"""``Prefer: wait=N``: the response itself if it is there in time; PostgreSQL notifies the waiting request."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.tasks import lifecycle, waiting
from django_asyncexchange.worker import runner

from ..services import IDLE, PATIENCE, exchange, stored, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture
def anna(db):
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return client


@pytest.fixture
def helper():
    """Runs a function in a thread with its own connections."""

    def act(work):
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        yield lambda work: pool.submit(act, work)


def run_what_comes():
    """A worker that waits for one task and runs it."""
    runner.run(str(until(AsyncTask.objects.first).pk))


def test_response_in_time_is_sent_at_once(anna, helper):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        work = helper(run_what_comes)
        response = anna.post("/answers/201/", headers={"Prefer": "respond-async, wait=15"})
        work.result()
    assert (response.status_code, response.content, response["X-Own"]) == (201, b"the answer", "kept")
    assert response["Preference-Applied"] == "respond-async, wait=15"


def test_response_of_a_finished_task_is_sent_without_waiting(anna):
    response = anna.post("/answers/201/", headers={"Prefer": "respond-async, wait=15"})
    assert response.status_code == 201


def test_wait_in_vain_ends_in_the_202(anna):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, MAX_WAIT_SECONDS=0.1)):
        response = anna.post("/answers/201/", headers={"Prefer": "respond-async, wait=1"})
    assert (response.status_code, response["Preference-Applied"]) == (202, "respond-async")


@pytest.mark.parametrize("wait", ["wait=0", "wait=-5", "wait=soon", "wait=99999999999999999999", "wait"])
def test_invalid_wait_is_ignored(anna, wait):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        assert anna.post("/answers/201/", headers={"Prefer": f"respond-async, {wait}"}).status_code == 202


def test_task_that_ends_without_a_response_leaves_the_202(anna, helper):
    def lose():
        claim = lifecycle.claim(until(AsyncTask.objects.first).pk)
        lifecycle.fail(claim, Reason.LOST)

    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        work = helper(lose)
        assert anna.post("/answers/201/", headers={"Prefer": "respond-async, wait=15"}).status_code == 202
        work.result()


def test_wait_works_with_other_triggers(anna):
    response = anna.post("/answers/201/", headers={"Solitude-Async": "yes", "Prefer": "wait=15"})
    assert (response.status_code, response["Preference-Applied"]) == (201, "wait=15")


def test_synchronous_call_does_not_wait(anna):
    response = anna.post("/answers/201/", headers={"Prefer": "wait=15"})
    assert "Preference-Applied" not in response
    assert not AsyncTask.objects.exists()


def test_asgi_request_waits():
    client = AsyncClient()
    client.force_login(User.objects.create(username="anna"))
    response = async_to_sync(client.post)("/answers/201/", headers={"Prefer": "respond-async, wait=15"})
    assert (response.status_code, response.content) == (201, b"the answer")


def test_polling_interval_grows(django_assert_max_num_queries):
    task = stored(State.PROCESSING)
    with django_assert_max_num_queries(8):  # 10, 20, 40, 80, 160, 320 ms; two more statements for LISTEN and UNLISTEN
        assert waiting.until_final(task.pk, 0.5) is None


def test_postgresql_notify_ends_a_wait(helper):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL can wake a waiter; tests/test_databases.py runs this file there")
    task, began = stored(State.PROCESSING), threading.Event()

    def wait():
        began.set()
        queries = []
        with connection.execute_wrapper(lambda run, sql, *rest: (queries.append(sql), run(sql, *rest))[1]):
            found = waiting.until_final(task.pk, PATIENCE)
        return found, [sql for sql in queries if sql.startswith("SELECT")]

    work = helper(wait)
    assert began.wait(PATIENCE)
    time.sleep(0.2)  # lets it fall asleep; too early only makes the test weaker, not wrong
    lifecycle.cancel(task)
    found, looks = work.result(PATIENCE)
    assert found.state == State.CANCEL
    assert len(looks) == 2


def test_lost_listening_session_leaves_the_202(anna, helper):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL is listened to; tests/test_databases.py runs this file there")

    def end_the_listener():
        listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s AND pid <> %s"

        def ended():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                [me] = cursor.fetchone()
                cursor.execute(f"{listening} AND datname = current_database()", ["%asyncexchange_asynctask%", me])
                return cursor.fetchall()

        until(AsyncTask.objects.exists)
        until(ended)

    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        work = helper(end_the_listener)
        response = anna.post("/answers/201/", headers={"Prefer": "respond-async, wait=15"})
        work.result()
    assert (response.status_code, AsyncTask.objects.count()) == (202, 1)


# Poolers --------------------------------------------------------------------------------------------------------------

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL tells")


@on_postgresql
def test_behind_a_pooler_the_wait_polls_without_listen(monkeypatch):
    monkeypatch.setattr(waiting, "_pooled", {connection.alias: True})
    task = stored(State.DONE)
    with CaptureQueriesContext(connection) as queries:
        assert waiting.until_final(task.pk, PATIENCE) == task
    assert not [query for query in queries if "LISTEN" in query["sql"]]


@on_postgresql
def test_pooler_is_detected_by_the_backend_pid(monkeypatch):
    """Behind PgBouncer it differs from the session's own."""
    monkeypatch.setattr(waiting, "_pooled", {})
    driver = SimpleNamespace(info=SimpleNamespace(backend_pid=1))
    assert waiting.is_pooled(SimpleNamespace(alias="pooled", connection=driver, cursor=connection.cursor))


@on_postgresql
def test_direct_session_listens(monkeypatch):
    monkeypatch.setattr(waiting, "_pooled", {})
    connection.ensure_connection()
    assert not waiting.is_pooled(connection)
    with CaptureQueriesContext(connection) as queries:
        waiting.until_final(stored(State.DONE).pk, PATIENCE)
    assert [query["sql"].split()[0] for query in queries if "LISTEN" in query["sql"]] == ["LISTEN", "UNLISTEN"]
