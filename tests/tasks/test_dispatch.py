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


def test_a_newcomer_does_not_wait_behind_a_flood(sent):
    flood = [call("flooder") for _ in range(FLOOD)]
    assert sent == flood[:SHARE]
    newcomer = call("newcomer")
    assert sent == [*flood[:SHARE], newcomer]
    assert AsyncTask.objects.of_account("flooder").waiting().count() == FLOOD - SHARE


def test_as_tasks_finish_exactly_the_next_is_sent_oldest_first(sent):
    flood = [call() for _ in range(20)]
    for done in range(20):
        finish(sent[done])
        assert len(sent) == min(SHARE + done + 1, 20)
    assert sent[SHARE:] == [id for id in flood if id not in sent[:SHARE]]
    assert len(set(sent)) == 20


def test_an_account_whose_task_ends_gets_no_other_accounts_turn(sent):
    ours = [call("one") for _ in range(SHARE + 1)]
    theirs = [call("other") for _ in range(SHARE + 1)]
    finish(ours[0])
    assert sent[-1] == ours[-1]
    assert theirs[-1] not in sent


def test_mounts_have_shares_of_their_own(sent):
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
def test_whatever_ends_a_task_gives_the_next_its_turn(sent, end):
    ids = [call() for _ in range(SHARE + 1)]
    end(ids[1])
    assert sent == ids


def test_a_flood_runs_to_its_end(sent):
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
def test_a_worker_goes_on_with_what_waits_in_the_order_of_its_arrival(sent, long, begun):
    flood = [call() for _ in range(20)]
    first, *others = sent.copy()
    runner.run(first)
    assert [id for id, _ in begun] == [first, *(id for id in flood if id not in (first, *others))]
    assert (sent, runs()) == ([first, *others], 20 - len(others))


@tells
def test_it_never_gives_an_account_more_than_its_share(sent, long, begun):
    for _ in range(20):
        call()
    runner.run(sent[0])
    assert {count for _, count in begun} == {SHARE}


def test_it_takes_no_other_accounts_calls(sent, long):
    ours = [call("one") for _ in range(SHARE + 1)]
    theirs = [call("other") for _ in range(SHARE + 1)]
    runner.run(ours[0])
    assert not AsyncTask.objects.filter(pk__in=theirs).exclude(state=State.PENDING).exists()
    assert theirs[-1] not in sent


def test_when_the_slice_is_over_the_next_is_sent(sent):
    ids = [call() for _ in range(SHARE + 1)]
    runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_a_call_that_somebody_hears_of_is_sent(sent, long):
    ids = [call() for _ in range(SHARE + 1)]
    Webhook.objects.create(dialect="solitude", account="one", url="http://here/", action=Webhook.UPDATE)
    runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_a_call_that_may_wait_too_long_is_sent(sent, long):
    limited = exchange(EXECUTOR=IDLE, DIALECTS={"solitude": {"SHARE": SHARE, "QUEUE_LIMIT": dt.timedelta(hours=1)}})
    with override_settings(ASYNC_EXCHANGE=limited):
        ids = [call() for _ in range(SHARE + 1)]
        runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_within_a_transaction_the_next_is_sent_when_it_commits(sent, long):
    ids = [call() for _ in range(SHARE + 1)]
    with kept_open(), transaction.atomic():
        runner.run(ids[0])
        assert sent == ids[:-1]
    assert (sent, runs()) == (ids, 1)


@tells
def test_a_claim_that_fails_takes_no_answer_with_it(sent, long, caplog):
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
def test_a_next_call_that_was_not_committed_is_not_run(sent, long, begun, monkeypatch):
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


def test_a_waiting_task_that_is_cancelled_is_never_sent(sent):
    ids = [call() for _ in range(SHARE + 2)]
    lifecycle.cancel(task_of(ids[SHARE]))
    finish(ids[0])
    dispatch.sweep()
    assert sent == [*ids[:SHARE], ids[SHARE + 1]]


def test_cancelling_a_waiting_task_gives_nobody_a_turn(sent):
    ids = [call() for _ in range(SHARE + 2)]
    lifecycle.cancel(task_of(ids[SHARE]))
    assert sent == ids[:SHARE]


def test_the_sweep_sends_for_every_account(sent):
    expected = [id for account in ("one", "two", "three") for id in waiting(SHARE + 1, account)[:SHARE]]
    assert dispatch.sweep() == len(expected)
    assert Counter(sent) == Counter(expected)
    assert [at_work(account) for account in ("one", "two", "three")] == [SHARE] * 3


def test_a_sweep_with_nothing_to_do_sends_nothing(sent):
    waiting(SHARE + 1)
    dispatch.sweep()
    assert dispatch.sweep() == 0
    assert len(sent) == SHARE


def test_a_task_of_a_mount_that_is_gone_waits_on(sent):
    waiting(1, dialect="another")
    assert (dispatch.sweep(), sent) == (0, [])


def test_an_account_of_nobody_has_a_share_too(sent):
    waiting(SHARE + 1, account="")
    dispatch.sweep()
    assert len(sent) == SHARE


# A failing broker -----------------------------------------------------------------------------------------------------


def test_a_broker_that_fails_leaves_the_next_task_waiting_and_the_sweep_sends_it(sent, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        finish(ids[0])
    assert (sent, task_of(ids[-1]).state, task_of(ids[-1]).sent) == (ids[:-1], State.PENDING, None)
    assert f"task {ids[-1]} could not be queued; it is retried" in caplog.text
    assert dispatch.sweep() == 1
    assert sent == ids


def test_a_broker_that_fails_stops_no_answer_from_being_stored(sent, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        assert finish(ids[0])
    assert task_of(ids[0]).state == State.DONE


def test_a_turn_and_its_message_are_committed_together_or_not_at_all():
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


def test_tasks_that_end_at_once_send_nothing_twice_and_lose_nothing(crowd, sent):
    together(*[lambda id=id: finish(id) for id in crowd[:RACERS]])
    dispatch.sweep()
    assert at_work() == RACERS
    assert Counter(sent) == Counter(crowd[RACERS:])


def test_racers_exceed_the_share_by_no_more_than_their_number(sent):
    waiting(4 * RACERS)
    dialect = conf.dialect("solitude")
    together(*[lambda: dispatch.dispatch_account(dialect, "one")] * RACERS)
    assert SHARE <= at_work() <= SHARE + RACERS
    assert len(set(sent)) == len(sent) == at_work()


def test_workers_that_go_on_at_once_run_nothing_twice_and_lose_nothing(crowd, sent, long, begun):
    together(*[lambda id=id: runner.run(id) for id in crowd[:RACERS]])
    dispatch.sweep()
    for id in sent:
        runner.run(id)
    assert Counter(id for id, _ in begun) == Counter(crowd)
    assert (runs(), AsyncTask.objects.unfinished().count()) == (2 * RACERS, 0)


def test_after_a_race_and_a_sweep_all_have_run(crowd, sent):
    together(*[lambda id=id: runner.run(id) for id in crowd[:RACERS]])
    dispatch.sweep()
    for id in sent:
        runner.run(id)
    assert (runs(), AsyncTask.objects.unfinished().count()) == (2 * RACERS, 0)
