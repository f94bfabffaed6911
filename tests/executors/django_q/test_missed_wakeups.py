"""A cluster that no commit can wake, as behind PgBouncer in transaction mode, looks for ready tasks more often."""

from __future__ import annotations

import pytest
from django.test import override_settings
from django_q.conf import Conf

from django_asyncexchange import executors
from django_asyncexchange.executors.django_q import guard
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.executors.django_q.orm_broker import WakingBroker
from django_asyncexchange.models import AsyncTask

from ...services import exchange, soon, stored

pytestmark = pytest.mark.django_db(transaction=True)


class Listener:
    """Notes how long it is waited for, and returns ``is_notified``."""

    def __init__(self, is_notified: bool) -> None:
        self.is_notified, self.waits = is_notified, []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_notified

    def close(self) -> None: ...


@pytest.fixture
def idle(monkeypatch):
    """A broker that has seen an empty table."""
    monkeypatch.setattr(Conf, "BROKER_CLASS", f"{WakingBroker.__module__}.{WakingBroker.__qualname__}")
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=f"{DjangoQ.__module__}.{DjangoQ.__qualname__}")):
        monkeypatch.setattr(executors.load()._local, "brokers", {}, raising=False)
        broker = WakingBroker(executors.load()._broker("run").list_key)
        broker._listener = Listener(False)
        broker.dequeue()
        yield broker


def run_and_wait(broker):
    """The seconds of the wait that follows when all tasks have been run and an empty table has been seen."""
    broker._listener.is_notified = False
    for _ in range(2):  # the wait after a look that found tasks is short anyway
        AsyncTask.objects.all().delete()
        broker._started_detector()._waiting.clear()
        broker.dequeue()
    broker.dequeue()
    return broker._listener.waits[-1]


def test_tasks_without_a_notification_make_an_idle_cluster_look_more_often(idle):
    stored(sent=soon())
    assert len(idle.dequeue()) == 1
    assert run_and_wait(idle) == Conf.POLL < guard.INTERVAL


def test_notified_tasks_change_nothing(idle):
    stored(sent=soon())
    idle._listener.is_notified = True
    assert len(idle.dequeue()) == 1
    assert run_and_wait(idle) == guard.INTERVAL


def test_tasks_that_a_busy_cluster_finds_by_itself_change_nothing(idle):
    idle._listener.is_notified = True
    stored(sent=soon())
    idle.dequeue()
    idle._listener.is_notified = False
    stored(sent=soon())
    idle.dequeue()
    assert run_and_wait(idle) == guard.INTERVAL


def test_notification_ends_the_frequent_looks(idle):
    stored(sent=soon())
    idle.dequeue()
    run_and_wait(idle)
    idle._listener.is_notified = True
    idle.dequeue()
    assert run_and_wait(idle) == guard.INTERVAL
