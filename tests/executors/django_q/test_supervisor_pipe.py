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
    """What a supervisor holds: a pipe that it never writes to, and one that it reads the status from."""

    def __init__(self, monkeypatch):
        supervisor_end, self.supervisor = os.pipe()
        self.status, status_end = os.pipe()
        os.set_blocking(self.status, False)
        self.fds = {self.supervisor, self.status}
        self.given = (supervisor_end, status_end)
        monkeypatch.setenv(supervisor_pipe.VARIABLE, f"{supervisor_end},{status_end}")
        monkeypatch.setattr(supervisor_pipe, "_fds", None)

    def received(self):
        return os.read(self.status, 1_000_000)

    def die(self):
        while self.fds:
            os.close(self.fds.pop())


@pytest.fixture
def supervisor(monkeypatch):
    supervisor = Supervisor(monkeypatch)
    for end in supervisor.given:
        os.set_inheritable(end, True)
    yield supervisor
    supervisor.die()
    for end in supervisor.given:
        os.close(end)


def test_process_without_a_supervisor_is_not_supervised(monkeypatch):
    monkeypatch.delenv(supervisor_pipe.VARIABLE, raising=False)
    supervisor_pipe.inherit()
    assert (supervisor_pipe.is_supervised(), supervisor_pipe.is_supervisor_gone()) == (False, False)
    supervisor_pipe.wait(0)
    supervisor_pipe.send(supervisor_pipe.WELL)


def test_supervisor_is_not_gone_while_it_lives(supervisor):
    supervisor_pipe.inherit()
    assert (supervisor_pipe.is_supervised(), supervisor_pipe.is_supervisor_gone()) == (True, False)


def test_supervisor_is_gone_when_its_pipes_are_closed(supervisor):
    supervisor_pipe.inherit()
    supervisor.die()
    assert supervisor_pipe.is_supervisor_gone()


def test_wait_ends_when_the_supervisor_is_gone(supervisor):
    supervisor_pipe.inherit()
    waiting = threading.Thread(target=supervisor_pipe.wait, args=(10 * PATIENCE,))
    waiting.start()
    supervisor.die()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_wait_ends_when_another_descriptor_is_readable(supervisor):
    supervisor_pipe.inherit()
    reading, writing = os.pipe()
    os.write(writing, b"x")
    supervisor_pipe.wait(10 * PATIENCE, reading)
    os.close(reading)
    os.close(writing)


def test_supervisor_receives_the_status(supervisor):
    supervisor_pipe.inherit()
    supervisor_pipe.send(supervisor_pipe.WELL)
    supervisor_pipe.send(supervisor_pipe.STALLED)
    assert supervisor.received() == b".!"


def test_supervisor_that_does_not_read_blocks_nobody(supervisor):
    supervisor_pipe.inherit()
    for _ in range(70_000):
        supervisor_pipe.send(supervisor_pipe.WELL)
    assert supervisor.received().strip(supervisor_pipe.WELL) == b""


def test_status_for_a_supervisor_that_is_gone_is_dropped(supervisor):
    supervisor_pipe.inherit()
    supervisor.die()
    supervisor_pipe.send(supervisor_pipe.WELL)


def test_programs_that_are_started_do_not_inherit_the_pipes(supervisor):
    supervisor_pipe.inherit()
    assert supervisor_pipe.VARIABLE not in os.environ
    look = f"import os\nfor end in {supervisor.given}:\n  try: os.fstat(end)\n  except OSError: print('not here')"
    seen = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, close_fds=False, check=True
    ).stdout
    assert seen.split("\n")[:2] == ["not here", "not here"]
