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
def test_a_task_moves_from_legal_sources_only(source, target):
    task = stored(source)
    assert rows(task).transition(target) == (target in TRANSITIONS[source])
    assert rows(task).get().state == (target if target in TRANSITIONS[source] else source)


def test_a_move_that_is_refused_changes_nothing():
    task = stored(State.DONE)
    rows(task).transition(State.ERROR, reason="lost", attempt=9)
    assert rows(task).values("reason", "attempt").get() == {"reason": "", "attempt": 1}


def test_a_move_is_one_statement():
    task = stored()
    with CaptureQueriesContext(connection) as queries:
        rows(task).transition(State.PROCESSING, started=Now())
    assert [query["sql"].split()[0] for query in queries] == ["UPDATE"]


def test_a_move_takes_changes_along():
    task = stored()
    rows(task).transition(State.PROCESSING, attempt=5)
    assert rows(task).get().attempt == 5


def test_a_move_for_the_current_attempt_is_made():
    task = stored(State.PROCESSING, attempt=2)
    assert rows(task).transition(State.DONE, expected_attempt=2) == 1


def test_a_move_for_an_abandoned_attempt_is_not_made():
    task = stored(State.PROCESSING, attempt=2)
    assert rows(task).transition(State.DONE, expected_attempt=1) == 0
    assert rows(task).get().state == State.PROCESSING


def test_a_move_says_how_many_tasks_it_moved():
    for state in (State.PENDING, State.PROCESSING, State.DONE):
        stored(state)
    assert AsyncTask.objects.transition(State.CANCEL) == 2


@pytest.mark.parametrize("state", State)
def test_a_task_is_finished_or_unfinished(state):
    stored(state)
    assert AsyncTask.objects.finished().count() == (state in FINAL)
    assert AsyncTask.objects.unfinished().count() == (state not in FINAL)


def test_now_is_the_time_of_the_database():
    stored()
    now = AsyncTask.objects.with_now().get().now
    assert abs(now - soon()) < dt.timedelta(minutes=1)
    assert now.tzinfo is not None


def test_after_is_a_moment_from_the_time_of_the_database():
    stored()
    task = AsyncTask.objects.with_now().annotate(then=after(dt.timedelta(hours=2))).get()
    assert task.then - task.now == dt.timedelta(hours=2)


def test_a_task_is_created_at_the_time_of_the_database():
    assert abs(stored().created - AsyncTask.objects.with_now().get().now) < dt.timedelta(minutes=1)


def test_tasks_of_other_mounts_are_left_out():
    stored(dialect="kladana")
    assert not AsyncTask.objects.of_mount("moysklad").exists()


def test_tasks_of_other_accounts_are_left_out():
    mine = stored(account="one")
    stored(account="two")
    assert list(AsyncTask.objects.of_account("one")) == [mine]


def test_tasks_of_other_owners_are_left_out(django_user_model):
    owner = django_user_model.objects.create(username="owner")
    other = django_user_model.objects.create(username="other")
    mine = stored(owner=owner)
    stored(owner=other)
    assert list(AsyncTask.objects.of_owner(owner.pk)) == [mine]


def test_tasks_before_the_window_are_left_out():
    inside = stored(created=soon(days=-7, minutes=1))
    stored(created=soon(days=-7, minutes=-1))
    assert list(AsyncTask.objects.within(dt.timedelta(days=7))) == [inside]


def test_a_task_is_expired_from_its_deletion_date_on():
    expired = stored(State.DONE, deletion_date=soon(seconds=-1))
    stored(State.DONE, deletion_date=soon(minutes=1))
    stored()
    assert list(AsyncTask.objects.expired()) == [expired]


def test_a_task_is_forgotten_from_its_purge_date_on():
    forgotten = stored(State.DONE, purge_date=soon(seconds=-1))
    stored(State.DONE, purge_date=soon(minutes=1))
    stored()
    assert list(AsyncTask.objects.purgeable()) == [forgotten]


def test_newest_tasks_come_first():
    tasks = [stored(created=soon(minutes=minute)) for minute in (-2, -1, -3)]
    assert list(AsyncTask.objects.newest_first()) == [tasks[1], tasks[0], tasks[2]]


def test_a_draft_is_abandoned_after_its_grace():
    old = Body.objects.create(kind=Body.RESPONSE, created=soon(minutes=-61))
    Body.objects.create(kind=Body.RESPONSE, created=soon(minutes=-59))
    assert list(Body.objects.abandoned(dt.timedelta(hours=1))) == [old]


def test_a_body_of_a_task_is_never_abandoned():
    task = stored(State.DONE, answer=b"{}")
    task.bodies.update(created=soon(days=-3))
    assert not Body.objects.abandoned(dt.timedelta(hours=1)).exists()
