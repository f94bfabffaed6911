"""The parent of django-q2's clusters: starts one for each queue, again when it dies or is wedged, and ends them.

It speaks to the head of a cluster only, and kills whole groups only: a signal to a single one of the others is what
wedges a cluster.
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
from ...protocol import process_id
from .. import runtime_dir
from . import clusters
from .clusters import Cluster

logger = logging.getLogger("django_asyncexchange")

GUARDED = "django_asyncexchange.executors.django_q.guard.Guarded"
TICK = 0.5
FRESH = 15.0
"""For how many seconds a sign of life counts."""
RESTED = 30.0
"""A cluster that lived that many seconds is started again at once; others after ever longer pauses."""
LONGEST_PAUSE = 30.0
LETTING_GO = 60.0
"""By how many seconds a wedged cluster's last run may outlast the longest run limit."""


def has_guarded_broker() -> bool:
    """Whether the clusters of this project tell how they are. Raises ImportError where their broker cannot be found."""
    path: str = (conf.project("Q_CLUSTER") or {}).get("broker_class") or ""
    return bool(path) and issubclass(import_string(path), import_string(GUARDED))


class Supervisor:
    """Keeps a cluster at work for each of ``names`` until it is told to stop, and then gives them ``grace`` seconds."""

    def __init__(self, names: Sequence[str], grace: float) -> None:
        self._names, self._grace = names, grace
        self._clusters: list[Cluster] = []
        self._due = dict.fromkeys(names, 0.0)
        """Queue → when its next cluster may be started."""
        self._pauses = dict.fromkeys(names, 0.0)
        self._told = 0
        """How often it was told to stop."""

    def run(self) -> None:
        with _signals(self._tell), vital_sign(self._names) as show:
            try:
                while not self._told:
                    self._tick()
                    if all(any(one.is_well for one in self._serving(name)) for name in self._names):
                        show()
                self._drain()
            finally:
                for one in self._clusters:
                    one.end()

    def _tell(self) -> None:
        self._told += 1

    def _serving(self, name: str) -> list[Cluster]:
        """The cluster that takes messages from the queue ``name``, if there is one."""
        return [one for one in self._clusters if one.queue == name and not one.is_wedged]

    def _tick(self) -> None:
        for name in self._names:
            if not self._serving(name) and time.monotonic() >= self._due[name]:
                self._clusters.append(Cluster(name))
        heard = select.select([one.ear for one in self._clusters], [], [], TICK)[0]
        for one in list(self._clusters):
            if one.ear in heard:
                one.listen()
            self._look(one)
        clusters.reap()

    def _look(self, one: Cluster) -> None:
        now = time.monotonic()
        if one.is_over or one.is_silent:
            logger.error("the cluster %s %s", one.queue, "has died" if one.is_over else "is silent")
            self._end(one)
        elif one.is_wedged and one.deadline is None:
            one.deadline = now + _longest_run() + LETTING_GO  # what it runs may end; another takes over
        elif one.is_wedged and (one.is_done or now > (one.deadline or now)):
            logger.warning("the cluster %s was wedged, and has been ended", one.queue)
            self._end(one)

    def _end(self, one: Cluster) -> None:
        self._clusters.remove(one)
        one.end()
        if one.is_wedged:
            return  # another is there already
        is_rested = time.monotonic() - one.began > RESTED
        pause = 0.0 if is_rested else min(LONGEST_PAUSE, max(1.0, 2 * self._pauses[one.queue]))
        self._pauses[one.queue] = pause
        self._due[one.queue] = time.monotonic() + pause

    def _drain(self) -> None:
        """Let all end what they have begun; told once more, or after the grace, no longer."""
        deadline = time.monotonic() + self._grace
        for one in self._clusters:
            if not one.is_wedged:
                one.stop()
        while waiting := [one for one in self._clusters if not one.is_over and not one.is_done]:
            if self._told > 1 or time.monotonic() > deadline:
                logger.warning("what still runs is ended")
                return
            for one in waiting:
                one.listen()
            time.sleep(0.05)


def _longest_run() -> float:
    return max((mount.policy.run_limit.total_seconds() for mount in conf.mounts), default=0.0)


@contextlib.contextmanager
def _signals(tell: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT say stop."""
    before = {number: signal.signal(number, lambda *_: tell()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sign(names: Sequence[str]) -> Path:
    """The file that a supervisor of this project, for these clusters, touches while all of them are well."""
    name = conf.signer("supervisor").sign(" ".join([os.environ.get("DJANGO_SETTINGS_MODULE", ""), *sorted(names)]))
    return runtime_dir.directory() / f"supervisor-{name[:16]}"


@contextlib.contextmanager
def vital_sign(names: Sequence[str]) -> Iterator[Callable[[], object]]:
    """A function that shows that all is well."""
    file = _sign(names)
    try:
        yield lambda: file.write_text(process_id.me())
    finally:
        file.unlink(missing_ok=True)


def is_well(names: Sequence[str]) -> bool:
    """Whether this project's supervisor of these clusters, on this machine, has heard of late that they are well."""
    file = _sign(names)
    try:
        name, age = file.read_text(), time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return False
    return age < FRESH and not process_id.is_gone(name)
