"""Who wins a race: threads with their own connections, on every database.

The tests run on the database of the test run; ``test_databases`` runs them again on PostgreSQL and on MariaDB.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.db.models import F
from django.test import override_settings

from django_asyncexchange.exceptions import CapacityExceeded, NotCancellable
from django_asyncexchange.models import AsyncTask, Body, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies, db_retry
from django_asyncexchange.store.values import Claim
from django_asyncexchange.tasks import lifecycle, pruning
from django_asyncexchange.worker import runner

from .. import services
from ..services import IDLE, PATIENCE, Stage, exchange, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


def together(*works):
    """Start all ``works`` at the same moment, each with its own connection; return their results."""
    barrier = threading.Barrier(len(works))

    def work(one):
        try:
            connection.ensure_connection()
            barrier.wait(PATIENCE)
            return one()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(work, works))


def files():
    place = settings.STORAGES["asyncexchange"]["OPTIONS"]["location"]
    return {path for path in place.rglob("*") if path.is_file()}


def state_of(task):
    return AsyncTask.objects.values_list("state", flat=True).get(pk=task.pk)


def test_one_of_20_concurrent_claims_wins():
    task = stored()
    won = together(*[lambda: lifecycle.claim(task.pk)] * 20)
    assert sum(claimed is not None for claimed in won) == 1
    assert AsyncTask.objects.values("state", "attempt").get() == {"state": "PROCESSING", "attempt": 1}


def test_one_of_20_concurrent_messages_runs_the_task():
    task = stored()
    together(*[lambda: runner.run(str(task.pk))] * 20)
    assert (runs(), state_of(task), Body.objects.count()) == (1, "DONE", 1)


def test_each_of_20_tasks_is_claimed_once_by_4_workers():
    tasks = [stored() for _ in range(20)]

    def take():
        return sum(lifecycle.claim(task.pk) is not None for task in tasks)

    assert sum(together(*[take] * 4)) == 20
    assert set(AsyncTask.objects.values_list("attempt", flat=True)) == {1}


@pytest.mark.seed("S002-64")
def test_run_cancelled_meanwhile_changes_nothing(monkeypatch):
    stage = Stage()
    monkeypatch.setattr(services, "stage", stage)
    task, before = stored(to="/meets/"), files()

    def cancel():
        assert stage.entered.wait(PATIENCE)
        lifecycle.cancel(task)
        row = AsyncTask.objects.filter(pk=task.pk).values().get()
        stage.released.set()
        return row

    _, row = together(lambda: runner.run(str(task.pk)), cancel)
    assert row["state"] == "CANCEL"
    assert AsyncTask.objects.values().get() == row
    assert (files() - before, Body.objects.count()) == (set(), 0)


@pytest.mark.seed("S001-10", "S001-11", "S002-6")
@pytest.mark.parametrize("known", [False, True], ids=["new account", "known account"])
def test_4_of_40_concurrent_submits_are_accepted_at_a_capacity_of_4(known):
    def submit():
        try:
            return submitted([b"x" * 10])
        except CapacityExceeded:
            return None

    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        if known:
            lifecycle.cancel(submit())
            AsyncTask.objects.all().delete()
        taken = together(*[submit] * 40)
    assert sum(task is not None for task in taken) == 4
    assert (AsyncTask.objects.count(), Body.objects.count()) == (4, 4)


@pytest.mark.parametrize("dialect", ["prefer", "moysklad", "cisco"])
def test_20_concurrent_submits_with_one_idempotency_key_create_one_task(dialect):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        tasks = together(*[lambda: submitted([b"x" * 100_000], dialect=dialect, key="one key")] * 20)
    assert len({task.pk for task in tasks}) == 1
    assert (AsyncTask.objects.count(), Body.objects.count()) == (1, 1)


def test_capacity_is_per_account_under_concurrent_submits():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        for first, second in ("ab", "cd", "ef"):
            together(*[lambda account=account: submitted(account=account) for account in (first, second) * 4])
    assert Counter(AsyncTask.objects.values_list("account", flat=True)) == dict.fromkeys("abcdef", 4)


def test_40_concurrent_submits_of_a_subscribed_account_create_40_deliveries():
    listens = Webhook.objects.create(dialect="moysklad", account="one", action="CREATE", url="https://there.example/")
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS={"moysklad": {"CAPACITY": None}})):
        together(*[lambda: submitted(account="one")] * 40)
    assert (AsyncTask.objects.count(), listens.deliveries.count()) == (40, 40)


def finish(claim):
    draft = bodies.write([b"{}"], limit=100)
    return lifecycle.finish(claim, status=200, reason_phrase="OK", headers=(), draft=draft) is not None


def cancel(task):
    try:
        lifecycle.cancel(task)
    except NotCancellable:
        return False
    return True


def test_task_is_either_finished_or_cancelled():
    chance = random.Random(1)
    tasks = [stored(State.PROCESSING) for _ in range(100)]
    pauses = [(chance.uniform(0, 0.002), chance.uniform(0, 0.002)) for _ in tasks]
    idle = threading.Event()

    def each(act, side):
        def work():
            won = []
            for task, pause in zip(tasks, pauses, strict=True):
                meeting.wait(PATIENCE)
                idle.wait(pause[side])
                won.append(act(task))
            return won

        return work

    meeting = threading.Barrier(2)
    finished, cancelled = together(each(lambda task: finish(Claim(task=task)), 0), each(cancel, 1))
    assert [one + other for one, other in zip(finished, cancelled, strict=True)] == [1] * 100
    assert [state_of(task) == "DONE" for task in tasks] == finished
    assert Body.objects.count() == sum(finished)


def test_one_of_8_concurrent_finishes_wins():
    claim = Claim(task=stored(State.PROCESSING))
    assert sum(together(*[lambda: finish(claim)] * 8)) == 1
    assert Body.objects.count() == 1


def test_one_of_8_concurrent_cancellations_wins():
    task = stored()
    assert sum(together(*[lambda: cancel(task)] * 8)) == 1


def test_concurrent_prunes_delete_everything():
    for _ in range(20):
        stored(State.DONE, answer=b"{}", deletion_date="2020-01-01T00:00Z", purge_date="2020-01-01T00:00Z")
    together(*[pruning.prune] * 4)
    pruning.prune()  # for a body whose lock had another's deletion of the task skipped
    assert (AsyncTask.objects.count(), Body.objects.count()) == (0, 0)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_deadlocked_transactions_both_succeed_after_a_retry():
    one, other = stored(), stored()
    meeting = threading.Barrier(2)

    def changing(*tasks):
        begun = []

        @db_retry.retry_deadlocks
        def change():
            with transaction.atomic():
                for task in tasks:
                    AsyncTask.objects.filter(pk=task.pk).update(attempt=F("attempt") + 1)
                    if not begun:
                        begun.append(task)
                        meeting.wait(PATIENCE)

        return change

    together(changing(one, other), changing(other, one))
    assert list(AsyncTask.objects.values_list("attempt", flat=True)) == [2, 2]
