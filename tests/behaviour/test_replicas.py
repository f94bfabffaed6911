"""A router that sends reads to a lagging replica: our queries go to the database that is written."""

from __future__ import annotations

import contextlib
import datetime as dt
import io

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import Client, override_settings

from django_asyncexchange.models import AsyncTask, Body, Delivery, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import dispatch, lifecycle, presence, pruning, recovery, submit, waiting
from django_asyncexchange.webhooks import delivery
from django_asyncexchange.worker import runner

from ..project.replica.base import DatabaseWrapper
from ..services import IDLE, exchange, soon, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

LATER = {"Prefer": "respond-async"}
LIMITED = {"moysklad": {"PREFIX": "/api/remap/1.2", "CAPACITY": 4, "RATE": 100, "STORED_BYTES": 10**6}, "prefer": {}}


class Router:
    """The primary/replica router of Django's documentation."""

    def db_for_read(self, model, **hints):
        return "replica" if model._meta.app_label == "asyncexchange" else None

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, one, other, **hints):
        return True


@pytest.fixture(autouse=True)
def replica(monkeypatch):
    replica = {**connections.settings["default"], "ENGINE": "tests.project.replica"}
    monkeypatch.setitem(connections.settings, "replica", replica)
    monkeypatch.setattr(DatabaseWrapper, "asked", [])
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.Router"]):
        yield
    if hasattr(connections._connections, "replica"):
        del connections["replica"]
    assert DatabaseWrapper.asked == []


@pytest.fixture
def idle():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield


@pytest.fixture
def anna():
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("anna"))
    return client


def posted(client, **headers):
    return client.post("/ran/", b"x" * 100_000, content_type="text/plain", headers={**LATER, **headers})


def shown(client, address):
    """The status; the body is not read."""
    with contextlib.closing(client.get(address)) as response:
        return response.status_code


def test_query_on_the_replica_is_detected():
    with pytest.raises(Exception, match="asked for nothing"):
        AsyncTask.objects.using("replica").exists()
    assert len(DatabaseWrapper.asked) == 1
    DatabaseWrapper.asked.clear()


def test_call_is_accepted_run_and_polled(anna):
    response = posted(anna)
    assert response.status_code == 202
    task = AsyncTask.objects.get()
    for address in (response["Location"], f"/async/tasks/{task.pk}", "/async/tasks", "/async/tasks?state=DONE"):
        assert shown(anna, address) < 400, address
    assert shown(anna, f"/async/tasks/{task.pk}/result") == 200


def test_call_with_wait_is_answered(anna):
    with contextlib.closing(posted(anna, Prefer="respond-async, wait=10")) as response:
        assert response.status_code == 200
    assert waiting.until_final(stored(State.DONE).pk, 0.1) is not None


def test_repeated_idempotency_key_finds_the_first_task(anna, idle):
    first, again = (posted(anna, **{"Idempotency-Key": "one"}) for _ in range(2))
    assert first["Location"] == again["Location"]


def test_limits_are_checked():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS=LIMITED, REQUIRE_WORKER=True)):
        presence.record_heartbeat()
        task = submitted([b"x"])
        submit.rerun(task)
    assert AsyncTask.objects.count() == 2


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_call_is_cancelled(anna, idle, state):
    task = stored(state, owner=get_user_model().objects.get(), dialect="prefer")
    assert anna.delete(f"/async/tasks/{task.pk}").status_code < 300
    task.refresh_from_db()
    assert task.state == State.CANCEL


def test_sweep_recovers_lost_tasks(idle):
    old = {"started": soon(minutes=-60), "sent": soon(minutes=-60)}
    stored(State.PROCESSING, **old)
    stored(State.PROCESSING, method="POST", **old)
    stored(sent=soon(minutes=-60))
    stored()
    out = io.StringIO()
    call_command("asyncexchange_sweep", stdout=out)
    assert "1 again, 1 lost, 1 resent" in out.getvalue()
    assert (recovery.recover()["lost"], dispatch.sweep(), delivery.sweep()) == (0, 0, 0)


def test_bodies_in_files_are_written_read_and_deleted(anna):
    posted(anna)
    task = AsyncTask.objects.get()
    runner.run(str(task.pk))
    assert bodies.read(task.response_body())
    AsyncTask.objects.update(deletion_date=soon(hours=-1), purge_date=soon(hours=-1))
    call_command("asyncexchange_prune", stdout=io.StringIO())
    assert (AsyncTask.objects.count(), Body.objects.count()) == (0, 0)


def test_webhooks_are_created_claimed_and_deleted(anna, idle):
    made = anna.post("/async/webhooks", {"action": "CREATE", "url": "https://there.example/"}, "application/json")
    assert made.status_code == 201
    posted(anna)
    row = Delivery.objects.get()
    assert row.task.state == State.PENDING
    assert row.webhook.url == "https://there.example/"
    assert [taken.pk for taken in delivery.claim(5)] == [row.pk]
    assert Webhook.objects.get().deliveries.count() == 1
    address = f"/async/webhooks/{Webhook.objects.get().pk}"
    assert anna.get("/async/webhooks").status_code == anna.get(address).status_code == 200
    assert anna.delete(address).status_code == 204


def test_admin_shows_tasks(anna, idle):
    task = stored(State.DONE, owner=get_user_model().objects.get(), answer=b"{}")
    listing = "/admin/asyncexchange/asynctask/"
    for address in (listing, f"{listing}{task.pk}/change/"):
        assert anna.get(address, follow=True).status_code in (200, 404), address


def test_finished_task_dispatches_the_next(idle):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS={"moysklad": {"SHARE": 1}})):
        first, _second = submitted(), submitted()
        claim = lifecycle.claim(first.pk)
        draft = bodies.write([b"{}"], limit=100)
        assert lifecycle.finish(claim, status=200, reason_phrase="OK", headers=(), draft=draft)
        assert AsyncTask.objects.exclude(sent=None).count() == 2
        pruning.delete_finished([first])
    assert dt.timedelta() < soon() - AsyncTask.objects.get().created
