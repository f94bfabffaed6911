"""``Prefer: wait=N``: the response itself if it is there in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import AsyncClient, Client, override_settings

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange, run_alone, soon, stored, until

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


# Polls ----------------------------------------------------------------------------------------------------------------

WAIT = {"Prefer": "wait=30"}
POLLS = [
    ("prefer", "/async/tasks/{id}"),
    ("prefer", "/async/operations/{id}"),
    ("prefer", "/async/tasks/{id}/result"),
    ("solitude", "/delay/result/{id}/"),
    ("solitude", "/delay/replay/{id}/"),
    ("moysklad", "/api/remap/1.2/async/{id}"),
    ("moysklad", "/api/remap/1.2/async/{id}/result"),
    ("kladana", "/kladana/api/remap/1.2/async/{id}"),
    ("mailru", "/async_api/v2/requests/{id}.json"),
    ("mailru", "/async_api/v2/responses/{id}.json"),
    ("cisco", "/unifiedconfig/config/asyncrequeststatus/{id}"),
]


def essence(response):
    """What the same poll answers each time: a signed link differs."""
    return response.status_code, response.headers.get("Content-Type"), len(response.content)


@pytest.fixture
def task(anna):
    """A function that stores a ready task of anna's on a mount."""
    user = User.objects.get()

    def make(dialect):
        owned = {"owner": user, "account": str(user.pk), "auth_backend": "django.contrib.auth.backends.ModelBackend"}
        return stored(to="/answers/200/", dialect=dialect, sent=soon(), **owned)

    return make


@pytest.mark.parametrize(("dialect", "address"), POLLS)
def test_poll_waits_for_the_end(anna, helper, task, dialect, address):
    ready = task(dialect)
    url = address.format(id=ready.pk)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        before = anna.get(url)
        work = helper(lambda: run_alone(ready.pk))
        waited = anna.get(url, headers=WAIT)
        work.result()
        after = anna.get(url)
    assert essence(waited) == essence(after) != essence(before)


def test_poll_in_vain_names_the_wait_that_was_applied(anna, task):
    url = f"/async/tasks/{task('prefer').pk}"
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, MAX_WAIT_SECONDS=0.1)):
        waited = anna.get(url, headers=WAIT)
        assert "Preference-Applied" not in anna.get(url)
    assert (waited.status_code, waited["Preference-Applied"]) == (202, "wait=0.1")


def test_poll_over_asgi_waits_for_the_end(anna, helper, task):
    ready, client = task("prefer"), AsyncClient()
    client.cookies = anna.cookies
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        work = helper(lambda: run_alone(ready.pk))
        waited = async_to_sync(client.get)(f"/async/tasks/{ready.pk}", headers=WAIT)
        work.result()
    assert waited.status_code == 303


def test_poll_that_waits_counts_as_one_request(anna, task):
    url = f"/async/tasks/{task('prefer').pk}"
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, MAX_WAIT_SECONDS=0.01, THROTTLE_RATE="2/min")):
        assert [anna.get(url, headers=WAIT).status_code for _ in range(3)] == [202, 202, 429]


def test_stranger_does_not_wait(helper, task):
    client = Client()
    client.force_login(User.objects.create(username="bob"))
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        assert client.get(f"/async/tasks/{task('prefer').pk}", headers=WAIT).status_code == 404


def test_caller_is_authenticated_again_after_a_wait(anna, helper, task):
    """Whoever has logged out in the meantime does not get the result."""
    ready = task("prefer")

    def run():
        User.objects.update(is_active=False)
        run_alone(ready.pk)

    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        work = helper(run)
        waited = anna.get(f"/async/tasks/{ready.pk}/result", headers=WAIT)
        work.result()
    assert waited.status_code in (401, 403)
