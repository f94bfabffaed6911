"""The waking broker on a real Redis: order, returned messages and servers that are away."""

from __future__ import annotations

import contextlib
import pickle
import pydoc
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from django_q.signing import SignedPackage
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from django_asyncexchange import executors
from django_asyncexchange.executors.django_q import guard, redis_broker
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.executors.django_q.redis_broker import WakingRedis
from django_asyncexchange.executors.django_q.stall_detector import Event
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ...journeys import cells
from ...project.wire import Wire
from ...services import PATIENCE, exchange, runs, soon, stored, submitted, until

pytestmark = pytest.mark.service

WORKER = 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(guard, "RETRY_PAUSES", (0.0,))


@pytest.fixture
def name():
    return f"broker_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def url(name, monkeypatch):
    url = cells.address("TEST_REDIS_URL")
    monkeypatch.setattr(Conf, "REDIS", url)
    yield url
    cells.clear(url, name)


@pytest.fixture
def broker(url, name):
    broker = WakingRedis(name)
    yield broker
    broker.connection.close()


def taken(broker):
    [(number, payload)] = broker.dequeue()
    return number, payload.decode()


def test_messages_are_handed_out_in_order_of_arrival(broker):
    for message in "abc":
        broker.enqueue(message)
    seen = [taken(broker) for _ in range(3)]
    assert [payload for _, payload in seen] == ["a", "b", "c"]
    numbers = [number for number, _ in seen]
    assert numbers == sorted(set(numbers))


def test_message_numbers_grow_across_brokers(broker, name):
    broker.enqueue("a")
    broker.enqueue("b")
    [before, _] = taken(broker)
    other = WakingRedis(name)
    assert taken(other)[0] > before
    other.connection.close()


def test_empty_queue_hands_out_nothing(broker):
    assert broker.dequeue() == []


def test_returned_messages_come_first_in_their_order(broker):
    for message in "abc":
        broker.enqueue(message)
    [one, _], [two, _] = taken(broker), taken(broker)
    broker.release([one, two])
    assert [taken(broker)[1] for _ in range(3)] == ["a", "b", "c"]


def test_broker_retired_during_a_dequeue_returns_its_messages(broker, name):
    broker.enqueue("a")
    take = broker.take

    def retire(patience):
        messages = take(patience)
        broker.is_retired = True
        return messages

    broker.take = retire
    assert broker.dequeue() is None
    other = WakingRedis(name)
    assert taken(other)[1] == "a"
    other.connection.close()


def test_messages_are_kept_until_a_worker_starts_them(broker):
    for message in "abc":
        broker.enqueue(message)
    [one, _], [two, _] = taken(broker), taken(broker)
    broker._started_detector().record(Event.STARTED, WORKER, one)
    [three, _] = taken(broker)
    assert set(broker._taken) == {two, three}
    broker.release([one])
    assert broker.queue_size() == 0


def test_server_outage_loses_no_message(broker, url, name, monkeypatch, caplog):
    parts = urlsplit(url)
    wire = Wire((parts.hostname, parts.port))
    monkeypatch.setattr(Conf, "REDIS", parts._replace(netloc=f"127.0.0.1:{wire.port}").geturl())
    other = WakingRedis(name)
    try:
        broker.enqueue("a")
        broker.enqueue("b")
        assert taken(other)[1] == "a"
        wire.cut()
        assert other.dequeue() is None
        assert "cannot be reached" in caplog.text
        wire.mend()
        assert taken(other)[1] == "b"
    finally:
        other.connection.close()
        wire.close()


