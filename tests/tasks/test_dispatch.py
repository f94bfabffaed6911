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
from django_asyncexchange.models import AsyncTask, Delivery, Webhook
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.signals import task_started
from django_asyncexchange.sql.writes import RETURNING_VENDORS
from django_asyncexchange.store import bodies, statements, transitions
from django_asyncexchange.store.values import Claim
from django_asyncexchange.tasks import dispatch, lifecycle
from django_asyncexchange.worker import runner

from ..services import BROKEN, IDLE, PATIENCE, TORN, Idle, exchange, runs, soon, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

SHARE = 3
FLOOD = 1000
RACERS = 20


def shared(executor=IDLE, share=SHARE):
    """Mounts without a capacity and with ``share``."""
    return exchange(EXECUTOR=executor, DIALECTS={"solitude": {"SHARE": share}, "moysklad": {"SHARE": share}})


def limited():
    limits = {"solitude": {"SHARE": SHARE, "QUEUE_LIMIT": dt.timedelta(hours=1)}}
    return exchange(EXECUTOR=IDLE, DIALECTS=limits)


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """The ids that were sent, in order; a slice is over with each call."""
    monkeypatch.setattr(runner, "SLICE_SECONDS", 0)
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


# Slices: a worker goes on with ready tasks ----------------------------------------------------------------------------


@pytest.fixture
def long(monkeypatch):
    """A slice that lasts."""
    monkeypatch.setattr(runner, "SLICE_SECONDS", 3600)


@pytest.fixture
def begun():
    """The started ids, in order, with the number of their account's dispatched tasks at that time."""
    seen = []

    def note(*, task, **kwargs):
        seen.append((str(task.id), at_work(task.owner.account)))

    task_started.connect(note)
    yield seen
    task_started.disconnect(note)


def started(begun):
    return [id for id, _ in begun]


def ready(*accounts, **fields):
    """Dispatched tasks, one second after the other."""
    tasks = [
        stored(**{"dialect": "solitude", "account": account, "sent": soon(minutes=-5, seconds=number), **fields})
        for number, account in enumerate(accounts)
    ]
    return [str(task.pk) for task in tasks]


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
    connection.vendor not in RETURNING_VENDORS, reason="a database without RETURNING: each claim is a transaction"
)


def test_worker_runs_ready_tasks_of_all_accounts_in_the_order_of_their_dispatch(long, begun):
    ids = ready("one", "two", "one", "three", "two")
    runner.run_ready()
    assert (started(begun), runs()) == (ids, 5)


def test_worker_goes_on_after_the_task_of_its_message(long, begun):
    ids = ready("one", "two", "one", "three", "two")
    runner.run(ids[0])
    assert (started(begun), runs()) == (ids, 5)


def test_worker_runs_the_calls_of_an_account_in_the_order_of_arrival(sent, long, begun):
    flood = [call() for _ in range(20)]
    runner.run_ready()
    assert (started(begun), runs()) == (flood, 20)


def test_task_that_is_dispatched_during_the_slice_waits_behind_those_dispatched_before(long, begun):
    [next_] = waiting(1)
    ids = ready("one", "two", "three")
    runner.run_ready()
    assert started(begun) == [*ids, next_]


def test_tasks_that_were_dispatched_at_the_same_moment_run_in_one_slice(long):
    ready("one", "two", "three")
    AsyncTask.objects.update(sent=Now())
    runner.run_ready()
    assert runs() == 3


def test_worker_never_exceeds_the_share_of_an_account(sent, long, begun):
    for _ in range(20):
        call()
    runner.run_ready()
    assert (max(count for _, count in begun), len(begun)) == (SHARE, 20)


def test_worker_runs_no_task_that_is_not_dispatched(long, begun):
    waiting(3)
    runner.run_ready()
    assert begun == []


def test_worker_stops_when_the_slice_is_over(begun):
    ids = ready("one", "two")
    runner.run_ready()
    assert started(begun) == ids[:1]


