"""The waking broker on a real queue: order, exclusiveness, notifications and failures.

The tests run on the database of the test run; ``test_databases`` runs them again on PostgreSQL and on MariaDB.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import override_settings
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from django_asyncexchange.executors import wakeup
from django_asyncexchange.executors.django_q import guard
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.executors.django_q.orm_broker import WakingBroker
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.models.timestamps import Now
from django_asyncexchange.store import bodies

from ...services import PATIENCE, exchange, submitted

pytestmark = pytest.mark.django_db(transaction=True)

CALLS = "calls"


@pytest.fixture(autouse=True)
def impatient(monkeypatch, tmp_path):
    """Nobody waits long for an empty queue, or after an error; pipes go to a directory of this test."""
    monkeypatch.setattr(WakingBroker, "_interval", 0.01)
    monkeypatch.setattr(guard, "RETRY_PAUSES", (0.0,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@contextlib.contextmanager
def opened():
    broker = WakingBroker(CALLS)
    try:
        yield broker
    finally:
        if broker._listener is not None:
            broker._listener.close()


@pytest.fixture
def broker():
    with opened() as broker:
        yield broker


def queued(broker, *messages):
    return [broker.enqueue(message) for message in messages]


def payloads(messages):
    return [payload for _, payload in messages or ()]


def everything(broker):
    """All messages until the queue is empty."""
    taken = []
    while messages := broker.dequeue():
        taken += payloads(messages)
    return taken


@contextlib.contextmanager
def broken(times=1000, only=""):
    """The next statements of this thread that contain ``only`` raise ``OperationalError``."""
    left = [times]

    def refuse(execute, sql, params, many, context):
        if only in sql and left[0]:
            left[0] -= 1
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield left


# Order and exclusiveness ----------------------------------------------------------------------------------------------


def test_messages_are_handed_out_in_order_of_arrival(broker):
    queued(broker, *"abcdef")
    OrmQ.objects.filter(payload="f").update(lock=timezone.now() - dt.timedelta(hours=1))  # as if it had been returned
    assert [payloads(broker.dequeue()) for _ in range(2)] == [[*"abcd"], [*"ef"]]


def test_message_is_handed_out_once(broker):
    queued(broker, "a")
    assert [payloads(broker.dequeue()), broker.dequeue()] == [["a"], []]


def test_unacknowledged_message_returns_after_the_retry_time(broker):
    [number] = queued(broker, "a")
    broker.dequeue()
    lock = OrmQ.objects.get().lock
    assert abs((lock - timezone.now()).total_seconds() - Conf.RETRY) < PATIENCE
    OrmQ.objects.update(lock=timezone.now() - dt.timedelta(seconds=1))
    assert broker.dequeue() == [(number, "a")]


def test_messages_of_another_queue_are_left_alone(broker):
    WakingBroker("letters").enqueue("a")
    assert broker.dequeue() == []


def test_concurrent_brokers_never_take_the_same_message(broker):
    queued(broker, *map(str, range(120)))
    barrier = threading.Barrier(4)

    def take(_):
        with opened() as mine:
            connection.ensure_connection()
            barrier.wait(PATIENCE)
            try:
                return everything(mine)
            finally:
                connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(take, range(4)))
    assert Counter(message for share in shares for message in share) == Counter(map(str, range(120)))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="rows are locked instead")
def test_message_updated_by_another_broker_is_not_taken(broker, monkeypatch):
    """Two brokers read the same rows; the conditional update decides."""
    queued(broker, *"ab")
    rows = type(OrmQ.objects.all())
    update = rows.update

    def second(mine, **changes):
        monkeypatch.setattr(rows, "update", update)
        OrmQ.objects.filter(payload="a").update(lock=timezone.now() + dt.timedelta(hours=1))
        return update(mine, **changes)

    monkeypatch.setattr(rows, "update", second)
    assert payloads(broker.dequeue()) == ["b"]


def test_released_messages_are_taken_again_and_notify(broker):
    queued(broker, *"abc")
    [one, two, _] = [number for number, _ in broker.dequeue()]
    listener = wakeup.listen("default", CALLS)
    broker.release([one, two])
    assert listener.wait(PATIENCE)
    listener.close()
    assert payloads(broker.dequeue()) == ["a", "b"]


# Notifications --------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener():
    listener = wakeup.listen("default", CALLS)
    yield listener
    listener.close()


def test_message_notifies_with_the_commit(broker, listener):
    with transaction.atomic():
        broker.enqueue("a")
        assert not listener.wait(0.1)
    assert listener.wait(PATIENCE)


def test_message_that_was_rolled_back_does_not_notify(broker, listener):
    with transaction.atomic():
        broker.enqueue("a")
        transaction.set_rollback(True)
    assert (listener.wait(0.1), OrmQ.objects.count()) == (False, 0)


def test_message_outside_of_a_transaction_notifies_at_once(broker, listener):
    broker.enqueue("a")
    assert listener.wait(PATIENCE)


@pytest.fixture
def calls(broker, monkeypatch):
    """Calls go to this broker, two of each account at a time."""
    monkeypatch.setattr(DjangoQ, "_broker", lambda self, job: broker)
    executor = f"{DjangoQ.__module__}.{DjangoQ.__qualname__}"
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=executor, DIALECTS={"prefer": {"SHARE": 2}})):
        yield


@pytest.mark.parametrize("body", [b"", b"a body"])
def test_accepted_call_notifies_and_has_no_message(calls, listener, body):
    task = submitted([body], dialect="prefer")
    assert listener.wait(PATIENCE)
    assert (OrmQ.objects.count(), AsyncTask.objects.ready().get()) == (0, task)
    assert [bodies.read(each) for each in Body.objects.filter(task=task)] == [body] * bool(body)


def test_call_that_waits_for_its_turn_does_not_notify(calls):
    first = [submitted(dialect="prefer") for _ in range(2)]
    listener = wakeup.listen("default", CALLS)
    third = submitted(dialect="prefer")
    assert ([task.sent is None for task in (*first, third)], listener.wait(0.1)) == ([False, False, True], False)
    listener.close()


def test_waiting_worker_is_woken_by_the_commit(monkeypatch):
    monkeypatch.setattr(WakingBroker, "_interval", 10 * PATIENCE)
    listening = threading.Event()

    def take():
        with opened() as mine:
            mine._listener = wakeup.listen("default", CALLS)
            listening.set()
            try:
                return payloads(mine.dequeue())
            finally:
                connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(take)
        assert listening.wait(PATIENCE)
        WakingBroker(CALLS).enqueue("a")
        assert taken.result(PATIENCE) == ["a"]


class FakeListener:
    """Does something while it is waited for, and returns whether it was notified."""

    def __init__(self, is_notified, meanwhile=lambda: None):
        self.is_notified, self.meanwhile = is_notified, meanwhile

    def wait(self, seconds):
        self.meanwhile()
        return self.is_notified

    def close(self):
        pass


def test_broker_polls_faster_after_a_missed_notification(broker):
    def arrive():
        OrmQ.objects.create(key=CALLS, payload="a", lock=Now())

    broker._listener = FakeListener(False, arrive)
    assert payloads(broker.dequeue()) == ["a"]
    assert broker._interval == Conf.POLL
    broker._listener = FakeListener(False)
    broker.dequeue()
    assert broker._interval == Conf.POLL
    broker._listener = FakeListener(True)
    broker.dequeue()
    assert broker._interval == guard.INTERVAL


# Failures -------------------------------------------------------------------------------------------------------------


def test_database_outage_loses_no_message(broker, caplog):
    queued(broker, "a")
    with broken():
        assert broker.dequeue() is None
    assert f"the queue {CALLS} cannot be reached: the database is away" in caplog.text
    assert payloads(broker.dequeue()) == ["a"]


def test_pause_grows_with_each_failed_dequeue(broker, monkeypatch, caplog):
    monkeypatch.setattr(guard, "RETRY_PAUSES", (0.0, 0.01, 0.02))
    with broken():
        for _ in range(4):
            broker.dequeue()
    pauses = [record.getMessage().rpartition("next attempt in ")[2] for record in caplog.records]
    assert pauses == ["0.0 s", "0.01 s", "0.02 s", "0.02 s"]
    broker.dequeue()
    with broken(), caplog.at_level(logging.WARNING):
        broker.dequeue()
    assert "next attempt in 0.0 s" in caplog.records[-1].getMessage()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs a server that ends connections")
def test_connections_closed_by_the_server_are_reopened(broker):
    broker.dequeue()
    with contextlib.closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert broker.dequeue() is None
    assert broker.dequeue() == []
    broker.enqueue("a")
    assert payloads(broker.dequeue()) == ["a"]


def test_broker_has_a_new_listener_after_an_error(broker):
    broker.dequeue()
    before = broker._listener
    with broken():
        broker.dequeue()
    assert broker._listener is None
    broker.dequeue()
    assert broker._listener not in (None, before)


def test_acknowledgement_is_tried_twice(broker):
    [number] = queued(broker, "a")
    with broken(times=1, only="DELETE"):
        broker.acknowledge(number)
    assert OrmQ.objects.count() == 0


def test_failed_acknowledgement_raises_nothing(broker):
    [number] = queued(broker, "a")
    with broken(only="DELETE"):
        broker.acknowledge(number)
    assert OrmQ.objects.count() == 1


def test_unreadable_message_is_deleted_and_not_waited_for(broker):
    queued(broker, "a", "b")
    [number, other] = [number for number, _ in broker.dequeue()]
    broker.fail(number)
    assert broker._started_detector().waiting() == [other]
    assert OrmQ.objects.get().pk == other


def test_retired_broker_takes_nothing(broker, monkeypatch):
    monkeypatch.setattr(guard, "INTERVAL", 0)
    queued(broker, "a")
    broker.is_retired = True
    assert broker.dequeue() is None
    with opened() as other:
        assert payloads(other.dequeue()) == ["a"]


def test_broker_retired_during_a_dequeue_returns_its_messages(broker):
    queued(broker, "a")
    broker._listener = FakeListener(False)
    claim = broker._claim

    def retire():
        messages = claim()
        broker.is_retired = True
        return messages

    broker._claim = retire
    assert broker.dequeue() is None
    assert broker._started_detector().waiting() == []
    with opened() as other:
        assert payloads(other.dequeue()) == ["a"]


def test_enqueue_and_dequeue_open_no_new_connection(broker):
    connection.ensure_connection()
    before = connection.connection
    broker.enqueue("a")
    broker.dequeue()
    assert connection.connection is before


# Signatures, and messages of the project's own ------------------------------------------------------------------------

MESSAGE = {"id": "1", "name": "one", "func": "django_asyncexchange.worker.run", "args": (), "kwargs": {}}


@pytest.fixture
def former(monkeypatch):
    """A message signed before SECRET_KEY was changed."""
    with monkeypatch.context() as patch:
        patch.setattr(Conf, "SECRET_KEY", "the former key")
        return SignedPackage.dumps(MESSAGE)


@pytest.mark.parametrize("kind", [str, str.encode], ids=["text", "bytes"])
def test_message_signed_with_a_fallback_key_is_readable(broker, former, kind):
    with override_settings(SECRET_KEY_FALLBACKS=["another", "the former key"]):
        broker.take = lambda patience: [(1, kind(former))]
        [(_, payload)] = broker.dequeue()
    assert SignedPackage.loads(payload) == MESSAGE


def test_message_signed_with_an_unknown_key_is_unchanged(broker, former):
    queued(broker, former)
    with override_settings(SECRET_KEY_FALLBACKS=["another"]):
        assert payloads(broker.dequeue()) == [former]


def test_payload_that_is_no_message_is_unchanged(broker):
    broker.take = lambda patience: [(1, b"\xff"), (2, "")]
    with override_settings(SECRET_KEY_FALLBACKS=["another"]):
        assert payloads(broker.dequeue()) == [b"\xff", ""]
