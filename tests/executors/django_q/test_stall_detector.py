"""The stall detector: when it reports that a cluster is stalled, and when not."""

from __future__ import annotations

import pytest

from django_asyncexchange.executors.django_q import stall_detector
from django_asyncexchange.executors.django_q.stall_detector import PATIENCE, Event, Ledger, Wedge

MONITOR, ONE, TWO = 1, 2, 3
"""Processes."""


class Cluster:
    """A stall detector whose clock and processes a test may move and kill."""

    def __init__(self, monkeypatch):
        self.now, self.dead = 1000.0, set()
        monkeypatch.setattr(stall_detector.time, "monotonic", lambda: self.now)
        self.book = Ledger(2, PATIENCE, lambda process: process not in self.dead)

    def after(self, seconds):
        """The verdict ``seconds`` later."""
        self.book.wedge()
        self.now += seconds
        return self.book.wedge()

    def note(self, event, process, *messages):
        for message in messages:
            self.book.note(event, process, message)


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


def test_an_idle_cluster_is_well(cluster):
    assert cluster.after(10 * PATIENCE) is None


def test_messages_that_nobody_starts_although_a_worker_is_free_are_a_wedge(cluster):
    cluster.book.hand_over([1, 2])
    assert cluster.after(PATIENCE - 0.1) is None
    assert cluster.after(0.1) is Wedge.TASKS


def test_messages_that_wait_for_busy_workers_are_none(cluster):
    cluster.book.hand_over([1, 2, 3])
    cluster.note(Event.STARTED, ONE, 1)
    cluster.note(Event.STARTED, TWO, 2)
    assert cluster.after(100 * PATIENCE) is None


def test_a_busy_worker_that_has_died_is_not_busy(cluster):
    cluster.book.hand_over([1, 2, 3])
    cluster.note(Event.STARTED, ONE, 1)
    cluster.note(Event.STARTED, TWO, 2)
    cluster.dead.add(TWO)
    assert cluster.after(PATIENCE) is Wedge.TASKS


def test_each_start_is_a_new_beginning(cluster):
    cluster.book.hand_over([1, 2, 3])
    for message in 1, 2:
        assert cluster.after(PATIENCE - 1) is None
        cluster.note(Event.STARTED, ONE, message)
        cluster.note(Event.DROPPED, ONE, message)
    assert cluster.after(PATIENCE - 1) is None
    assert cluster.after(1) is Wedge.TASKS


def test_a_start_implies_those_whose_reports_were_lost(cluster):
    cluster.book.hand_over([1, 2, 3])
    cluster.note(Event.STARTED, ONE, 2)
    assert cluster.book.waiting() == [3]


def test_a_start_that_is_heard_before_the_message_is_handed_over_passes_nothing(cluster):
    cluster.book.hand_over([1])
    cluster.note(Event.STARTED, ONE, 2)
    assert cluster.book.waiting() == [1]


def test_a_message_that_could_not_be_read_is_not_waited_for(cluster):
    cluster.book.hand_over([1, 2])
    cluster.book.take_back(1)
    cluster.book.take_back(1)
    assert cluster.book.waiting() == [2]


def test_ends_that_nobody_acknowledges_are_a_wedge(cluster):
    cluster.note(Event.ENDED, ONE, 1)
    assert cluster.after(PATIENCE - 0.1) is None
    assert cluster.after(0.1) is Wedge.RESULTS


def test_a_monitor_that_lives_is_only_slow(cluster):
    cluster.note(Event.ENDED, ONE, 1, 2)
    cluster.note(Event.ACKNOWLEDGED, MONITOR, 1)
    assert cluster.after(100 * PATIENCE) is None
    cluster.dead.add(MONITOR)
    assert cluster.after(PATIENCE) is Wedge.RESULTS


def test_what_is_acknowledged_implies_what_came_before(cluster):
    cluster.note(Event.ENDED, ONE, 1, 2)
    cluster.note(Event.ACKNOWLEDGED, MONITOR, 2)
    cluster.dead.add(MONITOR)
    assert cluster.after(100 * PATIENCE) is None


def test_what_needs_no_acknowledgement_is_not_waited_for(cluster):
    cluster.note(Event.DROPPED, ONE, 1)
    assert cluster.after(100 * PATIENCE) is None


def test_it_is_busy_while_a_worker_that_lives_runs_something(cluster):
    seen = [cluster.book.is_busy]
    cluster.note(Event.STARTED, ONE, 1)
    seen.append(cluster.book.is_busy)
    cluster.note(Event.ENDED, ONE, 1)
    seen.append(cluster.book.is_busy)
    cluster.note(Event.STARTED, TWO, 2)
    cluster.dead.add(TWO)
    assert [*seen, cluster.book.is_busy] == [False, True, False, False]


def test_calls_that_are_taken_while_none_ends_are_a_failing_cluster(cluster):
    for message in range(stall_detector.FAILURES):
        assert not cluster.book.is_failing
        cluster.note(Event.STARTED, ONE, message)
        cluster.note(Event.FAILED, ONE, message)
    assert cluster.book.is_failing


@pytest.mark.parametrize("event", [Event.ENDED, Event.DROPPED])
def test_a_call_that_ends_shows_that_they_can(cluster, event):
    cluster.note(Event.FAILED, ONE, *range(stall_detector.FAILURES))
    cluster.note(event, TWO, 99)
    assert not cluster.book.is_failing
