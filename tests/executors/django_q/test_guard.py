"""What a cluster's guard learns from its processes, and what it reports to the supervisor."""

from __future__ import annotations

import os

import pytest

from django_asyncexchange.executors.django_q import guard as guard
from django_asyncexchange.executors.django_q import supervisor_pipe
from django_asyncexchange.executors.django_q.guard import Guarded
from django_asyncexchange.executors.django_q.stall_detector import Event, Wedge

from .test_supervisor_pipe import Supervisor


@pytest.fixture
def pipe(monkeypatch):
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    monkeypatch.setattr(guard, "_pipe", ends)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor(monkeypatch)
    supervisor_pipe.adopt()
    yield supervisor
    supervisor.die()
    for end in supervisor.given:
        os.close(end)


class Book:
    """A stall detector with preset answers."""

    wedged: Wedge | None = None
    is_busy = is_failing = False

    def wedge(self):
        return self.wedged

    def waiting(self):
        return [1, 2]


class Broker(Guarded):
    list_key = "calls"

    def __init__(self):
        self.returned = []

    def give_back(self, messages):
        self.returned += messages


@pytest.fixture
def broker():
    return Broker()


def test_workers_and_the_monitor_are_heard_in_order(pipe):
    guard.note_start({"ack_id": 7})
    guard.note_end({"ack_id": 7, "success": True})
    guard.note_start({"ack_id": 8})
    guard.note_end({"ack_id": 8, "success": False})
    guard.note_end({"ack_id": 9, "success": False, "ack_failure": True})
    guard.report(Event.ACKNOWLEDGED, 7)
    me = os.getpid()
    assert guard._reports() == [
        (Event.STARTED, me, 7),
        (Event.ENDED, me, 7),
        (Event.STARTED, me, 8),
        (Event.DROPPED, me, 8),
        (Event.ENDED, me, 9),
        (Event.ACKNOWLEDGED, me, 7),
    ]
    assert guard._reports() == []


def test_a_guard_that_does_not_read_holds_nobody_up(pipe):
    for message in range(10_000):
        guard.report(Event.STARTED, message)
    heard = [message for _, _, message in guard._reports()]
    assert heard == list(range(len(heard)))


def test_outside_of_a_cluster_nobody_reports(pipe, monkeypatch):
    monkeypatch.setattr(guard, "_pipe", None)
    guard.report(Event.STARTED, 1)
    assert not guard.is_on()


def test_a_cluster_that_is_well_says_so(broker, supervisor):
    broker._look(Book())
    assert (supervisor.heard(), broker.retired) == (supervisor_pipe.WELL, False)


@pytest.mark.parametrize(("is_busy", "word"), [(True, supervisor_pipe.BUSY), (False, supervisor_pipe.DONE)])
def test_one_that_is_wedged_says_whether_it_still_runs_something(broker, supervisor, is_busy, word):
    book = Book()
    book.wedged, book.is_busy = Wedge.TASKS, is_busy
    broker._look(book)
    assert (supervisor.heard(), broker.retired) == (word, True)


def test_one_that_is_wedged_stays_so(broker, supervisor):
    book = Book()
    book.wedged = Wedge.RESULTS
    broker._look(book)
    book.wedged = None
    broker._look(book)
    assert supervisor.heard() == supervisor_pipe.DONE * 2


@pytest.mark.parametrize(("wedge", "returned"), [(Wedge.TASKS, [1, 2]), (Wedge.RESULTS, [])])
def test_messages_that_no_worker_can_start_are_given_back_once(broker, supervisor, wedge, returned):
    book = Book()
    book.wedged = wedge
    broker._look(book)
    broker._look(book)
    assert broker.returned == returned


def test_messages_that_cannot_be_given_back_are_not_the_end(broker, supervisor, caplog):
    def refuse(messages):
        raise ConnectionError("no queue")

    broker.give_back = refuse
    book = Book()
    book.wedged = Wedge.TASKS
    broker._look(book)
    assert supervisor.heard() == supervisor_pipe.DONE
    assert "could not be given back" in caplog.text


def test_without_a_supervisor_a_wedge_is_only_written_down(broker, monkeypatch, caplog):
    monkeypatch.setattr(supervisor_pipe, "_ends", None)
    book = Book()
    book.wedged = Wedge.TASKS
    broker._look(book)
    assert (broker.retired, broker.returned) == (False, [])
    assert "the cluster calls is wedged: a worker is free, and messages are not started" in caplog.text


@pytest.mark.parametrize("is_sentinel", [True, False])
def test_a_process_whose_parent_is_another_than_its_clusters_is_headless(monkeypatch, is_sentinel):
    sentinel = os.getpid() if is_sentinel else os.getppid()
    monkeypatch.setattr(guard, "_sentinel", sentinel)
    monkeypatch.setattr(guard, "_head", os.getppid())
    assert not guard.is_headless()
    monkeypatch.setattr(guard, "_head" if is_sentinel else "_sentinel", 0)
    assert guard.is_headless()


def test_a_worker_that_leaves_says_over_which_message(pipe):
    guard.note_start({"ack_id": 7})
    guard.note_failure()
    assert guard._reports()[-1] == (Event.FAILED, os.getpid(), 7)


def test_a_cluster_that_ends_no_call_says_so(broker, supervisor):
    book = Book()
    book.is_failing = True
    broker._look(book)
    assert (supervisor.heard(), broker.retired) == (supervisor_pipe.FAILING, False)
