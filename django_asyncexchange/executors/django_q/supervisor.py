"""The parent process of django-q2's clusters: starts one for each queue, and restarts those that die or hang.

It sends signals to the head of a cluster, or kills the whole process group: killing another single process is what
makes a cluster hang.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.utils.module_loading import import_string

from ...conf import conf
from ...protocol import process_id, runtime_dir
from ..base import longest_run_limit
from . import clusters
from .clusters import Cluster

logger = logging.getLogger("django_asyncexchange")

GUARDED = "django_asyncexchange.executors.django_q.guard.GuardedBroker"
INTERVAL = 0.5
HEARTBEAT_SECONDS = 15.0
"""Seconds for which a heartbeat counts."""
STABLE_SECONDS = 30.0
"""A cluster that lived this long is restarted at once; others after increasing pauses."""
MAX_PAUSE = 30.0
STALLED_GRACE = 60.0
"""Seconds beyond the longest run limit that the calls of a cluster that hangs may go on."""


def has_guarded_broker() -> bool:
    """Whether the broker of the project's clusters is one of ours. Raises ImportError if it cannot be imported."""
    path: str = (conf.project("Q_CLUSTER") or {}).get("broker_class") or ""
    return bool(path) and issubclass(import_string(path), import_string(GUARDED))


class Supervisor:
    """Runs a cluster for each of the queues ``names`` until SIGTERM or SIGINT, and then gives them ``grace`` seconds.

    A second signal ends them at once.
    """

    def __init__(self, names: Sequence[str], grace: float) -> None:
        self._names, self._grace = names, grace
        self._clusters: list[Cluster] = []
        self._due = dict.fromkeys(names, 0.0)
        """Queue → when its next cluster may start."""
        self._pauses = dict.fromkeys(names, 0.0)
        self._signals = 0
        """Signals received."""

    def run(self) -> None:
        with _on_signal(self._stop), heartbeat(self._names) as beat:
            try:
                while not self._signals:
                    self._check_all()
                    if all(any(one.is_well for one in self._serving(name)) for name in self._names):
                        beat()
                self._drain()
            finally:
                for one in self._clusters:
                    one.kill()

    def _stop(self) -> None:
        self._signals += 1

    def _serving(self, name: str) -> list[Cluster]:
        """The cluster that takes messages of the queue ``name``, if there is one."""
        return [one for one in self._clusters if one.queue == name and not one.is_stalled]

    def _check_all(self) -> None:
        for name in self._names:
            if not self._serving(name) and time.monotonic() >= self._due[name]:
                self._clusters.append(Cluster(name))
        readable = select.select([one.status for one in self._clusters], [], [], INTERVAL)[0]
        for one in list(self._clusters):
            if one.status in readable:
                one.read_status()
            self._check(one)
        clusters.reap()

    def _check(self, one: Cluster) -> None:
        now = time.monotonic()
        if one.is_dead or one.is_silent:
            logger.error("the cluster %s %s", one.queue, "has died" if one.is_dead else "sends no status")
            self._kill(one)
        elif one.is_stalled and one.deadline is None:
            one.deadline = now + longest_run_limit() + STALLED_GRACE  # its calls may end; another cluster takes over
        elif one.is_stalled and (one.is_drained or now > (one.deadline or now)):
            logger.warning("the cluster %s hung, and was killed", one.queue)
            self._kill(one)

    def _kill(self, one: Cluster) -> None:
        self._clusters.remove(one)
        one.kill()
        if one.is_stalled:
            return  # another has started already
        is_stable = time.monotonic() - one.began > STABLE_SECONDS
        pause = 0.0 if is_stable else min(MAX_PAUSE, max(1.0, 2 * self._pauses[one.queue]))
        self._pauses[one.queue] = pause
        self._due[one.queue] = time.monotonic() + pause

    def _drain(self) -> None:
        """Let all clusters end the calls that they run, until the grace or a second signal."""
        deadline = time.monotonic() + self._grace
        for one in self._clusters:
            if not one.is_stalled:
                one.stop()
        while waiting := [one for one in self._clusters if not one.is_dead and not one.is_drained]:
            if self._signals > 1 or time.monotonic() > deadline:
                logger.warning("the calls that still run are ended")
                return
            for one in waiting:
                one.read_status()
            time.sleep(0.05)


@contextlib.contextmanager
def _on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on SIGTERM and SIGINT."""
    before = {number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heartbeat_file(names: Sequence[str]) -> Path:
    """The file that a supervisor of this project writes while its clusters ``names`` are all well."""
    name = conf.signer("supervisor").sign(" ".join([os.environ.get("DJANGO_SETTINGS_MODULE", ""), *sorted(names)]))
    return runtime_dir.directory() / f"supervisor-{name[:16]}"


@contextlib.contextmanager
def heartbeat(names: Sequence[str]) -> Iterator[Callable[[], object]]:
    """A function to be called while all clusters are well; the heartbeat ends with the block."""
    file = _heartbeat_file(names)
    try:
        yield lambda: file.write_text(process_id.me())
    finally:
        file.unlink(missing_ok=True)


def is_well(names: Sequence[str]) -> bool:
    """Whether a supervisor of these clusters of this project runs on this machine, and all of them are well."""
    file = _heartbeat_file(names)
    try:
        name, age = file.read_text(), time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return False
    return age < HEARTBEAT_SECONDS and not process_id.is_gone(name)
