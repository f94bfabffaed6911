"""Retention: an expired result is unavailable at once, and deleted by the next prune."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import pruning
from django_asyncexchange.worker import runner

from ..services import PATIENCE, exchange, soon, stored, until

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(tmp_path):
    ours = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    with override_settings(STORAGES={**settings.STORAGES, "asyncexchange": ours}):
        yield tmp_path


@pytest.fixture
def stubborn(tmp_path):
    ours = {"BACKEND": "tests.store.test_bodies.Stubborn", "OPTIONS": {"location": tmp_path}}
    with override_settings(STORAGES={**settings.STORAGES, "asyncexchange": ours}):
        yield tmp_path


def files(place):
    return [path for path in place.rglob("*") if path.is_file()]


def with_file(**fields):
    """A finished task whose response is a file in the storage."""
    task = stored(State.DONE, **fields)
    draft = bodies.write([b"x" * 100_000], limit=10**6)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    return task


def test_result_expires_at_its_deletion_date_without_a_prune():
    task = stored(State.DONE, answer=b"{}")
    before, after = soon(minutes=59), soon(minutes=61)
    assert [task.snapshot().is_expired(moment) for moment in (before, task.deletion_date, after)] == [False, True, True]


def test_unfinished_task_does_not_expire():
    assert not stored().snapshot().is_expired(soon(days=999))


@pytest.mark.seed("S002-61")
def test_file_of_an_expired_task_is_deleted(place):
    with_file(deletion_date=soon(seconds=-1))
    assert pruning.prune() == {"bodies": 1, "tasks": 0}
    assert (files(place), Body.objects.count()) == ([], 0)


def test_database_body_of_an_expired_task_is_deleted():
    stored(State.DONE, answer=b"{}", deletion_date=soon(seconds=-1))
    assert pruning.prune()["bodies"] == 1


def test_request_body_of_an_expired_task_is_deleted():
    task = stored(State.DONE, deletion_date=soon(seconds=-1))
    Body.objects.create(task=task, kind=Body.REQUEST, content=b"secret", size=6)
    assert pruning.prune()["bodies"] == 1


def test_expired_task_is_kept():
    task = with_file(deletion_date=soon(seconds=-1))
    pruning.prune()
    assert AsyncTask.objects.get().pk == task.pk


def test_result_before_its_deletion_date_is_kept(place):
    with_file()
    assert pruning.prune() == {"bodies": 0, "tasks": 0}
    assert len(files(place)) == 1


@pytest.mark.seed("S002-61")
def test_task_past_its_purge_date_is_deleted_with_its_file(place):
    with_file(deletion_date=soon(days=-6), purge_date=soon(seconds=-1))
    assert pruning.prune() == {"bodies": 1, "tasks": 1}
    assert (files(place), AsyncTask.objects.count()) == ([], 0)


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_unfinished_task_is_not_deleted(state):
    stored(state, created=soon(days=-300))
    assert pruning.prune() == {"bodies": 0, "tasks": 0}


def test_draft_without_a_task_is_deleted_after_an_hour(place):
    bodies.write([b"x" * 100_000], limit=10**6)
    Body.objects.update(created=soon(minutes=-61))
    assert pruning.prune() == {"bodies": 1, "tasks": 0}
    assert files(place) == []


def test_recent_draft_is_kept(place):
    bodies.write([b"x" * 100_000], limit=10**6)
    Body.objects.update(created=soon(minutes=-59))
    assert pruning.prune() == {"bodies": 0, "tasks": 0}
    assert len(files(place)) == 1


def test_task_whose_file_cannot_be_deleted_is_kept(stubborn):
    with_file(deletion_date=soon(days=-6), purge_date=soon(seconds=-1))
    assert pruning.prune() == {"bodies": 0, "tasks": 0}
    assert (len(files(stubborn)), Body.objects.count(), AsyncTask.objects.count()) == (1, 1, 1)


def test_prune_deletes_one_batch():
    for _ in range(5):
        stored(State.DONE, purge_date=soon(seconds=-1))
    assert [pruning.prune(batch=2)["tasks"] for _ in range(4)] == [2, 2, 1, 0]


def test_second_prune_finds_nothing():
    stored(State.DONE, answer=b"{}", purge_date=soon(seconds=-1))
    pruning.prune()
    assert pruning.prune() == {"bodies": 0, "tasks": 0}


def test_prune_command_deletes_everything_due():
    for _ in range(3):
        stored(State.DONE, answer=b"{}", deletion_date=soon(days=-6), purge_date=soon(seconds=-1))
    stored(State.DONE, answer=b"{}")
    call_command("asyncexchange_prune", stdout=(printed := StringIO()))
    assert printed.getvalue() == "3 bodies and 3 tasks deleted\n"
    assert AsyncTask.objects.count() == 1


def test_prune_command_ends_although_a_file_cannot_be_deleted(stubborn):
    with_file(deletion_date=soon(seconds=-1))
    call_command("asyncexchange_prune", stdout=(printed := StringIO()))
    assert printed.getvalue() == "0 bodies and 0 tasks deleted\n"


@pytest.fixture
def maintenance():
    """Starts the worker's maintenance in a thread; it is stopped at the end."""
    stop = threading.Event()
    threads = []

    def keep():
        try:
            runner.run_maintenance(stop)
        finally:
            connections.close_all()

    def start():
        threads.append(threading.Thread(target=keep))
        threads[0].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)


@pytest.mark.django_db(transaction=True)
def test_maintenance_prunes(maintenance):
    stored(State.DONE, answer=b"{}", deletion_date=soon(days=-6), purge_date=soon(seconds=-1))
    with override_settings(ASYNC_EXCHANGE=exchange(SWEEP_SECONDS=0.01, PRUNE_SECONDS=0.01)):
        maintenance()
        until(lambda: not AsyncTask.objects.exists())


@pytest.mark.django_db(transaction=True)
def test_maintenance_goes_on_after_an_error(maintenance, caplog):
    stored(State.DONE, answer=b"{}", deletion_date=soon(days=-6), purge_date=soon(seconds=-1))
    settings_now = exchange(SWEEP_SECONDS=0.01, PRUNE_SECONDS=0.01)
    with override_settings(ASYNC_EXCHANGE={**settings_now, "DIALECTS": {"nothing": {}}}):
        maintenance()
        until(lambda: "it is retried" in caplog.text)
        with override_settings(ASYNC_EXCHANGE=settings_now):
            until(lambda: not AsyncTask.objects.exists())


def test_maintenance_stops_when_asked():
    stored(State.DONE, purge_date=soon(seconds=-1))
    stop = threading.Event()
    stop.set()
    runner.run_maintenance(stop)
    assert AsyncTask.objects.count() == 1
