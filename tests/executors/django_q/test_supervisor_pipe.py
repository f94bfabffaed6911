"""The pipes between a supervisor and its cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from django_asyncexchange.executors.django_q import supervisor_pipe

from ...services import PATIENCE


class Supervisor:
    """The supervisor's ends: one that it never writes to, and one that it reads."""

    def __init__(self, monkeypatch):
        theirs, self.line = os.pipe()
        self.ear, mouth = os.pipe()
        os.set_blocking(self.ear, False)
        self.ends = {self.line, self.ear}
        self.given = (theirs, mouth)
        monkeypatch.setenv(supervisor_pipe.VARIABLE, f"{theirs},{mouth}")
        monkeypatch.setattr(supervisor_pipe, "_ends", None)

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
    monkeypatch.delenv(supervisor_pipe.VARIABLE, raising=False)
    supervisor_pipe.adopt()
    assert (supervisor_pipe.is_held(), supervisor_pipe.is_cut()) == (False, False)
    supervisor_pipe.wait(0)
    supervisor_pipe.say(supervisor_pipe.WELL)


def test_it_is_not_cut_while_the_supervisor_lives(supervisor):
    supervisor_pipe.adopt()
    assert (supervisor_pipe.is_held(), supervisor_pipe.is_cut()) == (True, False)


def test_it_is_cut_when_the_supervisor_is_gone(supervisor):
    supervisor_pipe.adopt()
    supervisor.die()
    assert supervisor_pipe.is_cut()


def test_who_waits_sees_the_supervisor_go(supervisor):
    supervisor_pipe.adopt()
    waiting = threading.Thread(target=supervisor_pipe.wait, args=(10 * PATIENCE,))
    waiting.start()
    supervisor.die()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_who_waits_may_wait_for_something_else_too(supervisor):
    supervisor_pipe.adopt()
    reading, writing = os.pipe()
    os.write(writing, b"x")
    supervisor_pipe.wait(10 * PATIENCE, reading)
    os.close(reading)
    os.close(writing)


def test_the_supervisor_hears_what_is_said(supervisor):
    supervisor_pipe.adopt()
    supervisor_pipe.say(supervisor_pipe.WELL)
    supervisor_pipe.say(supervisor_pipe.BUSY)
    assert supervisor.heard() == b".!"


def test_a_supervisor_that_does_not_listen_holds_nobody_up(supervisor):
    supervisor_pipe.adopt()
    for _ in range(70_000):
        supervisor_pipe.say(supervisor_pipe.WELL)
    assert supervisor.heard().strip(supervisor_pipe.WELL) == b""


def test_nobody_minds_a_supervisor_that_is_gone(supervisor):
    supervisor_pipe.adopt()
    supervisor.die()
    supervisor_pipe.say(supervisor_pipe.WELL)


def test_programs_that_are_started_from_there_do_not_have_it(supervisor):
    supervisor_pipe.adopt()
    assert supervisor_pipe.VARIABLE not in os.environ
    look = f"import os\nfor end in {supervisor.given}:\n  try: os.fstat(end)\n  except OSError: print('not here')"
    seen = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, close_fds=False, check=True
    ).stdout
    assert seen.split("\n")[:2] == ["not here", "not here"]
