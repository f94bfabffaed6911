"""What a cluster's guard learns from its processes, and what it reports to the supervisor."""

from __future__ import annotations

import os

import pytest

from django_asyncexchange.executors.django_q import guard as guard
from django_asyncexchange.executors.django_q import supervisor_pipe
from django_asyncexchange.executors.django_q.guard import GuardedBroker
from django_asyncexchange.executors.django_q.stall_detector import Event, Stall

from .test_supervisor_pipe import Supervisor


@pytest.fixture
def pipe(reports_pipe):
    return reports_pipe


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor(monkeypatch)
    supervisor_pipe.inherit()
    yield supervisor
    supervisor.die()
    for end in supervisor.given:
        os.close(end)


class Detector:
    """A detector that returns what a test wants."""

    stalled: Stall | None = None
    is_busy = is_failing = False

    def stall(self):
        return self.stalled

    def waiting(self):
        return [1, 2]


class Broker(GuardedBroker):
    list_key = "calls"

    def __init__(self):
        self.returned = []

    def release(self, messages):
        self.returned += messages


@pytest.fixture
def broker():
    return Broker()


def test_reports_of_workers_and_monitor_arrive_in_order(pipe):
    guard.report_start({"ack_id": 7})
    guard.report_end({"ack_id": 7, "success": True})
    guard.report_start({"ack_id": 8})
    guard.report_end({"ack_id": 8, "success": False})
    guard.report_end({"ack_id": 9, "success": False, "ack_failure": True})
    guard.report(Event.ACKNOWLEDGED, 7)
    me = os.getpid()
    assert guard.reports() == [
        (Event.STARTED, me, 7),
        (Event.ENDED, me, 7),
        (Event.STARTED, me, 8),
        (Event.DROPPED, me, 8),
        (Event.ENDED, me, 9),
        (Event.ACKNOWLEDGED, me, 7),
    ]
    assert guard.reports() == []


def test_full_pipe_does_not_block_reports(pipe):
    for message in range(10_000):
        guard.report(Event.STARTED, message)
    heard = [message for _, _, message in guard.reports()]
    assert heard == list(range(len(heard)))


def test_reports_outside_of_a_cluster_do_nothing(pipe, monkeypatch):
    monkeypatch.setattr(guard, "_pipe", None)
    guard.report(Event.STARTED, 1)
    assert not guard.is_on()


def test_cluster_reports_that_it_is_well(broker, supervisor):
    broker._check(Detector())
    assert (supervisor.received(), broker.is_retired) == (supervisor_pipe.WELL, False)


@pytest.mark.parametrize(("is_busy", "word"), [(True, supervisor_pipe.STALLED), (False, supervisor_pipe.DRAINED)])
def test_stalled_cluster_reports_whether_calls_still_run(broker, supervisor, is_busy, word):
    detector = Detector()
    detector.stalled, detector.is_busy = Stall.TASKS, is_busy
    broker._check(detector)
    assert (supervisor.received(), broker.is_retired) == (word, True)


def test_stalled_cluster_stays_retired(broker, supervisor):
    detector = Detector()
    detector.stalled = Stall.RESULTS
    broker._check(detector)
    detector.stalled = None
    broker._check(detector)
    assert supervisor.received() == supervisor_pipe.DRAINED * 2


@pytest.mark.parametrize(("stall", "returned"), [(Stall.TASKS, [1, 2]), (Stall.RESULTS, [])])
def test_messages_that_no_worker_can_start_are_released_once(broker, supervisor, stall, returned):
    detector = Detector()
    detector.stalled = stall
    broker._check(detector)
    broker._check(detector)
    assert broker.returned == returned


def test_failed_release_is_logged(broker, supervisor, caplog):
    def refuse(messages):
        raise ConnectionError("no queue")

    broker.release = refuse
    detector = Detector()
    detector.stalled = Stall.TASKS
    broker._check(detector)
    assert supervisor.received() == supervisor_pipe.DRAINED
    assert "could not be released" in caplog.text


def test_stall_without_a_supervisor_is_only_logged(broker, monkeypatch, caplog):
    monkeypatch.setattr(supervisor_pipe, "_fds", None)
    detector = Detector()
    detector.stalled = Stall.TASKS
    broker._check(detector)
    assert (broker.is_retired, broker.returned) == (False, [])
    assert "the cluster calls hangs: a worker is free, and messages are not started" in caplog.text


@pytest.mark.parametrize("is_sentinel", [True, False])
def test_process_whose_parent_is_not_its_cluster_is_headless(monkeypatch, is_sentinel):
    sentinel = os.getpid() if is_sentinel else os.getppid()
    monkeypatch.setattr(guard, "_sentinel", sentinel)
    monkeypatch.setattr(guard, "_head", os.getppid())
    assert not guard.is_headless()
    monkeypatch.setattr(guard, "_head" if is_sentinel else "_sentinel", 0)
    assert guard.is_headless()


def test_exiting_worker_reports_its_message_as_failed(pipe):
    guard.report_start({"ack_id": 7})
    guard.report_failure()
    assert guard.reports()[-1] == (Event.FAILED, os.getpid(), 7)


def test_cluster_reports_that_no_call_ends(broker, supervisor):
    detector = Detector()
    detector.is_failing = True
    broker._check(detector)
    assert (supervisor.received(), broker.is_retired) == (supervisor_pipe.FAILING, False)
