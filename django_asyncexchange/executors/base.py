"""What runs the workers' functions. An executor carries ids, nothing else: rows are the truth, a message is a hint.

It calls the function by a dotted name of ``ENTRY_POINTS``: brokers store these names, so they are a wire format.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from django.db import close_old_connections
from django.utils.module_loading import import_string

from ..conf import conf
from ..sql.writes import PreparedInsert

logger = logging.getLogger("django_asyncexchange")

ENTRY_POINTS = {
    "run": "django_asyncexchange.worker.run",
    "deliver": "django_asyncexchange.webhooks.delivery.run",
}
"""Job → what is called with an id: of a task that is to be run, or of a delivery that is to be sent."""


class Executor(Protocol):
    """Any class with these two methods, named in ``ASYNC_EXCHANGE["EXECUTOR"]``; made once per process."""

    def send(self, id: str, job: str = "run") -> None:
        """Have ``ENTRY_POINTS[job](id)`` called soon, at least once. Raises where the broker refuses."""

    def is_transactional(self, alias: str) -> bool:
        """Whether ``send`` commits and rolls back with the transaction open on the database ``alias``."""


def waiting() -> int | None:
    """How many messages wait in the queue of runs, where the executor has a ``waiting()`` that knows; else None."""
    count = getattr(load(), "waiting", None)
    try:
        return count() if count else None
    except Exception:
        logger.warning("the broker does not say how many messages wait in it", exc_info=True)
        return None


def message(executor: Executor, id: str) -> tuple[PreparedInsert, Mapping[str, Any]] | None:
    """What ``send`` of a run would write, where the executor has a ``message()`` that tells; else None."""
    told = getattr(executor, "message", None)
    return told(id) if told else None


def perform(job: str, id: str) -> None:
    """Call what ``job`` stands for with ``id``, and leave no connection that is too old for the next call."""
    close_old_connections()
    try:
        import_string(ENTRY_POINTS[job])(id)
    finally:
        close_old_connections()


def load() -> Executor:
    """The project's executor."""
    return _made(conf.EXECUTOR)


@functools.cache
def _made(path: str) -> Executor:
    executor: Executor = import_string(path)()
    return executor