def test_message_of_a_task_that_was_run_changes_nothing(long, begun):
    done, other = ready("one", "two")
    lifecycle.claim(done)
    begun.clear()
    runner.run(done)
    assert (begun, task_of(done).attempt, task_of(other).state) == ([], 1, State.PENDING)


def test_next_call_is_dispatched_when_the_slice_is_over(sent):
    ids = [call() for _ in range(SHARE + 1)]
    runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


def test_end_and_dispatch_of_the_next_task_are_one_commit(sent):
    ids = [call() for _ in range(SHARE + 1)]
    with transaction.atomic():
        finish(ids[0])
        assert task_of(ids[-1]).sent is not None
        transaction.set_rollback(True)
    assert (task_of(ids[0]).state, task_of(ids[-1]).sent, sent) == (State.PENDING, None, ids[:-1])


def test_ready_tasks_of_an_account_with_webhooks_run_in_their_turn(long, begun):
    Webhook.objects.create(dialect="prefer", account="one", url="https://there.example/", action=Webhook.UPDATE)
    ids = ready("one", "two", "one", "two", dialect="prefer")
    runner.run_ready()
    assert (started(begun), runs()) == (ids, 4)
    assert Delivery.objects.filter(task__account="one").count() == 4  # two tasks, each started and done


def test_ready_tasks_within_their_queue_limit_run_in_their_turn(long, begun):
    ids = ready("one", "two", "one")
    with override_settings(ASYNC_EXCHANGE=limited()):
        runner.run_ready()
    assert (started(begun), runs()) == (ids, 3)


def test_ready_task_past_its_queue_limit_is_ended_and_the_next_runs(long, begun):
    late, next_, last = ready("one", "two", "two")
    AsyncTask.objects.filter(pk=late).update(created=soon(hours=-2))
    with override_settings(ASYNC_EXCHANGE=limited()):
        runner.run_ready()
    assert (task_of(late).state, task_of(late).reason) == (State.ERROR, Reason.QUEUE_TIMEOUT)
    assert (started(begun), runs()) == ([next_, last], 2)


def test_worker_goes_on_behind_many_tasks_past_their_queue_limit(long, begun):
    late = ready(*["one"] * (2 * statements.BATCH + 1))
    AsyncTask.objects.update(created=soon(hours=-2))
    [last] = ready("two")
    AsyncTask.objects.filter(pk=last).update(sent=soon())
    with override_settings(ASYNC_EXCHANGE=limited()):
        runner.run_ready()
    assert {task_of(id).reason for id in late} == {Reason.QUEUE_TIMEOUT}
    assert started(begun) == [last]


def test_worker_in_an_outer_transaction_runs_one_call_and_dispatches_the_next_on_commit(sent, long):
    ids = [call() for _ in range(SHARE + 1)]
    with kept_open(), transaction.atomic():
        runner.run(ids[0])
        assert sent == ids[:-1]
    assert (sent, runs()) == (ids, 1)


def test_executor_that_runs_calls_in_send_does_not_go_on(sent, long, monkeypatch):
    monkeypatch.setattr(Idle, "needs_worker", False)
    ids = [call() for _ in range(SHARE + 1)]
    runner.run(ids[0])
    assert (sent, runs()) == (ids, 1)


@tells
def test_failed_claim_of_the_next_task_keeps_the_result_of_the_last(long, begun, caplog):
    ids, claims = ready("one", "two"), []

    def break_second_claim(execute, sql, *rest):
        if '"lease_until" = ' in sql:
            claims.append(sql)
            sql = sql.replace("RETURNING", "RETURNING 1 / nothing,") if len(claims) == 2 else sql
        return execute(sql, *rest)

    with connection.execute_wrapper(break_second_claim):
        runner.run(ids[0])
    assert (task_of(ids[0]).state, task_of(ids[0]).status_code) == (State.DONE, 200)
    assert "stored without the claim of the next task" in caplog.text
    assert (started(begun), runs(), {task_of(id).attempt for id in ids}) == (ids, 2, {1})


