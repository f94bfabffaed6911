"""Querysets of tasks, and the one statement that changes a state."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.models.querysets import after
from django_asyncexchange.protocol.states import FINAL, TRANSITIONS, State

from ..services import soon, stored

pytestmark = pytest.mark.django_db

PAIRS = [(source, target) for source in State for target in State]


def rows(task):
    return AsyncTask.objects.filter(pk=task.pk)


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda state: state.value)
def test_state_changes_from_legal_sources_only(source, target):
    task = stored(source)
    assert rows(task).transition(target) == (target in TRANSITIONS[source])
    assert rows(task).get().state == (target if target in TRANSITIONS[source] else source)


def test_refused_transition_changes_nothing():
    task = stored(State.DONE)
    rows(task).transition(State.ERROR, reason="lost", attempt=9)
    assert rows(task).values("reason", "attempt").get() == {"reason": "", "attempt": 1}


def test_transition_is_one_update():
    task = stored()
    with CaptureQueriesContext(connection) as queries:
        rows(task).transition(State.PROCESSING, started=Now())
    assert [query["sql"].split()[0] for query in queries] == ["UPDATE"]


def test_transition_sets_other_columns():
    task = stored()
    rows(task).transition(State.PROCESSING, attempt=5)
    assert rows(task).get().attempt == 5


def test_transition_of_the_current_attempt_succeeds():
    task = stored(State.PROCESSING, attempt=2)
    assert rows(task).transition(State.DONE, expected_attempt=2) == 1


def test_transition_of_an_abandoned_attempt_is_refused():
    task = stored(State.PROCESSING, attempt=2)
    assert rows(task).transition(State.DONE, expected_attempt=1) == 0
    assert rows(task).get().state == State.PROCESSING


def test_transition_returns_the_number_of_tasks():
    for state in (State.PENDING, State.PROCESSING, State.DONE):
        stored(state)
    assert AsyncTask.objects.transition(State.CANCEL) == 2


@pytest.mark.parametrize("state", State)
def test_finished_and_unfinished_are_complements(state):
    stored(state)
    assert AsyncTask.objects.finished().count() == (state in FINAL)
    assert AsyncTask.objects.unfinished().count() == (state not in FINAL)


def test_now_is_the_databases_time():
    stored()
    now = AsyncTask.objects.with_now().get().now
    assert abs(now - soon()) < dt.timedelta(minutes=1)
    assert now.tzinfo is not None


def test_after_is_relative_to_the_databases_time():
    stored()
    task = AsyncTask.objects.with_now().annotate(then=after(dt.timedelta(hours=2))).get()
    assert task.then - task.now == dt.timedelta(hours=2)


def test_created_is_the_databases_time():
    assert abs(stored().created - AsyncTask.objects.with_now().get().now) < dt.timedelta(minutes=1)


def test_speaking_selects_the_tasks_of_a_dialect():
    stored(dialect="kladana")
    assert not AsyncTask.objects.of_mount("moysklad").exists()


def test_of_account_selects_the_tasks_of_an_account():
    mine = stored(account="one")
    stored(account="two")
    assert list(AsyncTask.objects.of_account("one")) == [mine]


def test_of_owner_selects_the_tasks_of_an_owner(django_user_model):
    owner = django_user_model.objects.create(username="owner")
    other = django_user_model.objects.create(username="other")
    mine = stored(owner=owner)
    stored(owner=other)
    assert list(AsyncTask.objects.of_owner(owner.pk)) == [mine]


def test_within_selects_recent_tasks():
    inside = stored(created=soon(days=-7, minutes=1))
    stored(created=soon(days=-7, minutes=-1))
    assert list(AsyncTask.objects.within(dt.timedelta(days=7))) == [inside]


def test_expired_selects_tasks_past_their_deletion_date():
    expired = stored(State.DONE, deletion_date=soon(seconds=-1))
    stored(State.DONE, deletion_date=soon(minutes=1))
    stored()
    assert list(AsyncTask.objects.expired()) == [expired]


def test_forgotten_selects_tasks_past_their_purge_date():
    forgotten = stored(State.DONE, purge_date=soon(seconds=-1))
    stored(State.DONE, purge_date=soon(minutes=1))
    stored()
    assert list(AsyncTask.objects.purgeable()) == [forgotten]


def test_newest_first_orders_by_creation():
    tasks = [stored(created=soon(minutes=minute)) for minute in (-2, -1, -3)]
    assert list(AsyncTask.objects.newest_first()) == [tasks[1], tasks[0], tasks[2]]


def test_abandoned_selects_old_drafts():
    old = Body.objects.create(kind=Body.RESPONSE, created=soon(minutes=-61))
    Body.objects.create(kind=Body.RESPONSE, created=soon(minutes=-59))
    assert list(Body.objects.abandoned(dt.timedelta(hours=1))) == [old]


def test_body_of_a_task_is_never_abandoned():
    task = stored(State.DONE, answer=b"{}")
    task.bodies.update(created=soon(days=-3))
    assert not Body.objects.abandoned(dt.timedelta(hours=1)).exists()
