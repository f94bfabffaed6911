"""A cluster of django-q2 as its supervisor sees it: a process group with a session and a lifeline of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

from ...conf import conf
from ..base import ENTRY_POINTS
from . import supervisor_pipe

SILENCE = 60.0
"""A cluster that says nothing for so many seconds is given up; it may take as long to start."""


def queues() -> list[str]:
    """The clusters that our jobs are sent to; or the one that the environment names, as for ``qcluster``."""
    named = os.environ.get("Q_CLUSTER_NAME")
    return [named] if named else list(dict.fromkeys(conf.QUEUES.get(job) or default() for job in ENTRY_POINTS))


def default() -> str:
    """The cluster that django-q2 sends to where no name is given."""
    given = conf.project("Q_CLUSTER") or {}
    return str(given.get("cluster_name") or given.get("name") or "default")


class Cluster:
    """A running cluster. Its head is not reaped before ``end``, so that nobody else can get its number."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.began = self._heard = time.monotonic()
        self.deadline: float | None = None
        """When a wedged one is ended, whatever it still runs."""
        self.is_well = self.is_wedged = self.is_done = False
        theirs, self._line = os.pipe()
        self.ear, mouth = os.pipe()
        os.set_blocking(self.ear, False)
        try:
            self._head = subprocess.Popen(
                [sys.executable, "-P", "-m", "django", "qcluster"],
                env=_environment(queue, theirs, mouth),
                start_new_session=True,
                pass_fds=(theirs, mouth),
            )
        finally:
            os.close(theirs)
            os.close(mouth)

    def listen(self) -> None:
        """Take note of what it says."""
        with contextlib.suppress(BlockingIOError):
            words = os.read(self.ear, 65536)
            if words:
                self._heard = time.monotonic()
                word = words[-1:]
                self.is_wedged = word not in (supervisor_pipe.WELL, supervisor_pipe.FAILING)
                self.is_well, self.is_done = word == supervisor_pipe.WELL, word == supervisor_pipe.DONE

    @property
    def is_over(self) -> bool:
        """Whether its head is gone. Others may be left."""
        return os.waitid(os.P_PID, self._head.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self._heard > SILENCE

    def stop(self) -> None:
        """Ask it to end what it has begun, and then to leave."""
        os.kill(self._head.pid, signal.SIGTERM)

    def end(self) -> None:
        """Kill what is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._head.pid, signal.SIGKILL)
        self._head.wait()
        for end in (self._line, self.ear):
            os.close(end)


def _environment(queue: str, *ends: int) -> dict[str, str]:
    """Where the same project is found, whatever the directory that it was started from."""
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        supervisor_pipe.VARIABLE: ",".join(map(str, ends)),
    }
    given.pop("Q_CLUSTER_NAME", None)
    return given if queue == default() else {**given, "Q_CLUSTER_NAME": queue}


def reap() -> None:
    """Let go of dead processes that the kernel has given to us, the first in a container, as their parents died."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if os.getpgid(ended.si_pid) == ended.si_pid:
                return  # the head of a cluster, which is asked for
            os.waitpid(ended.si_pid, os.WNOHANG)
