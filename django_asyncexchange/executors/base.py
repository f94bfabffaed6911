"""What runs the workers' functions. An executor carries ids, nothing else: rows are the truth, a message is a hint.

It calls the function by a dotted name of ``ENTRY_POINTS``: brokers store these names, so they are a wire format.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections
from django.utils.module_loading import import_string

from ..conf import conf
from ..sql.writes import PreparedInsert

logger = logging.getLogger("django_asyncexchange")

ENTRY_POINTS = {
    "run": "django_asyncexchange.worker.run",
    "deliver": "django_asyncexchange.delivery.run",
}
"""Job → what is called with an id: of a task that is to be run, or of a delivery that is to be sent."""
NAME = "django_asyncexchange.executors.Executor"


class Executor:
    """Base class of what ``ASYNC_EXCHANGE["EXECUTOR"]`` names; made once per process, without arguments."""

    needs_worker: ClassVar[bool] = True
    """Whether somebody else runs the calls. One that runs them within ``send`` needs none."""

    def send(self, id: str, job: str = "run") -> None:
        """Have ``ENTRY_POINTS[job](id)`` called soon, at least once. Raises where the broker refuses."""
        raise NotImplementedError

    def is_transactional(self, alias: str) -> bool:
        """Whether ``send`` commits and rolls back with the transaction open on the database ``alias``."""
        return False

    def waiting(self) -> int | None:
        """Messages in the queue of runs that nobody has taken yet; None where that is not known."""
        return None

    def message(self, id: str) -> tuple[PreparedInsert, Mapping[str, Any]] | None:
        """The INSERT by which ``send`` of a run writes its message, and its values, for a statement that writes more;
        None where there is no such statement.
        """
        return None

    def check(self) -> Iterator[tuple[str, str]]:
        """For ``manage.py check``: pairs of what is wrong with the settings of the queue, and what to do."""
        yield from ()


def waiting() -> int | None:
    """How many messages wait in the queue of runs; None where nobody knows."""
    try:
        return load().waiting()
    except Exception:
        logger.warning("the broker does not say how many messages wait in it", exc_info=True)
        return None


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
    executor = import_string(path)()
    if not isinstance(executor, Executor):
        raise ImproperlyConfigured(f"{path} is no executor. Make it a subclass of {NAME}.")
    return executor
