"""The notifier: one thread and one connection tell all waiting requests of a process that their tasks have changed."""

from __future__ import annotations

import os
import threading
import uuid
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import lifecycle, notifier

from ..services import PATIENCE, stored, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL notifies")


@pytest.fixture
def looks(monkeypatch):
    """The queries of the notifier's thread, as the keys that each looks for."""
    made, look = [], notifier.Notifier._look

    def counted(self):
        made.append(list(self._watches))
        look(self)

    monkeypatch.setattr(notifier.Notifier, "_look", counted)
    return made


class Waiter:
    """Someone who waits in this thread."""

    def __init__(self, task, version=None):
        self.woken = threading.Event()
        self.watch = notifier.Watch(task.pk, self.woken.set, version)


def threads():
    return [each for each in threading.enumerate() if each.name == "asyncexchange-notifier"]


def test_finished_task_wakes_everybody_who_waits_for_it(looks):
    task = stored(State.PROCESSING)
    one, other = Waiter(task), Waiter(task)
    with notifier.watching(one.watch), notifier.watching(other.watch):
        lifecycle.cancel(task)
        assert one.woken.wait(PATIENCE)
        assert other.woken.wait(PATIENCE)


def test_other_tasks_wake_nobody():
    task, other = stored(State.PROCESSING), stored(State.PROCESSING)
    waiter, neighbour = Waiter(task), Waiter(other)
    with notifier.watching(waiter.watch), notifier.watching(neighbour.watch):
        lifecycle.cancel(other)
        assert neighbour.woken.wait(PATIENCE)
        assert not waiter.woken.is_set()


def test_progress_wakes_who_knows_an_earlier_version():
    task = stored(State.PROCESSING)
    patient, curious = Waiter(task), Waiter(task, notifier.version_of(task))
    with notifier.watching(patient.watch), notifier.watching(curious.watch):
        AsyncTask.objects.update(progress_done=5)
        assert curious.woken.wait(PATIENCE)
        assert not patient.woken.is_set()


def test_task_that_the_thread_cannot_see_wakes_nobody(looks):
    """As with a schema for each tenant."""
    waiter = Waiter(SimpleNamespace(pk=uuid.uuid4()))
    with notifier.watching(waiter.watch):
        until(lambda: len(looks) > 1)
        assert not waiter.woken.is_set()


def test_deleted_task_wakes_who_waits(looks):
    task = stored(State.PROCESSING)
    waiter = Waiter(task)
    with notifier.watching(waiter.watch):
        until(lambda: len(looks) > 1)
        AsyncTask.objects.all().delete()
        assert waiter.woken.wait(PATIENCE)


def test_one_thread_looks_for_all_and_ends_with_the_last(looks):
    tasks = [stored(State.PROCESSING) for _ in range(3)]
    waiters = [Waiter(task) for task in tasks]
    with ExitStack() as stack:
        for waiter in waiters:
            stack.enter_context(notifier.watching(waiter.watch))
        until(lambda: {task.pk for task in tasks} in map(set, looks))
        assert len(threads()) == 1
    until(lambda: not threads())


def test_failing_query_is_tried_again(looks, monkeypatch, caplog):
    look, failures = notifier.Notifier._look, iter([DatabaseError("away")])

    def fail(self):
        for error in failures:
            raise error
        look(self)

    monkeypatch.setattr(notifier.Notifier, "_look", fail)
    task = stored(State.CANCEL)
    waiter = Waiter(task)
    with notifier.watching(waiter.watch):
        assert waiter.woken.wait(PATIENCE)


def test_waiter_whose_event_loop_is_closed_does_not_harm_others():
    def wake():
        raise RuntimeError("Event loop is closed")

    task = stored(State.CANCEL)
    waiter = Waiter(task)
    with notifier.watching(notifier.Watch(task.pk, wake)), notifier.watching(waiter.watch):
        assert waiter.woken.wait(PATIENCE)


def test_forked_process_has_a_notifier_of_its_own():
    waiter = Waiter(SimpleNamespace(pk=uuid.uuid4()))
    with notifier.watching(waiter.watch):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if not notifier._notifier._watches and not notifier._notifier._is_running else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@on_postgresql
def test_commit_notifies_of_the_finished_task(looks, monkeypatch):
    told, finished = [], notifier.Notifier._finished

    def heard(self, payload):
        told.append(payload)
        finished(self, payload)

    monkeypatch.setattr(notifier.Notifier, "_finished", heard)
    task = stored(State.PROCESSING)
    with notifier.watching(Waiter(task).watch):
        until(lambda: looks)  # the first query is made after LISTEN
        lifecycle.cancel(task)
        until(lambda: told == [str(task.pk)])


@on_postgresql
def test_behind_a_pooler_nothing_is_listened_to(monkeypatch):
    monkeypatch.setattr(notifier, "_pooled", {connection.alias: True})
    assert notifier._listen(connection.alias) is None


@on_postgresql
def test_pooler_is_detected_by_the_backend_pid(monkeypatch):
    """Behind PgBouncer it differs from the session's own."""
    monkeypatch.setattr(notifier, "_pooled", {})
    driver = SimpleNamespace(info=SimpleNamespace(backend_pid=1))
    assert notifier.is_pooled(SimpleNamespace(alias="pooled", connection=driver, cursor=connection.cursor))


@on_postgresql
def test_direct_session_listens(monkeypatch):
    monkeypatch.setattr(notifier, "_pooled", {})
    assert notifier._listen(connection.alias) is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_listening_channels()")
        assert cursor.fetchall() == [(notifier.FINISHED,)]
        cursor.execute("UNLISTEN *")
