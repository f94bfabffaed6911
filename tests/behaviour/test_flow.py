"""Whole calls over HTTP with the worker run by hand: what clients of the protocols rely on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange, runs, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.services"),
    pytest.mark.usefixtures("moved_mounts"),
]

REPORT = "/api/remap/1.2/ran/?async=true"


@pytest.fixture
def anna(db):
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return client


@pytest.fixture(autouse=True)
def idle():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield


@pytest.mark.seed("S001-13", "S003-2")
def test_202_is_sent_before_the_view_runs(anna):
    assert anna.get(REPORT).status_code == 202
    assert (AsyncTask.objects.get().state, runs()) == (State.PENDING, 0)


@pytest.mark.seed("S004-8")
def test_call_is_queued_run_and_replayed(anna):
    replay = anna.post("/ran/", headers={"Solitude-Async": "yes"}).json()["replay"]
    assert anna.get(replay)["Solitude-Async"] == "no"
    runner.run(str(AsyncTask.objects.get().pk))
    assert (anna.get(replay)["Solitude-Async"], runs()) == ("yes", 1)


@pytest.mark.seed("S002-28")
@pytest.mark.parametrize("method", ["put", "patch", "post", "delete"])
def test_task_is_read_only_over_http(anna, method):
    status = anna.get(REPORT)["Content-Location"]
    before = AsyncTask.objects.values().get()
    response = getattr(anna, method)(status, {"state": "DONE"}, content_type="application/json")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (405, 1039)
    assert AsyncTask.objects.values().get() == before


@pytest.mark.seed("S000-35")
def test_lost_call_is_not_run_again_and_shown_as_unknown(anna):
    task = stored(dialect="mailru", owner=User.objects.get())
    lifecycle.fail(lifecycle.claim(task.pk), Reason.LOST)
    runner.run(str(task.pk))
    status = anna.get(f"/async_api/v2/requests/{task.pk}.json")
    assert (status.status_code, status.json()["status"], runs()) == (200, "unknown", 0)


@pytest.mark.seed("S003-9")
def test_call_over_capacity_is_refused_with_retry_after(anna):
    given = {**exchange()["DIALECTS"], "cisco": {"PREFIX": "", "CAPACITY": 1}}
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS=given)):
        first, second = (anna.post("/ran/?async=true") for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 503)
    assert second["Retry-After"].isdigit()
    assert AsyncTask.objects.count() == 1


class TestAnonymous:
    """With ``ALLOW_ANONYMOUS``, anyone who knows a task's id may read it, and nothing more."""

    @pytest.fixture(autouse=True)
    def allowed(self, idle):
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)):
            yield

    def test_task_is_readable_by_its_id(self):
        accepted = Client().get(REPORT)
        assert Client().get(accepted["Content-Location"]).status_code == 200

    def test_list_is_empty(self):
        Client().get(REPORT)
        assert Client().get("/api/remap/1.2/async").json()["rows"] == []

    def test_task_of_a_deleted_user_is_a_404(self, anna):
        status = anna.get(REPORT)["Content-Location"]
        User.objects.all().delete()
        assert Client().get(status).status_code == 404


def test_two_mounts_of_one_dialect_class_have_their_own_options(anna):
    remap = "django_asyncexchange.dialects.moysklad.MoySklad"
    given = {
        "wide": {"CLASS": remap, "PREFIX": "/api/remap/1.2", "CAPACITY": 2},
        "narrow": {
            "CLASS": remap,
            "PREFIX": "/kladana/api/remap/1.2",
            "CAPACITY": 1,
            "TEXTS": {"61002": "Wait."},
        },
    }
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS=given)):
        wide = [anna.get(REPORT) for _ in range(3)]
        narrow = [anna.get(f"/kladana{REPORT}") for _ in range(2)]
    assert [answer.status_code for answer in wide] == [202, 202, 412]
    assert [answer.status_code for answer in narrow] == [202, 412]
    assert narrow[-1].json()["errors"] == [{"error": "Wait.", "code": 61002}]
