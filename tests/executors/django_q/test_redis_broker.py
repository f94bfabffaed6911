"""The waking broker on a real Redis: order, returned messages and servers that are away."""

from __future__ import annotations

import socket
import uuid
from urllib.parse import urlsplit

import pytest
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from redis.backoff import NoBackoff
from redis.retry import Retry

from django_asyncexchange.executors.django_q import guard, redis_broker
from django_asyncexchange.executors.django_q.redis_broker import WakingRedis
from django_asyncexchange.executors.django_q.stall_detector import Event

from ...journeys import cells
from ...project.wire import Wire

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
