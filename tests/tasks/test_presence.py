"""With ``REQUIRE_WORKER``, calls are refused while no worker is present."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.exceptions import NoWorker
from django_asyncexchange.models import AsyncTask, Worker
from django_asyncexchange.protocol import process_id
from django_asyncexchange.tasks import presence, pruning
from django_asyncexchange.worker import runner

from ..dialects.contract import context
from ..services import IDLE, exchange, soon, submitted

INLINE = "django_asyncexchange.executors.inline.Inline"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture(autouse=True)
def required():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, REQUIRE_WORKER=True)):
        yield


def heard(**span):
    Worker.objects.update_or_create(name="somewhere", defaults={"heard": soon(**span)})


@pytest.fixture
def anna():
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return client


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/ran/", {"Prefer": "respond-async"}),
        ("POST", "/ran/", {"Solitude-Async": "yes"}),
        ("GET", "/api/remap/1.2/ran/?async=true", {"Accept-Encoding": "gzip"}),
    ],
    ids=["prefer", "solitude", "moysklad"],
)
def test_a_call_that_nobody_would_run_is_refused_for_now(anna, method, path, headers):
    answer = anna.generic(method, path, headers=headers)
    assert (answer.status_code, answer["Retry-After"], AsyncTask.objects.count()) == (503, "5", 0)


@pytest.mark.parametrize("mount", conf.mounts, ids=lambda mount: mount.name)
def test_the_refusal_is_a_503_in_every_dialect(mount):
    with pytest.raises(NoWorker) as refusal:
        submitted(dialect=mount.name)
    answer = mount.problem(refusal.value, context())
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "5")


def test_with_a_worker_that_was_heard_of_calls_are_accepted():
    heard(seconds=-50)
    assert submitted().pk


def test_a_worker_that_has_fallen_silent_does_not_count():
    heard(seconds=-70)
    with pytest.raises(NoWorker):
        submitted()


def test_workers_that_seldom_sweep_are_waited_for():
    heard(seconds=-70)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, REQUIRE_WORKER=True, SWEEP_SECONDS=30)):
        assert submitted().pk


def test_a_call_that_was_accepted_before_is_found_by_its_key():
    heard(seconds=0)
    task = submitted(key="one")
    heard(seconds=-70)
    assert submitted(key="one").pk == task.pk


def test_a_worker_says_that_it_is_there_each_time_it_keeps_house(monkeypatch):
    stop = threading.Event()
    stop.set()
    runner.run_maintenance(stop)
    first = Worker.objects.get(name=process_id.machine()).heard
    runner.run_maintenance(stop)
    assert Worker.objects.get().heard > first
    assert submitted().pk


def test_where_it_is_not_asked_for_nobody_writes_and_nobody_looks(django_assert_num_queries):
    with override_settings(ASYNC_EXCHANGE=exchange(REQUIRE_WORKER=False)), django_assert_num_queries(0):
        presence.record_heartbeat()
        assert not presence.is_missing()


def test_a_look_is_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        presence.is_missing()


def test_what_runs_calls_at_once_needs_no_worker():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=INLINE)):
        assert submitted().pk


def test_machines_that_are_gone_are_forgotten():
    heard(hours=-25)
    Worker.objects.create(name="else", heard=soon(hours=-23))
    pruning.prune()
    assert Worker.objects.get().name == "else"


# Polls without a running worker --------------------------------------------------------------------------------------


@pytest.fixture
def polled(anna, monkeypatch):
    """Polls a call that was sent to the workers two minutes ago."""
    monkeypatch.setattr(presence, "_last_check", -presence.CHECK_SECONDS)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, REQUIRE_WORKER=False)):
        address = anna.get("/ran/", headers={"Prefer": "respond-async"})["Location"]
        AsyncTask.objects.update(sent=soon(minutes=-2))
        yield lambda: anna.get(address)


def test_a_poll_of_a_call_that_nobody_runs_is_one_line_in_the_log(polled, caplog):
    assert [polled().status_code, polled().status_code] == [202, 202]
    assert caplog.text.count("no call is running: is manage.py asyncexchange_worker running?") == 1


def test_nothing_is_said_where_another_call_is_running(polled, caplog):
    other = submitted()
    AsyncTask.objects.filter(pk=other.pk).update(state="PROCESSING", lease_until=soon(minutes=1))
    assert polled().status_code == 202
    assert "is running" not in caplog.text


def test_nothing_is_said_of_a_call_that_was_just_sent(polled, caplog):
    AsyncTask.objects.update(sent=soon())
    assert polled().status_code == 202
    assert "is running" not in caplog.text
