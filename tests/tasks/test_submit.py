"""Idempotency keys, shared capacity and the queue limit, over HTTP and in the store."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from django_asyncexchange.conf import conf
from django_asyncexchange.exceptions import CapacityExceeded
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.sql.writes import can_return, can_write_at_once
from django_asyncexchange.tasks import lifecycle, pruning, submit
from django_asyncexchange.worker import runner

from ..services import BROKEN, IDLE, Idle, exchange, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
PREFER = {"Prefer": "respond-async"}
SOLITUDE = {"Solitude-Async": "yes"}


@pytest.fixture(autouse=True)
def idle():
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield Idle.sent


def signed_in(name):
    client = Client()
    client.force_login(User.objects.get_or_create(username=name)[0])
    return client


@pytest.fixture
def anna(db):
    return signed_in("anna")


@pytest.fixture
def otto(db):
    return signed_in("otto")


class TestIdempotencyKey:
    def post(self, client, body="a=1", path="/ran/", **headers):
        form = "application/x-www-form-urlencoded"
        return client.post(path, body, content_type=form, headers={**PREFER, **KEY, **headers})

    def test_repeated_call_gets_the_same_task(self, anna):
        first, second = self.post(anna), self.post(anna)
        assert (first.status_code, second.status_code) == (202, 202)
        assert first["Location"] == second["Location"]
        assert AsyncTask.objects.count() == 1

    def test_repeated_call_is_marked_as_replayed(self, anna):
        first, second = self.post(anna), self.post(anna)
        assert "Idempotency-Replayed" not in first
        assert second["Idempotency-Replayed"] == "true"

    def test_repeated_call_is_dispatched_once(self, anna, idle):
        self.post(anna), self.post(anna)
        assert len(idle) == 1

    def test_key_used_concurrently_is_found_inside_the_projects_transaction(self, anna, monkeypatch):
        first = self.post(anna)
        looks = [lambda task: None, submit._earlier]
        monkeypatch.setattr(submit, "_earlier", lambda task: looks.pop(0)(task))
        with transaction.atomic():
            assert self.post(anna)["Location"] == first["Location"]
        assert AsyncTask.objects.count() == 1

    def test_repeated_call_finds_a_finished_task(self, anna):
        first = self.post(anna)
        runner.run(str(AsyncTask.objects.get().pk))
        assert self.post(anna)["Location"] == first["Location"]
        assert runs() == 1

    @pytest.mark.parametrize("change", [{"body": "a=2"}, {"path": "/ran/?b=1"}, {"path": "/reveals/"}])
    def test_key_reused_for_another_call_is_a_422(self, anna, change):
        self.post(anna)
        response = self.post(anna, **change)
        assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")
        assert AsyncTask.objects.count() == 1

    def test_key_reused_in_another_dialect_is_a_422(self, anna):
        self.post(anna)
        response = anna.post("/ran/", "a=1", content_type="text/plain", headers={**SOLITUDE, **KEY})
        assert response.status_code == 422
        assert AsyncTask.objects.count() == 1

    def test_key_is_per_owner(self, anna, otto):
        assert self.post(anna)["Location"] != self.post(otto)["Location"]

    def test_key_works_in_other_dialects(self, anna):
        answers = [anna.post("/ran/", headers={**SOLITUDE, **KEY}) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        answers = [anna.get("/api/remap/1.2/ran/?async=true", headers=KEY | {"Idempotency-Key": "2"}) for _ in range(2)]
        assert answers[0]["Location"] == answers[1]["Location"]

    def test_key_lives_as_long_as_its_task(self, anna):
        first = self.post(anna)
        AsyncTask.objects.all().delete()
        assert self.post(anna)["Location"] != first["Location"]

    @pytest.mark.parametrize(
        "key", ["x" * 256, "a b", "ключ".encode().decode("latin-1")], ids=["long", "blank", "cyrillic"]
    )
    def test_invalid_key_is_a_400(self, anna, key):
        assert self.post(anna, **{"Idempotency-Key": key}).status_code == 400
        assert not AsyncTask.objects.exists()

    def test_key_of_255_characters_is_valid(self, anna):
        assert self.post(anna, **{"Idempotency-Key": "x" * 255}).status_code == 202

    def test_key_is_not_stored_in_plain_text(self, anna):
        self.post(anna)
        assert KEY["Idempotency-Key"] not in str(AsyncTask.objects.values_list("idempotency", "fingerprint").get())


class TestSharedCapacity:
    @pytest.fixture
    def two(self):
        given = {**exchange()["DIALECTS"], "cisco": {"PREFIX": "/unifiedconfig/config", "CAPACITY": 2}}
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS=given)):
            yield

    def test_tasks_of_all_accounts_count(self, two):
        for account in "ab":
            submitted(dialect="cisco", account=account)
        with pytest.raises(CapacityExceeded):
            submitted(dialect="cisco", account="c")

    def test_tasks_of_other_dialects_do_not_count(self, two):
        for account in "ab":
            submitted(dialect="solitude", account=account)
        assert submitted(dialect="cisco", account="c").pk

    def test_task_over_the_queue_limit_does_not_count(self, two):
        for account in "ab":
            submitted(dialect="cisco", account=account)
        AsyncTask.objects.filter(account="a").update(created=timezone.now() - dt.timedelta(seconds=31))
        assert submitted(dialect="cisco", account="c").pk


class TestQueueLimit:
    def waiting(self, seconds, **fields):
        return stored(dialect="cisco", created=timezone.now() - dt.timedelta(seconds=seconds), **fields)

    @pytest.mark.seed("S003-21")
    def test_task_over_the_queue_limit_does_not_start(self):
        task = self.waiting(31)
        runner.run(str(task.pk))
        task.refresh_from_db()
        assert (task.state, task.reason, task.attempt, runs()) == (State.ERROR, Reason.QUEUE_TIMEOUT, 0, 0)

    def test_task_within_the_queue_limit_starts(self):
        task = self.waiting(20)
        runner.run(str(task.pk))
        assert runs() == 1

    def test_other_dialects_have_no_queue_limit(self):
        task = stored(created=timezone.now() - dt.timedelta(days=1))
        runner.run(str(task.pk))
        assert runs() == 1

    @pytest.mark.seed("S003-22")
    def test_poll_finds_the_queue_timeout_without_a_worker(self, anna):
        owner = User.objects.get()
        task = self.waiting(31, owner=owner)
        address = f"/unifiedconfig/config/asyncrequeststatus/{task.pk}"
        answers = [anna.get(address, headers={"Accept": "application/json"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [503, 503]
        assert answers[0].json()["apiError"][0]["errorType"] == "asyncRequest.timedOut"
        task.refresh_from_db()
        assert task.reason == Reason.QUEUE_TIMEOUT

    def test_prune_finds_the_queue_timeout(self):
        task = self.waiting(31)
        pruning.prune()
        task.refresh_from_db()
        assert task.state == State.ERROR

    def test_running_task_has_no_queue_timeout(self):
        task = stored(State.PROCESSING, dialect="cisco", created=timezone.now() - dt.timedelta(seconds=90))
        assert lifecycle.end_overdue(conf.dialect("cisco")) == 0
        task.refresh_from_db()
        assert task.state == State.PROCESSING


def test_submit_without_capacity_and_key_is_one_insert(django_assert_num_queries):
    asked = 0 if can_return("default") else 2  # how many are at work, and what was written
    around = 0 if can_write_at_once("default") else 2  # BEGIN and COMMIT
    with django_assert_num_queries(1 + around + asked):
        submitted(dialect="solitude")


def test_call_refused_by_the_broker_is_accepted_once_under_its_key(anna):
    form = {"content_type": "text/plain", "headers": {**PREFER, **KEY}}
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=BROKEN)):
        first = anna.post("/ran/", "a=1", **form)
    second = anna.post("/ran/", "a=1", **form)
    assert (first.status_code, second.status_code) == (202, 202)
    assert (second["Idempotency-Replayed"], AsyncTask.objects.count()) == ("true", 1)
