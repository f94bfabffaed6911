"""The wake-ups of a cluster: how many it makes, for whom, and beside which messages.

The tests run on the database of the test run; ``test_databases`` runs them again on PostgreSQL and on MariaDB.
"""

from __future__ import annotations

import contextlib
import pickle
import pydoc
import tempfile

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django.utils.module_loading import import_string
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from django_asyncexchange import executors
from django_asyncexchange.executors.django_q import guard, wake_ups
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.executors.django_q.orm_broker import WakingBroker
from django_asyncexchange.executors.django_q.stall_detector import Stall
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import dispatch, recovery
from django_asyncexchange.worker import runner

from ...services import exchange, perform, runs, soon, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

QUEUE = "calls"
EXECUTOR = f"{DjangoQ.__module__}.{DjangoQ.__qualname__}"
CELERY = "django_asyncexchange.executors.celery.Celery"
WORKERS = 2


@pytest.fixture(autouse=True)
def project(monkeypatch, tmp_path):
    """Calls go to the queue ``calls`` of our broker, whose cluster has two workers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Conf, "BROKER_CLASS", f"{WakingBroker.__module__}.{WakingBroker.__qualname__}")
    monkeypatch.setattr(Conf, "WORKERS", WORKERS)
    monkeypatch.setattr(WakingBroker, "_interval", 0.01)
    monkeypatch.setattr(guard, "RETRY_PAUSES", (0.0,))
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=EXECUTOR, QUEUES={"run": QUEUE, "deliver": "letters"})):
        monkeypatch.setattr(executors.load()._local, "brokers", {}, raising=False)
        yield


@pytest.fixture
def pipe(reports_pipe, monkeypatch):
    """The pipe through which workers report."""
    monkeypatch.setattr(guard.maintenance, "start", lambda: None)
    monkeypatch.setattr(WakingBroker, "_guard", lambda self: None)  # the pusher alone reads


@pytest.fixture
def opened():
    """Opens brokers of a queue."""
    brokers = []

    def open(name=QUEUE):
        brokers.append(WakingBroker(name))
        return brokers[-1]

    yield open
    for broker in brokers:
        if broker._listener is not None:
            broker._listener.close()


@pytest.fixture
def broker(opened):
    return opened()


def ready(count):
    return [stored(sent=soon()) for _ in range(count)]


def numbers(messages):
    return [number for number, _ in messages]


def count_of_wake_ups(broker):
    return sum(number < 0 for number in numbers(broker.dequeue()))


# How many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "made"), [(0, 0), (1, 1), (2, 2), (5, 2)])
def test_each_ready_task_has_a_wake_up_up_to_the_number_of_workers(broker, count, made):
    ready(count)
    assert count_of_wake_ups(broker) == made


def test_only_ready_tasks_have_wake_ups(broker):
    stored()  # waits for its account's turn
    for state in State.PROCESSING, State.DONE, State.CANCEL:
        stored(state, sent=soon())
    assert count_of_wake_ups(broker) == 0


def test_unstarted_wake_ups_count_and_are_never_more_than_workers(broker):
    made = []
    for more in 1, 0, 1, 1, 0:
        ready(more)
        made.append(count_of_wake_ups(broker))
    assert made == [1, 0, 1, 0, 0]


def test_started_wake_up_is_followed_by_another_while_tasks_are_ready(broker, pipe):
    ready(5)
    [one, _] = numbers(broker.dequeue())
    guard.report_start({"ack_id": one})
    assert count_of_wake_ups(broker) == 1


def test_wake_up_that_has_ended_unreported_does_not_hide_a_new_task(broker, pipe):
    [task] = ready(1)
    [one] = numbers(broker.dequeue())
    guard.report_start({"ack_id": one})
    perform(task)
    guard.report_end({"ack_id": one, "success": True})
    ready(1)
    assert count_of_wake_ups(broker) == 1


def test_unreadable_wake_up_is_made_again(broker):
    ready(1)
    [one] = numbers(broker.dequeue())
    broker.fail(one)
    assert count_of_wake_ups(broker) == 1


@pytest.mark.usefixtures("broker")
def test_ids_of_wake_ups_are_negative_and_differ(opened, pipe):
    ready(WORKERS)
    broker = opened()
    seen = numbers(broker.dequeue())
    for number in seen:
        guard.report_start({"ack_id": number})
    seen += numbers(broker.dequeue())
    assert (len(set(seen)), max(seen) < 0) == (2 * WORKERS, True)


class Waited:
    """A listener that is never notified, and keeps for how long it was waited for."""

    def __init__(self):
        self.seconds = []

    def wait(self, seconds):
        self.seconds.append(seconds)
        return False

    def close(self):
        pass


def test_cluster_looks_more_often_while_tasks_are_ready(broker, monkeypatch):
    monkeypatch.setattr(WakingBroker, "_interval", 100)
    broker._listener = listener = Waited()
    broker.dequeue()  # like every cluster at its start: nothing is known of the table yet
    broker.dequeue()
    ready(1)
    for _ in range(3):
        broker.dequeue()
    busy, idle = wake_ups.BUSY_INTERVAL, guard.INTERVAL
    assert listener.seconds == [busy, idle, idle, busy, Conf.POLL]


def test_next_look_is_due_before_a_workers_slice_is_over():
    assert wake_ups.BUSY_INTERVAL < runner.SLICE_SECONDS


# For whom -------------------------------------------------------------------------------------------------------------


def test_only_the_cluster_of_the_queue_for_runs_makes_wake_ups(opened):
    ready(1)
    assert [count_of_wake_ups(opened(name)) for name in ("letters", "default", QUEUE)] == [0, 0, 1]


def test_default_cluster_makes_wake_ups_where_queues_name_no_other(opened):
    ready(1)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=EXECUTOR, QUEUES={})):
        assert [count_of_wake_ups(opened(name)) for name in (QUEUE, Conf.CLUSTER_NAME)] == [0, 1]


@pytest.mark.parametrize("executor", [CELERY, "tests.services.Idle"])
def test_cluster_beside_another_executor_makes_no_wake_ups(broker, executor, caplog):
    ready(1)
    broker.enqueue("the project's own")
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=executor)):
        assert [payload for _, payload in broker.dequeue()] == ["the project's own"]
    assert caplog.text == ""


def test_cluster_with_invalid_settings_hands_out_messages_and_says_why_it_runs_no_calls(broker, caplog):
    ready(1)
    broker.enqueue("the project's own")
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR="no.such.Executor")):
        assert [payload for _, payload in broker.dequeue()] == ["the project's own"]
        assert broker.dequeue() == []
    assert caplog.text.count("calls are not run, invalid settings") == 1


def test_broker_of_django_q2_itself_keeps_messages(monkeypatch):
    monkeypatch.setattr(Conf, "BROKER_CLASS", None)
    assert not executors.load().reads_tasks()
    assert dispatch.send_message(stored(sent=soon()).pk)
    assert OrmQ.objects.count() == 1


# Messages beside them -------------------------------------------------------------------------------------------------


def test_messages_are_handed_out_in_order_before_the_wake_ups(broker):
    ready(5)
    messages = [broker.enqueue(payload) for payload in "abc"]
    assert numbers(broker.dequeue()) == [*messages, -1, -2]


def test_message_is_handed_out_while_wake_ups_are_unstarted(broker):
    ready(5)
    broker.dequeue()
    message = broker.enqueue("a")
    assert broker.dequeue() == [(message, "a")]


def test_wake_ups_are_made_beside_a_backlog_of_messages(broker):
    ready(1)
    for payload in "abcdefgh":
        broker.enqueue(payload)
    assert [max(number, 0) for number in numbers(broker.dequeue())][Conf.BULK :] == [0]


# What they are --------------------------------------------------------------------------------------------------------


def test_wake_up_has_a_worker_run_ready_tasks_and_leaves_no_result(broker):
    ready(1)
    [(_, payload)] = broker.dequeue()
    message = SignedPackage.loads(payload)
    assert import_string(message["func"]) is pydoc.locate(message["func"]) is runner.run_ready
    assert (message["args"], message["kwargs"], message["save"]) == ((), {}, False)


def started(payload):
    """Do what a worker does with a message."""
    message = SignedPackage.loads(payload)
    pydoc.locate(message["func"])(*message["args"], **message["kwargs"])


def test_one_wake_up_runs_all_ready_tasks(broker):
    ready(3)
    [(_, payload), _] = broker.dequeue()
    started(payload)
    assert (runs(), AsyncTask.objects.ready().count()) == (3, 0)


@pytest.mark.parametrize("name", ["acknowledge", "fail"])
def test_end_of_a_wake_up_writes_nothing(broker, name, django_assert_num_queries):
    ready(1)
    [number] = numbers(broker.dequeue())
    with django_assert_num_queries(0):
        getattr(broker, name)(number)


def test_wake_ups_of_a_cluster_that_dies_take_no_task_with_them(broker, opened):
    ready(WORKERS)
    assert count_of_wake_ups(broker) == WORKERS
    assert count_of_wake_ups(opened()) == WORKERS


def test_cluster_that_hangs_retires_with_unstarted_wake_ups(broker, opened, monkeypatch):
    monkeypatch.setattr(guard.supervisor_pipe, "is_supervised", lambda: True)
    monkeypatch.setattr(guard.supervisor_pipe, "send", lambda status: None)
    ready(1)
    message = broker.enqueue("a")
    broker.dequeue()
    detector = broker._started_detector()
    monkeypatch.setattr(detector, "stall", lambda: Stall.TASKS)
    broker._check(detector)
    assert numbers(opened().dequeue()) == [message, -1]


def test_broker_pickled_for_another_process_makes_wake_ups_there(broker, opened):
    ready(1)
    assert count_of_wake_ups(broker) == 1
    other = pickle.loads(pickle.dumps(broker))
    try:
        assert (other.list_key, count_of_wake_ups(other)) == (QUEUE, 1)
    finally:
        other._listener.close()


# Around an upgrade, and after losses ----------------------------------------------------------------------------------


def message_of(task, func="django_asyncexchange.worker.run"):
    """The message about ``task`` as releases before this one have queued it."""
    message = {"id": "1", "name": str(task.pk), "func": func, "args": (str(task.pk),), "kwargs": {}}
    return SignedPackage.dumps({**message, "save": False, "ack_failure": True})


@pytest.mark.parametrize("first", [0, -1], ids=["message first", "wake-up first"])
def test_message_of_an_older_release_is_run_once(broker, first):
    [task] = ready(1)
    broker.enqueue(message_of(task))
    messages = broker.dequeue()
    assert len(messages) == 2
    for _, payload in (messages[first], messages[-1 - first]):
        started(payload)
    task.refresh_from_db()
    assert (runs(), task.attempt, task.state) == (1, 1, State.DONE)
    broker.acknowledge(messages[0][0])
    assert OrmQ.objects.count() == 0


def test_ready_task_needs_no_message_and_is_not_sent_again():
    stored(sent=soon(minutes=-30))
    assert (recovery.recover()["resent"], dispatch.sweep(), OrmQ.objects.count()) == (0, 0, 0)


@contextlib.contextmanager
def unreadable_tasks():
    """The table of tasks cannot be read."""

    def refuse(execute, sql, params, many, context):
        if "asyncexchange" in sql:
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


def test_look_into_the_table_that_fails_is_repeated(broker, caplog):
    ready(1)
    with unreadable_tasks():
        assert broker.dequeue() is None
    assert "cannot be reached: the database is away" in caplog.text
    assert count_of_wake_ups(broker) == 1


def test_message_is_handed_out_although_the_table_cannot_be_read(broker, caplog):
    ready(1)
    message = broker.enqueue("a")
    with unreadable_tasks():
        assert numbers(broker.dequeue()) == [message]
    assert "ready tasks cannot be counted" in caplog.text
    assert count_of_wake_ups(broker) == 1
