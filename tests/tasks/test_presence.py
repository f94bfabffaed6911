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


def worker_seen(**span):
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
def test_call_without_a_worker_is_a_503_with_retry_after(anna, method, path, headers):
    answer = anna.generic(method, path, headers=headers)
    assert (answer.status_code, answer["Retry-After"], AsyncTask.objects.count()) == (503, "5", 0)


@pytest.mark.parametrize("mount", conf.mounts, ids=lambda mount: mount.name)
def test_refusal_is_a_503_in_every_dialect(mount):
    with pytest.raises(NoWorker) as refusal:
        submitted(dialect=mount.name)
    answer = mount.problem(refusal.value, context())
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "5")


def test_call_with_a_present_worker_is_accepted():
    worker_seen(seconds=-50)
    assert submitted().pk


def test_silent_worker_does_not_count():
    worker_seen(seconds=-70)
    with pytest.raises(NoWorker):
        submitted()


def test_long_sweep_seconds_extend_the_presence():
    worker_seen(seconds=-70)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, REQUIRE_WORKER=True, SWEEP_SECONDS=30)):
        assert submitted().pk


def test_accepted_call_is_found_by_its_idempotency_key():
    worker_seen(seconds=0)
    task = submitted(key="one")
    worker_seen(seconds=-70)
    assert submitted(key="one").pk == task.pk


def test_maintenance_announces_the_worker(monkeypatch):
    stop = threading.Event()
    stop.set()
    runner.run_maintenance(stop)
    first = Worker.objects.get(name=process_id.machine()).heard
    runner.run_maintenance(stop)
    assert Worker.objects.get().heard > first
    assert submitted().pk


def test_without_require_worker_a_submit_does_not_look_for_one(django_assert_num_queries):
    with override_settings(ASYNC_EXCHANGE=exchange(REQUIRE_WORKER=False)), django_assert_num_queries(0):
        assert not presence.is_missing()


def test_worker_in_sight_is_looked_for_once_in_a_while(django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(presence, "_last_seen", -presence.SEEN_SECONDS)
    worker_seen(seconds=0)
    with django_assert_num_queries(1):
        assert presence.is_in_sight()
        assert presence.is_in_sight()


def test_silent_worker_is_out_of_sight(monkeypatch):
    monkeypatch.setattr(presence, "_last_seen", -presence.SEEN_SECONDS)
    worker_seen(seconds=-70)
    assert not presence.is_in_sight()


def test_presence_check_is_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        presence.is_missing()


def test_inline_executor_needs_no_worker():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=INLINE)):
        assert submitted().pk


def test_prune_deletes_workers_after_a_day():
    worker_seen(hours=-25)
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


def test_poll_of_a_call_that_nobody_runs_is_logged_once(polled, caplog):
    assert [polled().status_code, polled().status_code] == [202, 202]
    assert caplog.text.count("no call is running: is manage.py asyncexchange_worker running?") == 1


def test_poll_is_not_logged_while_another_call_runs(polled, caplog):
    other = submitted()
    AsyncTask.objects.filter(pk=other.pk).update(state="PROCESSING", lease_until=soon(minutes=1))
    assert polled().status_code == 202
    assert "is running" not in caplog.text


def test_poll_of_a_call_just_dispatched_is_not_logged(polled, caplog):
    AsyncTask.objects.update(sent=soon())
    assert polled().status_code == 202
    assert "is running" not in caplog.text
