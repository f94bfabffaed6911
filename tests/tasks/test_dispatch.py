"""Fairness: a few tasks of each account are dispatched at a time, so that no account waits behind another's flood."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, connections, transaction
from django.db.models.functions import Now
from django.test import override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask, Webhook
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.signals import task_started
from django_asyncexchange.sql.writes import RETURNING_VENDORS
from django_asyncexchange.store import bodies, statements, transitions
from django_asyncexchange.store.values import Claim
from django_asyncexchange.tasks import dispatch, lifecycle
from django_asyncexchange.worker import runner

from ..services import BROKEN, IDLE, PATIENCE, TORN, Idle, exchange, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

SHARE = 3
FLOOD = 1000
RACERS = 20


def shared(executor=IDLE, share=SHARE):
    """Mounts without a capacity and with ``share``."""
    return exchange(EXECUTOR=executor, DIALECTS={"solitude": {"SHARE": share}, "moysklad": {"SHARE": share}})


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """The ids that were sent, in order; a slice is over with each call."""
    monkeypatch.setattr(dispatch, "TIME_SLICE", 0)
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=shared()):
        yield Idle.sent
    Idle.sent.clear()


def call(account="one", dialect="solitude"):
    return str(submitted(account=account, dialect=dialect).pk)


def task_of(id):
    return AsyncTask.objects.get(pk=id)


def finish(id):
    claim = lifecycle.claim(id)
    draft = bodies.write([b"{}"], limit=100)
    return lifecycle.finish(claim, status=200, reason_phrase="OK", headers=(), draft=draft)


def at_work(account="one"):
    return AsyncTask.objects.of_account(account).unfinished().exclude(sent=None).count()


def waiting(count, account="one", dialect="solitude"):
    """Undispatched tasks, the oldest first."""
    return [str(stored(dialect=dialect, account=account).pk) for _ in range(count)]


# A flood --------------------------------------------------------------------------------------------------------------


def test_call_of_another_account_does_not_wait_behind_a_flood(sent):
    flood = [call("flooder") for _ in range(FLOOD)]
    assert sent == flood[:SHARE]
    newcomer = call("newcomer")
    assert sent == [*flood[:SHARE], newcomer]
    assert AsyncTask.objects.of_account("flooder").waiting().count() == FLOOD - SHARE


def test_each_finished_task_dispatches_the_next_oldest_first(sent):
    flood = [call() for _ in range(20)]
    for done in range(20):
        finish(sent[done])
        assert len(sent) == min(SHARE + done + 1, 20)
    assert sent[SHARE:] == [id for id in flood if id not in sent[:SHARE]]
    assert len(set(sent)) == 20


def test_finished_task_dispatches_no_call_of_another_account(sent):
    ours = [call("one") for _ in range(SHARE + 1)]
    theirs = [call("other") for _ in range(SHARE + 1)]
    finish(ours[0])
    assert sent[-1] == ours[-1]
    assert theirs[-1] not in sent


def test_each_mount_has_its_own_share(sent):
    flood = [call() for _ in range(SHARE + 1)]
    elsewhere = call(dialect="moysklad")
    assert sent == [*flood[:SHARE], elsewhere]


@pytest.mark.parametrize(
    "end",
    [
        finish,
        lambda id: lifecycle.fail(lifecycle.claim(id), Reason.EXCEPTION),
        lambda id: lifecycle.fail(Claim(task=task_of(id)), Reason.LOST),
        lambda id: lifecycle.cancel(task_of(id)),
    ],
    ids=["done", "failed", "lost", "cancelled"],
)
def test_each_kind_of_end_dispatches_the_next(sent, end):
    ids = [call() for _ in range(SHARE + 1)]
    end(ids[1])
    assert sent == ids


def test_flood_is_dispatched_to_its_end(sent):
    for _ in range(30):
        call()
    for id in sent:  # grows while tasks end
        runner.run(id)
    assert (len(sent), runs(), at_work()) == (30, 30, 0)


# Slices: a worker claims the next call itself -------------------------------------------------------------------------


@pytest.fixture
def long(monkeypatch):
    """A slice that lasts."""
    monkeypatch.setattr(dispatch, "TIME_SLICE", 3600)


@pytest.fixture
def begun():
    """The started ids, in order, with the number of their account's dispatched tasks at that time."""
    seen = []

    def note(*, task, **kwargs):
        seen.append((str(task.id), at_work(task.owner.account)))

    task_started.connect(note)
    yield seen
    task_started.disconnect(note)


