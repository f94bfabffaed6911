"""Fairness: the workers are given a few tasks of each account, so that nobody waits behind another's flood."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.test import override_settings

from django_asyncexchange import bodies, lifecycle, turns, worker
from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.states import Reason, State

from .services import BROKEN, IDLE, PATIENCE, TORN, Idle, exchange, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

SHARE = 3
FLOOD = 1000
RACERS = 20


def shared(executor=IDLE, share=SHARE):
    """Solitude, whose accounts may submit any number of calls, with ``share``."""
    return exchange(EXECUTOR=executor, DIALECTS={"solitude": {"SHARE": share}, "moysklad": {"SHARE": share}})


@pytest.fixture(autouse=True)
def sent():
    """The ids that were sent, in order."""
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=shared()):
        yield Idle.sent
    Idle.sent.clear()


def call(account="one", dialect="solitude"):
    return str(submitted(account=account, dialect=dialect).pk)


def task_of(id):
    return AsyncTask.objects.get(pk=id)


def finish(id):
    task = lifecycle.claim(id)
    draft = bodies.write([b"{}"], limit=100)
    return lifecycle.finish(task, status=200, reason_phrase="OK", headers=(), draft=draft)


def at_work(account="one"):
    return AsyncTask.objects.of_account(account).unfinished().exclude(sent=None).count()


def waiting(count, account="one", dialect="solitude"):
    """Tasks that wait for their turn, the oldest first."""
    return [str(stored(dialect=dialect, account=account).pk) for _ in range(count)]


def in_order(ids):
    """``ids`` as they were submitted, also where two share a moment."""
    return [
        str(pk) for pk in AsyncTask.objects.filter(pk__in=ids).order_by("created", "pk").values_list("pk", flat=True)
    ]


# A flood --------------------------------------------------------------------------------------------------------------


def test_a_newcomer_does_not_wait_behind_a_flood(sent):
    flood = [call("flooder") for _ in range(FLOOD)]
    assert sent == flood[:SHARE]
    newcomer = call("newcomer")
    assert sent == [*flood[:SHARE], newcomer]
    assert AsyncTask.objects.of_account("flooder").waiting().count() == FLOOD - SHARE


def test_as_tasks_finish_exactly_the_next_is_sent_oldest_first(sent):
    flood = in_order([call() for _ in range(20)])
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
        lambda id: lifecycle.fail(task_of(id), Reason.LOST),
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
        worker.run(id)
    assert (len(sent), runs(), at_work()) == (30, 30, 0)


# Waiting --------------------------------------------------------------------------------------------------------------


def test_a_waiting_task_that_is_cancelled_is_never_sent(sent):
    ids = [call() for _ in range(SHARE + 2)]
    lifecycle.cancel(task_of(ids[SHARE]))
    finish(ids[0])
    turns.sweep()
    assert sent == [*ids[:SHARE], ids[SHARE + 1]]


def test_cancelling_a_waiting_task_gives_nobody_a_turn(sent):
    ids = [call() for _ in range(SHARE + 2)]
    lifecycle.cancel(task_of(ids[SHARE]))
    assert sent == ids[:SHARE]


def test_the_sweep_sends_for_every_account(sent):
    expected = [id for account in ("one", "two", "three") for id in in_order(waiting(SHARE + 1, account))[:SHARE]]
    assert turns.sweep() == len(expected)
    assert Counter(sent) == Counter(expected)
    assert [at_work(account) for account in ("one", "two", "three")] == [SHARE] * 3


def test_a_sweep_with_nothing_to_do_sends_nothing(sent):
    waiting(SHARE + 1)
    turns.sweep()
    assert turns.sweep() == 0
    assert len(sent) == SHARE


def test_a_task_of_a_mount_that_is_gone_waits_on(sent):
    waiting(1, dialect="another")
    assert (turns.sweep(), sent) == (0, [])


def test_an_account_of_nobody_has_a_share_too(sent):
    waiting(SHARE + 1, account="")
    turns.sweep()
    assert len(sent) == SHARE


# A broker that fails --------------------------------------------------------------------------------------------------


def test_a_broker_that_fails_leaves_the_next_task_waiting_and_the_sweep_sends_it(sent, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        finish(ids[0])
    assert (sent, task_of(ids[-1]).state, task_of(ids[-1]).sent) == (ids[:-1], State.PENDING, None)
    assert f"task {ids[-1]} could not be queued; it is tried again" in caplog.text
    assert turns.sweep() == 1
    assert sent == ids


def test_a_broker_that_fails_stops_no_answer_from_being_stored(sent, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        assert finish(ids[0])
    assert task_of(ids[0]).state == State.DONE


def test_a_turn_and_its_message_are_committed_together_or_not_at_all():
    [id] = waiting(1)
    with override_settings(ASYNC_EXCHANGE=shared(TORN)), pytest.raises(ConnectionError):
        turns.send_next(conf.dialect("solitude"), "one")
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
    """An account with RACERS tasks at work and as many waiting."""
    with override_settings(ASYNC_EXCHANGE=shared(share=RACERS)):
        ids = waiting(2 * RACERS)
        AsyncTask.objects.filter(pk__in=ids[:RACERS]).update(sent=Now())
        yield ids


def test_tasks_that_end_at_once_send_nothing_twice_and_lose_nothing(crowd, sent):
    together(*[lambda id=id: finish(id) for id in crowd[:RACERS]])
    turns.sweep()
    assert at_work() == RACERS
    assert Counter(sent) == Counter(crowd[RACERS:])


def test_racers_exceed_the_share_by_no_more_than_their_number(sent):
    waiting(4 * RACERS)
    dialect = conf.dialect("solitude")
    together(*[lambda: turns.send_next(dialect, "one")] * RACERS)
    assert SHARE <= at_work() <= SHARE + RACERS
    assert len(set(sent)) == len(sent) == at_work()


def test_after_a_race_and_a_sweep_all_have_run(crowd, sent):
    together(*[lambda id=id: worker.run(id) for id in crowd[:RACERS]])
    turns.sweep()
    for id in sent:
        worker.run(id)
    assert (runs(), AsyncTask.objects.unfinished().count()) == (2 * RACERS, 0)
