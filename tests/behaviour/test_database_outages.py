"""A database that fails during a request: the client gets a 503, and nothing is half done."""

from __future__ import annotations

import base64
import itertools

import pytest
from django.contrib.auth import get_user_model
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.worker import runner

from ..services import IDLE, Failing, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

MOYSKLAD = "/api/remap/1.2"


@pytest.fixture(autouse=True)
def few_at_work(settings):
    """One call of an account runs at a time, so that its end dispatches the next."""
    mounts = {
        "prefer": {"PREFIX": "/async", "SHARE": 1},
        "moysklad": {"PREFIX": MOYSKLAD, "SHARE": 1, "CAPACITY": None},
    }
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, DIALECTS=mounts)


@pytest.fixture
def client():
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_user("anna"))
    return client


def waiting(client):
    """The older of two calls; the other is not dispatched until it ends."""
    for _ in range(2):
        assert client.post("/ran/", headers={"Prefer": "respond-async"}).status_code == 202
    return AsyncTask.objects.earliest("created", "pk")


def done(client):
    task = waiting(client)
    runner.run(str(task.pk))
    return task


def everything():
    """All tasks with their states, and the number of bodies."""
    return sorted(AsyncTask.objects.values_list("pk", "state")), Body.objects.count()


@pytest.mark.parametrize(
    ("before", "ask", "success"),
    [
        pytest.param(
            waiting,
            lambda client, task: client.post(
                "/ran/", b"x" * 200_000, content_type="text/plain", headers={"Prefer": "respond-async"}
            ),
            202,
            id="submit what is large",
        ),
        pytest.param(
            waiting,
            lambda client, task: client.post("/ran/", headers={"Prefer": "respond-async", "Idempotency-Key": '"1"'}),
            202,
            id="submit once",
        ),
        pytest.param(
            waiting, lambda client, task: client.get(f"{MOYSKLAD}/ran/?async=true"), 202, id="submit to moysklad"
        ),
        pytest.param(waiting, lambda client, task: client.get(f"/async/tasks/{task.pk}"), 202, id="status"),
        pytest.param(done, lambda client, task: client.get(f"/async/tasks/{task.pk}"), 303, id="status at the end"),
        pytest.param(done, lambda client, task: client.get(f"/async/tasks/{task.pk}/result"), 200, id="result"),
        pytest.param(waiting, lambda client, task: client.delete(f"/async/tasks/{task.pk}"), 204, id="cancel"),
        pytest.param(waiting, lambda client, task: client.get("/async/tasks"), 200, id="list"),
        pytest.param(waiting, lambda client, task: client.get(f"{MOYSKLAD}/async/"), 200, id="list of moysklad"),
    ],
)
def test_request_succeeds_or_is_a_503_without_effect_whichever_statement_fails(client, before, ask, success):
    for at in itertools.count():
        AsyncTask.objects.all().delete()
        task = before(client)
        found, failing = everything(), Failing(at)
        with connection.execute_wrapper(failing):
            response = ask(client, task)
        if failing.failed is None:
            break
        if response.status_code != success:
            assert (response.status_code, int(response["Retry-After"])) == (503, 5), failing.failed
            assert everything() == found, failing.failed
    assert (response.status_code, at > 2) == (success, True)


def test_failing_authentication_query_is_a_503_with_retry_after():
    get_user_model().objects.create_user("otto", password="a password")
    known = {"Authorization": "Basic " + base64.b64encode(b"otto:a password").decode(), "Prefer": "respond-async"}
    failing = Failing(at=0)
    with connection.execute_wrapper(failing):
        response = Client(raise_request_exception=False).post("/throttled/", headers=known)
    assert "auth_user" in failing.failed
    assert (response.status_code, response["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_poll_while_the_database_is_down_is_a_503_with_retry_after(client, error):
    def refuse(*args):
        raise error("the database is away")

    task = waiting(client)
    with connection.execute_wrapper(refuse):
        response = client.get(f"/async/tasks/{task.pk}")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.json()["detail"] == "Unavailable for a moment; try again later."