@tells
def test_uncommitted_claim_of_the_next_task_is_not_run(long, begun, monkeypatch):
    ids, claim_next = ready("one", "two"), transitions.claim_next

    def claim_and_fail(*args, **kwargs):
        assert claim_next(*args, **kwargs) is not None
        monkeypatch.setattr(transitions, "claim_next", claim_next)
        raise bodies.StorageFailed

    monkeypatch.setattr(transitions, "claim_next", claim_and_fail)
    monkeypatch.setattr(transitions, "can_write_together", lambda alias: False)
    runner.run(ids[0])
    assert (task_of(ids[0]).state, task_of(ids[0]).reason) == (State.ERROR, Reason.STORAGE)
    assert (started(begun), {task_of(id).attempt for id in ids}, runs()) == (ids, {1}, 2)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no locks of rows")
def test_locked_ready_task_is_skipped(long, begun):
    """The lock is not waited for: its holder is another session, which ends only after the slice."""
    held, *others = ready("one", "two", "one")
    holder = connections.create_connection("default")
    try:
        holder.set_autocommit(False)
        with holder.cursor() as cursor:
            key = AsyncTask._meta.pk.get_db_prep_value(held, holder)
            cursor.execute(f"SELECT id FROM {AsyncTask._meta.db_table} WHERE id = %s FOR UPDATE", [key])
        runner.run_ready()
    finally:
        holder.rollback()
        holder.close()
    assert (started(begun), task_of(held).state) == (others, State.PENDING)


# Workers that read the table ------------------------------------------------------------------------------------------


@pytest.fixture
def reading(monkeypatch):
    """Workers get no messages: ``send`` wakes them."""
    monkeypatch.setattr(Idle, "reads_tasks", lambda self, queue="": True)


def test_end_of_a_worker_that_goes_on_wakes_nobody(sent, long, reading):
    ids = [call() for _ in range(SHARE + 5)]
    runner.run_ready()
    assert (sent, runs()) == (ids[:SHARE], SHARE + 5)


def test_end_outside_of_a_worker_wakes_one_for_the_next_task(sent, reading):
    ids = [call() for _ in range(SHARE + 1)]
    lifecycle.cancel(task_of(ids[0]))
    assert sent == ids


def test_task_whose_wake_up_is_refused_stays_ready(sent, reading, caplog):
    ids = [call() for _ in range(SHARE + 1)]
    with override_settings(ASYNC_EXCHANGE=shared(BROKEN)):
        lifecycle.cancel(task_of(ids[0]))
    assert f"task {ids[-1]} could not be queued" in caplog.text
    assert task_of(ids[-1]).sent is not None


FLOODED, WORKERS = 10_000, 4


def test_first_call_of_an_account_starts_after_few_calls_of_a_flood(sent, reading, long, monkeypatch):
    alike = {"dialect": "solitude", "account": "flooder", "method": "GET", "url": "http://testserver/ran/"}
    request = stored(dialect="solitude", account="flooder").request
    AsyncTask.objects.bulk_create(AsyncTask(**alike, request=request) for _ in range(FLOODED - 1))
    dispatch.sweep()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "SLICE_SECONDS", 0)
        for _ in range(5):
            runner.run_ready()
    assert AsyncTask.objects.of_account("flooder").waiting().count() == FLOODED - 5 - SHARE
    order, newcomer = [], call("newcomer")

    def note(*, task, **kwargs):
        order.append(str(task.id))
        if str(task.id) == newcomer:  # the others need not run
            monkeypatch.setattr(runner.Slice, "look", None)

    task_started.connect(note)
    try:
        together(*[runner.run_ready] * WORKERS)
    finally:
        task_started.disconnect(note)
    assert order.index(newcomer) <= SHARE + WORKERS


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
