"""When an unfinished task will presumably end, from the run times of recent tasks and the queue before it.

Recent run times are read at most every ``KEEP_SECONDS`` in each process, and kept by address: mount, method and path,
whose numbers and UUIDs count as equal. Only runs that succeeded count: errors tend to be quick.
An estimate is never worth an error: without the database there is none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import math
import re
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from django.core.signals import setting_changed
from django.db import connections, router, transaction
from django.dispatch import receiver

from .. import executors
from ..conf import conf
from ..dialects.base import Dialect
from ..models import AsyncTask
from ..protocol.states import State
from ..protocol.values import Context, Estimate, Progress, value
from ..store import queue

logger = logging.getLogger("django_asyncexchange")

KEEP_SECONDS = 10.0
"""Seconds for which a process uses the run times that it has read."""
LONGEST = 60
"""Longest ``Retry-After`` in seconds, so that a client notices soon when a task ends earlier."""
OVERDUE_DIVISOR = 10
"""A run that is late, or of which nothing is known, is looked at again after a tenth of the time since then."""
IDS = re.compile(r"/(?:\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=[/.]|$)", re.IGNORECASE)
"""Parts of a path that differ from item to item."""

Address = tuple[str, str, str]
"""Mount, method, path."""


@value
class History:
    """What is known of recent tasks. Times in seconds."""

    by_address: Mapping[Address, float] = dataclasses.field(default_factory=dict)
    """Address → median run time."""
    overall: float | None = None
    """Median run time of all addresses."""
    ready: int = 0
    """Tasks that were ready when it was read."""
    running: int = 0
    """Tasks that ran at that time."""
    read: float = -math.inf
    """When it was read, by the monotonic clock."""

    def run_time(self, task: AsyncTask) -> float | None:
        """How long ``task`` will presumably run."""
        return self.by_address.get(address_of(task.dialect, task.method, task.url))

    def wait(self, tasks: int) -> float | None:
        """How long workers will need for so many tasks in the queue."""
        return None if self.overall is None else self.overall * tasks / max(1, self.running)


_histories: dict[str, History] = {}
"""By database alias."""
_reading = threading.Lock()


@receiver(setting_changed, dispatch_uid="django_asyncexchange.tasks.estimates")
def clear_cache(**kwargs: Any) -> None:
    """Forget recent run times when a test overrides settings."""
    global _histories
    _histories = {}


def of(task: AsyncTask) -> Estimate:
    """Estimate the end of ``task``, read with ``with_now()``; nothing if it is finished.

    One query for a PENDING task, and one more for the first unfinished task in ``KEEP_SECONDS``.
    """
    if task.state == State.PENDING:
        return _spared(lambda: _of_pending(task, _history()))
    if task.state == State.PROCESSING:
        return _spared(lambda: _of_running(task, _history()))
    return Estimate()


def add_to(context: Context, task: AsyncTask, dialect: Dialect) -> Context:
    """``context`` with the estimate of a ``task`` that was accepted just now, if ``dialect`` uses one.

    The tasks before it are not counted: one query for the first task in ``KEEP_SECONDS``, otherwise none.
    """
    if "accepted" not in dialect.ESTIMATED:
        return context
    return dataclasses.replace(context, estimate=_spared(lambda: _of_accepted(task, _history())))


def _of_accepted(task: AsyncTask, history: History) -> Estimate:
    if not executors.load().needs_worker:
        return Estimate()  # it has run already
    return _queued(task, task.created, max(0, history.ready - 1), history)  # it may have been counted itself


def _of_pending(task: AsyncTask, history: History) -> Estimate:
    ahead = queue.ahead_of(task)
    if ahead is None:
        return Estimate()
    estimate = _queued(task, task.now, ahead + 1, history)
    if ahead < queue.MOST:
        return dataclasses.replace(estimate, queue_position=ahead + 1)
    return dataclasses.replace(estimate, eta=None)  # there may be any number


def _queued(task: AsyncTask, now: dt.datetime, tasks: int, history: History) -> Estimate:
    """The estimate at ``now`` of a task that starts after so many ``tasks``."""
    wait, own = history.wait(tasks), history.run_time(task)
    if wait is None or own is None:
        return Estimate(retry_after=_whole(wait or 0))
    return _ending(now, wait + own)


def _of_running(task: AsyncTask, history: History) -> Estimate:
    """By the progress that the run reports or, without any, by the usual run time."""
    elapsed = max(0.0, (task.now - (task.started or task.now)).total_seconds())
    usual = history.run_time(task)
    left = _left(task.progress, elapsed)
    if left is None:
        left = usual - elapsed if usual is not None else None
    if left is None or left < 0:
        return Estimate(retry_after=_whole((elapsed if left is None else -left) / OVERDUE_DIVISOR))
    longest = conf.policy(task.dialect).run_limit.total_seconds()
    return _ending(task.now, min(left, max(0.0, longest - elapsed)))


def _left(progress: Progress | None, elapsed: float) -> float | None:
    """Seconds that a run still needs, if it goes on as fast as it has done so far; None if it has not reported."""
    if progress is None or not progress.total or not progress.done:
        return None
    return elapsed * max(0, progress.total - progress.done) / progress.done


def _ending(now: dt.datetime, seconds: float) -> Estimate:
    return Estimate(eta=now + dt.timedelta(seconds=seconds), retry_after=_whole(seconds))


def _whole(seconds: float) -> int:
    """``seconds`` as a value of ``Retry-After``."""
    return max(1, min(LONGEST, math.ceil(seconds)))


def address_of(dialect: str, method: str, url: str) -> Address:
    """The address under which run times are kept: without scheme, host, query and ids."""
    _, _, rest = url[: queue.URL_LENGTH].partition("?")[0].partition("://")
    return dialect, method, IDS.sub("/*", "/" + rest.partition("/")[2])


def _history() -> History:
    """Recent run times. While one thread reads them, or if that fails, the former ones."""
    alias, histories = router.db_for_write(AsyncTask), _histories
    known = histories.get(alias, History())
    if time.monotonic() - known.read < KEEP_SECONDS or not _reading.acquire(blocking=False):
        return known
    try:
        histories[alias] = dataclasses.replace(known, read=time.monotonic())  # also if reading fails
        histories[alias] = _read()
    finally:
        _reading.release()
    return histories[alias]


def _read() -> History:
    recent, by_address = queue.recent(), defaultdict(list)
    for run in recent.runs:
        by_address[address_of(run.dialect, run.method, run.url)].append(run.seconds)
    return History(
        by_address={address: statistics.median(times) for address, times in by_address.items()},
        overall=statistics.median(run.seconds for run in recent.runs) if recent.runs else None,
        ready=recent.ready,
        running=recent.running,
        read=time.monotonic(),
    )


def _spared(work: Callable[[], Estimate]) -> Estimate:
    """The estimate that ``work`` returns, or none if it raises. A transaction of the project can go on."""
    try:
        alias = router.db_for_write(AsyncTask)
        is_inside = connections[alias].in_atomic_block
        with transaction.atomic(using=alias) if is_inside else contextlib.nullcontext():
            return work()
    except Exception:
        logger.warning("the end of a task could not be estimated", exc_info=True)
        return Estimate()
