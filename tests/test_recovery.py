"""Dead workers and lost messages: what they leave behind is found, and ends or runs again."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from django_asyncexchange import bodies, lifecycle, recovery, turns, worker
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.states import Reason, State

from .services import IDLE, Idle, exchange, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture(autouse=True)
def idle():
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield Idle.sent


def ago(**span):
    return timezone.now() - dt.timedelta(**span)


def running(method="GET", *, minutes=7, **fields):
    """A task that began so long ago; the limit is five minutes."""
    from_then = {"started": ago(minutes=minutes), "sent": ago(minutes=minutes), **fields}
    return stored(State.PROCESSING, method=method, **from_then)


def fresh(task):
    task.refresh_from_db()
    return task


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_lost_run_of_a_safe_call_waits_again(method):
    task = running(method)
    assert recovery.recover()["again"] == 1
    assert (fresh(task).state, task.attempt, task.sent) == (State.PENDING, 1, None)


def test_it_is_sent_again_and_runs(idle):
    task = running()
    recovery.recover()
    assert (turns.sweep(), idle) == (1, [str(task.pk)])
    worker.run(idle[0])
    assert (fresh(task).state, task.attempt, runs()) == (State.DONE, 2, 1)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_lost_run_of_another_call_ends_as_lost(method):
    task = running(method)
    assert recovery.recover()["lost"] == 1
    assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)


def test_a_call_that_kills_its_workers_ends_as_lost():
    task = running(attempt=3)
    recovery.recover()
    assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)


@pytest.mark.seed("S000-35")
def test_mailru_never_runs_a_lost_call_again():
    task = running(dialect="mailru")
    recovery.recover()
    assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)


@pytest.mark.parametrize("minutes", [0, 4, 5.5])
def test_a_run_that_may_still_live_is_left_alone(minutes):
    task = running(minutes=minutes)
    assert recovery.recover() == {"again": 0, "lost": 0, "resent": 0}
    assert fresh(task).state == State.PROCESSING


def test_the_run_limit_of_the_mount_counts():
    given = {**exchange()["DIALECTS"], "moysklad": {"PREFIX": "/api/remap/1.2", "RUN_LIMIT": 3600}}
    task = running()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS=given)):
        recovery.recover()
    assert fresh(task).state == State.PROCESSING


def test_the_late_answer_of_a_lost_run_changes_nothing():
    late = AsyncTask.objects.get(pk=running().pk)
    recovery.recover()
    draft = bodies.write([b"late"], limit=100)
    assert not lifecycle.finish(late, status=200, reason_phrase="OK", headers=(), draft=draft)
    assert fresh(late).state == State.PENDING


def test_a_lost_run_frees_its_account():
    for _ in range(4):
        running("POST", account="one")
    recovery.recover()
    assert submitted(account="one").pk


def test_a_forgotten_message_is_sent_again(idle):
    task = stored(sent=ago(minutes=6))
    assert recovery.recover()["resent"] == 1
    turns.sweep()
    assert idle == [str(task.pk)]


def test_a_message_on_its_way_is_not_sent_again(idle):
    stored(sent=ago(minutes=4))
    recovery.recover()
    assert (turns.sweep(), idle) == (0, [])


def test_the_command_says_what_it_did(capsys):
    running(), running("POST"), stored(sent=ago(minutes=6))
    call_command("asyncexchange_sweep")
    assert capsys.readouterr().out == "1 again, 1 lost, 1 resent, 1 sent\n"


def test_with_nothing_to_do_it_takes_two_statements(django_assert_num_queries):
    stored(State.DONE)
    with django_assert_num_queries(2):
        recovery.recover()
