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


def test_an_idle_cluster_is_well(cluster):
    assert cluster.after(10 * STALL_SECONDS) is None


def test_messages_that_are_not_started_by_a_free_worker_are_a_stall(cluster):
    cluster.detector.add([1, 2])
    assert cluster.after(STALL_SECONDS - 0.1) is None
    assert cluster.after(0.1) is Stall.TASKS


def test_messages_that_wait_for_busy_workers_are_none(cluster):
    cluster.detector.add([1, 2, 3])
    cluster.record(Event.STARTED, ONE, 1)
    cluster.record(Event.STARTED, TWO, 2)
    assert cluster.after(100 * STALL_SECONDS) is None


def test_a_busy_worker_that_has_died_is_not_busy(cluster):
    cluster.detector.add([1, 2, 3])
    cluster.record(Event.STARTED, ONE, 1)
    cluster.record(Event.STARTED, TWO, 2)
    cluster.dead.add(TWO)
    assert cluster.after(STALL_SECONDS) is Stall.TASKS


def test_each_start_is_a_new_beginning(cluster):
    cluster.detector.add([1, 2, 3])
    for message in 1, 2:
        assert cluster.after(STALL_SECONDS - 1) is None
        cluster.record(Event.STARTED, ONE, message)
        cluster.record(Event.DROPPED, ONE, message)
    assert cluster.after(STALL_SECONDS - 1) is None
    assert cluster.after(1) is Stall.TASKS


def test_a_start_implies_those_whose_reports_were_lost(cluster):
    cluster.detector.add([1, 2, 3])
    cluster.record(Event.STARTED, ONE, 2)
    assert cluster.detector.waiting() == [3]


def test_a_start_that_is_heard_before_the_message_is_handed_over_passes_nothing(cluster):
    cluster.detector.add([1])
    cluster.record(Event.STARTED, ONE, 2)
    assert cluster.detector.waiting() == [1]


def test_a_message_that_could_not_be_read_is_not_waited_for(cluster):
    cluster.detector.add([1, 2])
    cluster.detector.discard(1)
    cluster.detector.discard(1)
    assert cluster.detector.waiting() == [2]


def test_ended_calls_that_are_not_acknowledged_are_a_stall(cluster):
    cluster.record(Event.ENDED, ONE, 1)
    assert cluster.after(STALL_SECONDS - 0.1) is None
    assert cluster.after(0.1) is Stall.RESULTS


def test_a_monitor_that_lives_is_only_slow(cluster):
    cluster.record(Event.ENDED, ONE, 1, 2)
    cluster.record(Event.ACKNOWLEDGED, MONITOR, 1)
    assert cluster.after(100 * STALL_SECONDS) is None
    cluster.dead.add(MONITOR)
    assert cluster.after(STALL_SECONDS) is Stall.RESULTS


def test_what_is_acknowledged_implies_what_came_before(cluster):
    cluster.record(Event.ENDED, ONE, 1, 2)
    cluster.record(Event.ACKNOWLEDGED, MONITOR, 2)
    cluster.dead.add(MONITOR)
    assert cluster.after(100 * STALL_SECONDS) is None


def test_what_needs_no_acknowledgement_is_not_waited_for(cluster):
    cluster.record(Event.DROPPED, ONE, 1)
    assert cluster.after(100 * STALL_SECONDS) is None


def test_it_is_busy_while_a_worker_that_lives_runs_something(cluster):
    seen = [cluster.detector.is_busy]
    cluster.record(Event.STARTED, ONE, 1)
    seen.append(cluster.detector.is_busy)
    cluster.record(Event.ENDED, ONE, 1)
    seen.append(cluster.detector.is_busy)
    cluster.record(Event.STARTED, TWO, 2)
    cluster.dead.add(TWO)
    assert [*seen, cluster.detector.is_busy] == [False, True, False, False]


def test_calls_that_are_taken_while_none_ends_are_a_failing_cluster(cluster):
    for message in range(stall_detector.MAX_FAILURES):
        assert not cluster.detector.is_failing
        cluster.record(Event.STARTED, ONE, message)
        cluster.record(Event.FAILED, ONE, message)
    assert cluster.detector.is_failing


@pytest.mark.parametrize("event", [Event.ENDED, Event.DROPPED])
def test_a_call_that_ends_shows_that_they_can(cluster, event):
    cluster.record(Event.FAILED, ONE, *range(stall_detector.MAX_FAILURES))
    cluster.record(event, TWO, 99)
    assert not cluster.detector.is_failing