def test_read_from_a_silent_server_times_out(monkeypatch, name):
    """It answers nothing: its machine is gone, or a firewall has forgotten the connection."""
    monkeypatch.setattr(redis_broker, "SOCKET_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        once = Retry(NoBackoff(), 0)
        monkeypatch.setattr(Conf, "REDIS", {"port": silent.getsockname()[1], "socket_timeout": None, "retry": once})
        broker = WakingRedis(name)
        assert broker.dequeue() is None
        broker.connection.close()


def test_socket_timeout_of_the_project_is_kept(monkeypatch, name):
    monkeypatch.setattr(Conf, "REDIS", {"socket_timeout": 17})
    assert WakingRedis(name).connection.connection_pool.connection_kwargs["socket_timeout"] == 17
    assert isinstance(WakingRedis(name), Redis)


# Ready tasks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(transactional_db, broker, name, monkeypatch):
    """Calls go to this broker. Nobody waits long for a message."""
    monkeypatch.setattr(Conf, "BROKER_CLASS", f"{WakingRedis.__module__}.{WakingRedis.__qualname__}")
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(guard, "INTERVAL", 0.01)
    monkeypatch.setattr(guard, "BUSY_INTERVAL", 0.01)
    executor = f"{DjangoQ.__module__}.{DjangoQ.__qualname__}"
    given = exchange(EXECUTOR=executor, QUEUES={"run": name})
    with override_settings(ASYNC_EXCHANGE=given, ROOT_URLCONF="tests.services"):
        monkeypatch.setattr(executors.load()._local, "brokers", {}, raising=False)
        yield
        for one in executors.load()._local.brokers.values():
            one.connection.close()


def kinds(messages):
    return ["wake-up" if number < 0 else payload.decode() for number, payload in messages]


@pytest.mark.usefixtures("calls")
def test_accepted_call_has_a_wake_up_and_no_message(broker):
    task = submitted()
    assert (broker.queue_size(), AsyncTask.objects.ready().get()) == (0, task)
    assert kinds(broker.dequeue()) == ["wake-up"]


@pytest.mark.usefixtures("calls")
def test_messages_are_handed_out_beside_wake_ups_in_their_order(broker):
    stored(sent=soon())
    for message in "ab":
        broker.enqueue(message)
    assert [kinds(broker.dequeue()) for _ in range(3)] == [["a", "wake-up"], ["b"], []]


@pytest.mark.usefixtures("calls")
def test_message_is_handed_out_although_the_table_cannot_be_read(broker):
    def refuse(execute, sql, params, many, context):
        raise OperationalError("the database is away")

    stored(sent=soon())
    broker.enqueue("a")
    with connection.execute_wrapper(refuse):
        assert kinds(broker.dequeue()) == ["a"]
    assert kinds(broker.dequeue()) == ["wake-up"]


@pytest.mark.usefixtures("calls")
def test_call_accepted_while_redis_is_away_runs_when_the_cluster_looks(broker, url, monkeypatch, caplog):
    parts = urlsplit(url)
    with contextlib.closing(Wire((parts.hostname, parts.port))) as wire:
        monkeypatch.setattr(Conf, "REDIS", parts._replace(netloc=f"127.0.0.1:{wire.port}").geturl())
        wire.cut()
        task = submitted()
    assert f"task {task.pk} could not be queued" in caplog.text
    assert broker.connection.exists(broker._wake_list) == 0
    [(_, payload)] = broker.dequeue()
    message = SignedPackage.loads(payload)
    pydoc.locate(message["func"])(*message["args"])
    task.refresh_from_db()
    assert (runs(), task.state) == (1, State.DONE)


@pytest.mark.usefixtures("calls")
def test_message_of_an_older_release_is_run_once(broker):
    task = stored(sent=soon())
    message = {"id": "1", "name": "one", "func": "django_asyncexchange.worker.run", "args": (str(task.pk),)}
    broker.enqueue(SignedPackage.dumps(message))
    messages = broker.dequeue()
    assert len(messages) == 2
    for _, payload in messages:
        message = SignedPackage.loads(payload)
        pydoc.locate(message["func"])(*message["args"])
    task.refresh_from_db()
    assert (runs(), task.attempt, broker.queue_size()) == (1, 1, 0)


@pytest.mark.usefixtures("calls")
def test_broker_pickled_for_another_process_works_there(broker):
    broker.enqueue("a")
    broker.dequeue()
    other = pickle.loads(pickle.dumps(broker))
    stored(sent=soon())
    broker.enqueue("b")
    assert kinds(other.dequeue()) == ["b", "wake-up"]
    other.connection.close()


# The list that wakes --------------------------------------------------------------------------------------------------


def test_waiting_cluster_is_woken(broker, name):
    broker.take(0.01)  # connected
    sleeper = WakingRedis(name)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sleeper.take, PATIENCE)
        until(lambda: any(one["cmd"] == "blpop" and one["flags"] == "b" for one in broker.connection.client_list()))
        broker.wake()
        assert waiting.result(PATIENCE) == []
    assert broker.connection.exists(broker._wake_list) == 0
    sleeper.connection.close()


def test_list_that_wakes_stays_short(broker):
    for _ in range(100):
        broker.wake()
    assert broker.connection.llen(broker._wake_list) == redis_broker.MAX_WAKES


def test_message_comes_before_a_wake(broker):
    broker.wake()
    broker.enqueue("a")
    assert [payload for _, payload in broker.take(1)] == [b"a"]
    assert broker.take(1) == []


def test_two_queues_are_woken_by_different_lists(broker):
    assert broker._wake_list != WakingRedis(f"{broker.list_key}2")._wake_list


@pytest.fixture
def waits(broker, monkeypatch):
    """The server is Redis 5, which waits for whole seconds only; for how long it was asked to wait."""
    waits, blpop = [], broker.connection.blpop

    def by_redis_5(keys, timeout):
        waits.append(timeout)
        if not isinstance(timeout, int):
            raise ResponseError("timeout is not an integer or out of range")
        return blpop(keys, timeout)

    monkeypatch.setattr(broker.connection, "blpop", by_redis_5)
    return waits


def test_server_that_waits_for_whole_seconds_is_asked_for_these(broker, waits):
    broker.enqueue("a")
    assert broker.dequeue() is None
    assert (taken(broker)[1], waits[-1]) == ("a", 1)


def test_other_error_of_the_server_does_not_change_the_wait(broker, waits, monkeypatch):
    def refuse(keys, timeout):
        raise ResponseError("MISCONF Redis is configured to save RDB snapshots")

    with monkeypatch.context() as patch, pytest.raises(ResponseError):
        patch.setattr(broker.connection, "blpop", refuse)
        broker.take(0.2)
    with pytest.raises(ResponseError, match="integer"):
        broker.take(0.2)
    assert waits == [0.2]
