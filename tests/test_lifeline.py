"""The line between a supervisor and its cluster, on real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from django_asyncexchange.executors import lifeline

from .services import PATIENCE


class Supervisor:
    """What a supervisor holds: one end that it never writes to, and one that it listens at."""

    def __init__(self, monkeypatch):
        theirs, self.line = os.pipe()
        self.ear, mouth = os.pipe()
        os.set_blocking(self.ear, False)
        self.ends = {self.line, self.ear}
        self.given = (theirs, mouth)
        monkeypatch.setenv(lifeline.VARIABLE, f"{theirs},{mouth}")
        monkeypatch.setattr(lifeline, "_ends", None)

    def heard(self):
        return os.read(self.ear, 1_000_000)

    def die(self):
        while self.ends:
            os.close(self.ends.pop())


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor(monkeypatch)
    for end in supervisor.given:
        os.set_inheritable(end, True)
    yield supervisor
    supervisor.die()
    for end in supervisor.given:
        os.close(end)


def test_a_process_that_no_supervisor_has_started_has_none(monkeypatch):
    monkeypatch.delenv(lifeline.VARIABLE, raising=False)
    lifeline.adopt()
    assert (lifeline.is_held(), lifeline.is_cut()) == (False, False)
    lifeline.wait(0)
    lifeline.say(lifeline.WELL)


def test_it_is_not_cut_while_the_supervisor_lives(supervisor):
    lifeline.adopt()
    assert (lifeline.is_held(), lifeline.is_cut()) == (True, False)


def test_it_is_cut_when_the_supervisor_is_gone(supervisor):
    lifeline.adopt()
    supervisor.die()
    assert lifeline.is_cut()


def test_who_waits_sees_the_supervisor_go(supervisor):
    lifeline.adopt()
    waiting = threading.Thread(target=lifeline.wait, args=(10 * PATIENCE,))
    waiting.start()
    supervisor.die()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_who_waits_may_wait_for_something_else_too(supervisor):
    lifeline.adopt()
    reading, writing = os.pipe()
    os.write(writing, b"x")
    lifeline.wait(10 * PATIENCE, reading)
    os.close(reading)
    os.close(writing)


def test_the_supervisor_hears_what_is_said(supervisor):
    lifeline.adopt()
    lifeline.say(lifeline.WELL)
    lifeline.say(lifeline.BUSY)
    assert supervisor.heard() == b".!"


def test_a_supervisor_that_does_not_listen_holds_nobody_up(supervisor):
    lifeline.adopt()
    for _ in range(70_000):
        lifeline.say(lifeline.WELL)
    assert supervisor.heard().strip(lifeline.WELL) == b""


def test_nobody_minds_a_supervisor_that_is_gone(supervisor):
    lifeline.adopt()
    supervisor.die()
    lifeline.say(lifeline.WELL)


def test_programs_that_are_started_from_there_do_not_have_it(supervisor):
    lifeline.adopt()
    assert lifeline.VARIABLE not in os.environ
    look = f"import os\nfor end in {supervisor.given}:\n  try: os.fstat(end)\n  except OSError: print('not here')"
    seen = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, close_fds=False, check=True
    ).stdout
    assert seen.split("\n")[:2] == ["not here", "not here"]
