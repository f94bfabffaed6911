"""When a cluster is found to hang, and when not."""

from __future__ import annotations

import pytest

from django_asyncexchange.executors.django_q import stall_detector
from django_asyncexchange.executors.django_q.stall_detector import STALL_SECONDS, Event, Stall, StallDetector

MONITOR, ONE, TWO = 1, 2, 3
"""Processes."""


class Cluster:
    """A detector with a clock and processes that a test may move and kill."""

    def __init__(self, monkeypatch):
        self.now, self.dead = 1000.0, set()
        monkeypatch.setattr(stall_detector.time, "monotonic", lambda: self.now)
        self.detector = StallDetector(2, STALL_SECONDS, lambda process: process not in self.dead)

    def after(self, seconds):
        """What it looks like ``seconds`` later."""
        self.detector.stall()
        self.now += seconds
        return self.detector.stall()

    def record(self, event, process, *messages):
        for message in messages:
            self.detector.record(event, process, message)


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def test_idle_cluster_is_healthy(cluster):
    assert cluster.after(10 * STALL_SECONDS) is None


def test_messages_that_are_not_started_by_a_free_worker_are_a_stall(cluster):
    cluster.detector.add([1, 2])
    assert cluster.after(STALL_SECONDS - 0.1) is None
    assert cluster.after(0.1) is Stall.TASKS


def test_messages_behind_busy_workers_are_no_stall(cluster):
    cluster.detector.add([1, 2, 3])
    cluster.record(Event.STARTED, ONE, 1)
    cluster.record(Event.STARTED, TWO, 2)
    assert cluster.after(100 * STALL_SECONDS) is None


def test_dead_worker_is_not_busy(cluster):
    cluster.detector.add([1, 2, 3])
    cluster.record(Event.STARTED, ONE, 1)
    cluster.record(Event.STARTED, TWO, 2)
    cluster.dead.add(TWO)
    assert cluster.after(STALL_SECONDS) is Stall.TASKS


def test_each_start_resets_the_clock(cluster):
    cluster.detector.add([1, 2, 3])
    for message in 1, 2:
        assert cluster.after(STALL_SECONDS - 1) is None
        cluster.record(Event.STARTED, ONE, message)
        cluster.record(Event.DROPPED, ONE, message)
    assert cluster.after(STALL_SECONDS - 1) is None
    assert cluster.after(1) is Stall.TASKS


def test_start_implies_the_starts_of_earlier_messages(cluster):
    cluster.detector.add([1, 2, 3])
    cluster.record(Event.STARTED, ONE, 2)
    assert cluster.detector.waiting() == [3]


def test_start_before_the_handover_passes_no_earlier_message(cluster):
    cluster.detector.add([1])
    cluster.record(Event.STARTED, ONE, 2)
    assert cluster.detector.waiting() == [1]


def test_unreadable_message_is_not_waited_for(cluster):
    cluster.detector.add([1, 2])
    cluster.detector.discard(1)
    cluster.detector.discard(1)
    assert cluster.detector.waiting() == [2]


def test_ended_calls_that_are_not_acknowledged_are_a_stall(cluster):
    cluster.record(Event.ENDED, ONE, 1)
    assert cluster.after(STALL_SECONDS - 0.1) is None
    assert cluster.after(0.1) is Stall.RESULTS


def test_slow_monitor_is_no_stall_while_it_lives(cluster):
    cluster.record(Event.ENDED, ONE, 1, 2)
    cluster.record(Event.ACKNOWLEDGED, MONITOR, 1)
    assert cluster.after(100 * STALL_SECONDS) is None
    cluster.dead.add(MONITOR)
    assert cluster.after(STALL_SECONDS) is Stall.RESULTS


def test_acknowledgement_implies_those_of_earlier_messages(cluster):
    cluster.record(Event.ENDED, ONE, 1, 2)
    cluster.record(Event.ACKNOWLEDGED, MONITOR, 2)
    cluster.dead.add(MONITOR)
    assert cluster.after(100 * STALL_SECONDS) is None


def test_message_without_acknowledgement_is_not_waited_for(cluster):
    cluster.record(Event.DROPPED, ONE, 1)
    assert cluster.after(100 * STALL_SECONDS) is None


def test_cluster_is_busy_while_a_living_worker_runs_a_message(cluster):
    seen = [cluster.detector.is_busy]
    cluster.record(Event.STARTED, ONE, 1)
    seen.append(cluster.detector.is_busy)
    cluster.record(Event.ENDED, ONE, 1)
    seen.append(cluster.detector.is_busy)
    cluster.record(Event.STARTED, TWO, 2)
    cluster.dead.add(TWO)
    assert [*seen, cluster.detector.is_busy] == [False, True, False, False]


def test_failures_without_a_finished_call_are_a_failing_cluster(cluster):
    for message in range(stall_detector.MAX_FAILURES):
        assert not cluster.detector.is_failing
        cluster.record(Event.STARTED, ONE, message)
        cluster.record(Event.FAILED, ONE, message)
    assert cluster.detector.is_failing


@pytest.mark.parametrize("event", [Event.ENDED, Event.DROPPED])
def test_finished_call_clears_the_failures(cluster, event):
    cluster.record(Event.FAILED, ONE, *range(stall_detector.MAX_FAILURES))
    cluster.record(event, TWO, 99)
    assert not cluster.detector.is_failing
