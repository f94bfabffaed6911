"""A cluster of django-q2 that the supervisor has started: a process group with a session and pipes of its own."""

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

MAX_SILENCE = 60.0
"""Seconds without a status, also at its start, after which a cluster is ended."""


def queues() -> list[str]:
    """The clusters that get jobs of this app; or the one in ``Q_CLUSTER_NAME``, as for ``qcluster``."""
    named = os.environ.get("Q_CLUSTER_NAME")
    return [named] if named else list(dict.fromkeys(map(queue_of, ENTRY_POINTS)))


def queue_of(job: str) -> str:
    """The cluster that gets ``job``."""
    return conf.QUEUES.get(job) or default()


def default() -> str:
    """The cluster that django-q2 sends to by default."""
    given = conf.project("Q_CLUSTER") or {}
    return str(given.get("cluster_name") or given.get("name") or "default")


class Cluster:
    """A running cluster. Its head process is not reaped before ``kill()``, so that its process id is not reused."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.began = self._last_status = time.monotonic()
        self.deadline: float | None = None
        """When a cluster that hangs is killed, whatever it still runs."""
        self.is_well = self.is_stalled = self.is_drained = False
        supervisor_end, self._supervisor = os.pipe()
        self.status, status_end = os.pipe()
        """Readable when there is a status."""
        os.set_blocking(self.status, False)
        try:
            self._head = subprocess.Popen(
                [sys.executable, "-P", "-m", "django", "qcluster"],
                env=_environment(queue, supervisor_end, status_end),
                start_new_session=True,
                pass_fds=(supervisor_end, status_end),
            )
        finally:
            os.close(supervisor_end)
            os.close(status_end)

    def read_status(self) -> None:
        """Update the attributes from the last status that it has sent."""
        with contextlib.suppress(BlockingIOError):
            received = os.read(self.status, 65536)
            if received:
                self._last_status = time.monotonic()
                status = received[-1:]
                self.is_stalled = status not in (supervisor_pipe.WELL, supervisor_pipe.FAILING)
                self.is_well, self.is_drained = status == supervisor_pipe.WELL, status == supervisor_pipe.DRAINED

    @property
    def is_dead(self) -> bool:
        """Whether its head process is dead. Others of its group may live."""
        return os.waitid(os.P_PID, self._head.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @property
    def is_silent(self) -> bool:
        """Whether it has sent no status for too long."""
        return time.monotonic() - self._last_status > MAX_SILENCE

    def stop(self) -> None:
        """Ask it to end the calls that it runs, and to exit."""
        os.kill(self._head.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill its process group, and release its resources."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._head.pid, signal.SIGKILL)
        self._head.wait()
        for fd in (self._supervisor, self.status):
            os.close(fd)


def _environment(queue: str, *fds: int) -> dict[str, str]:
    """This environment, with this process's import path and the pipes."""
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        supervisor_pipe.VARIABLE: ",".join(map(str, fds)),
    }
    given.pop("Q_CLUSTER_NAME", None)
    return given if queue == default() else {**given, "Q_CLUSTER_NAME": queue}


def reap() -> None:
    """Reap orphans: as process 1 of a container, the supervisor inherits children of processes that died."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if os.getpgid(ended.si_pid) == ended.si_pid:
                return  # the head of a cluster, for kill() to reap
            os.waitpid(ended.si_pid, os.WNOHANG)