@contextlib.contextmanager
def kept_open():
    """Requests leave connections open, as with Django's test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


tells = pytest.mark.skipif(
    connection.vendor not in RETURNING_VENDORS, reason="a database without RETURNING: each call is sent"
)


@tells
def test_worker_claims_the_next_calls_in_order_of_arrival(sent, long, begun):
    flood = [call() for _ in range(20)]
    first, *others = sent.copy()
    runner.run(first)
    assert [id for id, _ in begun] == [first, *(id for id in flood if id not in (first, *others))]
    assert (sent, runs()) == ([first, *others], 20 - len(others))


@tells
def test_worker_never_exceeds_the_share_of_the_account(sent, long, begun):
    for _ in range(20):
        call()
    runner.run(sent[0])
    assert {count for _, count in begun} == {SHARE}


def test_worker_claims_no_call_of_another_account(sent, long):
    ours = [call("one") for _ in range(SHARE + 1)]
    theirs = [call("other") for _ in range(SHARE + 1)]
    runner.run(ours[0])
    assert not AsyncTask.objects.filter(pk__in=theirs).exclude(state=State.PENDING).exists()
    assert theirs[-1] not in sent


def test_next_call_is_dispatched_when_the_slice_is_over(sent):
    ids = [call() for _ in range(SHARE + 1)]
    runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_call_with_subscribers_is_dispatched_instead(sent, long):
    ids = [call() for _ in range(SHARE + 1)]
    Webhook.objects.create(dialect="solitude", account="one", url="http://here/", action=Webhook.UPDATE)
    runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_call_with_a_queue_limit_is_dispatched_instead(sent, long):
    limited = exchange(EXECUTOR=IDLE, DIALECTS={"solitude": {"SHARE": SHARE, "QUEUE_LIMIT": dt.timedelta(hours=1)}})
    with override_settings(ASYNC_EXCHANGE=limited):
        ids = [call() for _ in range(SHARE + 1)]
        runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_next_call_is_dispatched_on_commit_of_an_outer_transaction(sent, long):
    ids = [call() for _ in range(SHARE + 1)]
    with kept_open(), transaction.atomic():
        runner.run(ids[0])
        assert sent == ids[:-1]
    assert (sent, runs()) == (ids, 1)


@tells
def test_failed_claim_of_the_next_call_keeps_the_result_of_the_last(sent, long, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    policy = conf.dialect("solitude").policy
    statement = statements.claim_next(lifecycle._lease(policy)).statement
    sql, parameters = statement.sql("default")
    statement._compiled["default"] = sql.replace("RETURNING", "RETURNING 1 / nothing,"), parameters
    try:
        runner.run(ids[0])
    finally:
        statement._compiled.clear()
    assert (task_of(ids[0]).state, runs()) == (State.DONE, 1)
    assert "next call could not be claimed; it is sent" in caplog.text
    assert sent == ids


@tells
def test_uncommitted_claim_of_the_next_call_is_not_run(sent, long, begun, monkeypatch):
    ids = [call() for _ in range(SHARE + 1)]
    claim_next = transitions.claim_next

    def claim_and_fail(*args, **kwargs):
        assert claim_next(*args, **kwargs) is not None
        monkeypatch.setattr(transitions, "claim_next", claim_next)
        raise bodies.StorageFailed

    monkeypatch.setattr(transitions, "claim_next", claim_and_fail)
    monkeypatch.setattr(transitions, "can_write_together", lambda alias: False)
    runner.run(ids[0])
    assert (task_of(ids[0]).state, task_of(ids[0]).reason) == (State.ERROR, Reason.STORAGE)
    assert ([id for id, _ in begun], sent, runs()) == ([ids[0]], ids, 1)


# Pending tasks --------------------------------------------------------------------------------------------------------


def test_cancelled_pending_task_is_never_dispatched(sent):
    ids = [call() for _ in range(SHARE + 2)]
    lifecycle.cancel(task_of(ids[SHARE]))
    finish(ids[0])
    dispatch.sweep()
    assert sent == [*ids[:SHARE], ids[SHARE + 1]]


def test_cancelling_an_undispatched_task_dispatches_nothing(sent):
    ids = [call() for _ in range(SHARE + 2)]
    lifecycle.cancel(task_of(ids[SHARE]))
    assert sent == ids[:SHARE]


def test_sweep_dispatches_for_every_account(sent):
    expected = [id for account in ("one", "two", "three") for id in waiting(SHARE + 1, account)[:SHARE]]
    assert dispatch.sweep() == len(expected)
    assert Counter(sent) == Counter(expected)
    assert [at_work(account) for account in ("one", "two", "three")] == [SHARE] * 3


def test_sweep_dispatches_nothing_at_a_full_share(sent):
    waiting(SHARE + 1)
    dispatch.sweep()
    assert dispatch.sweep() == 0
    assert len(sent) == SHARE


def test_task_of_a_removed_mount_stays_pending(sent):
    waiting(1, dialect="another")
    assert (dispatch.sweep(), sent) == (0, [])


def test_anonymous_account_has_a_share(sent):
    waiting(SHARE + 1, account="")
    dispatch.sweep()
    assert len(sent) == SHARE


# A failing broker -----------------------------------------------------------------------------------------------------


def test_broker_failure_leaves_the_next_task_to_the_sweep(sent, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        finish(ids[0])
    assert (sent, task_of(ids[-1]).state, task_of(ids[-1]).sent) == (ids[:-1], State.PENDING, None)
    assert f"task {ids[-1]} could not be queued; it is retried" in caplog.text
    assert dispatch.sweep() == 1
    assert sent == ids


def test_broker_failure_does_not_prevent_the_end(sent, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        assert finish(ids[0])
    assert task_of(ids[0]).state == State.DONE


def test_dispatch_and_its_message_are_committed_together():
    [id] = waiting(1)
    with override_settings(ASYNC_EXCHANGE=shared(TORN)), pytest.raises(ConnectionError):
        dispatch.dispatch_account(conf.dialect("solitude"), "one")
    assert task_of(id).sent is None


# Races ----------------------------------------------------------------------------------------------------------------


def together(*works):
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


@pytest.fixture
def crowd(sent):
    """An account with RACERS dispatched tasks and as many undispatched."""
    with override_settings(ASYNC_EXCHANGE=shared(share=RACERS)):
        ids = waiting(2 * RACERS)
        AsyncTask.objects.filter(pk__in=ids[:RACERS]).update(sent=Now())
        yield ids


def test_concurrent_ends_dispatch_each_task_once(crowd, sent):
    together(*[lambda id=id: finish(id) for id in crowd[:RACERS]])
    dispatch.sweep()
    assert at_work() == RACERS
    assert Counter(sent) == Counter(crowd[RACERS:])


def test_concurrent_dispatch_exceeds_the_share_by_the_racers_at_most(sent):
    waiting(4 * RACERS)
    dialect = conf.dialect("solitude")
    together(*[lambda: dispatch.dispatch_account(dialect, "one")] * RACERS)
    assert SHARE <= at_work() <= SHARE + RACERS
    assert len(set(sent)) == len(sent) == at_work()


def test_concurrent_workers_run_each_task_once(crowd, sent, long, begun):
    together(*[lambda id=id: runner.run(id) for id in crowd[:RACERS]])
    dispatch.sweep()
    for id in sent:
        runner.run(id)
    assert Counter(id for id, _ in begun) == Counter(crowd)
    assert (runs(), AsyncTask.objects.unfinished().count()) == (2 * RACERS, 0)


def test_all_tasks_run_after_a_race_and_a_sweep(crowd, sent):
    together(*[lambda id=id: runner.run(id) for id in crowd[:RACERS]])
    dispatch.sweep()
    for id in sent:
        runner.run(id)
    assert (runs(), AsyncTask.objects.unfinished().count()) == (2 * RACERS, 0)
