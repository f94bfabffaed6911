"""What runs ``worker.run``. An executor carries ids, nothing else: the row is the truth, a message is a hint to look.

An executor calls the worker by its dotted name, ``ENTRY_POINT``: brokers store that name, so it is a wire format.
"""

from __future__ import annotations

import functools
from typing import Protocol

from django.utils.module_loading import import_string

from ..conf import conf

ENTRY_POINT = "django_asyncexchange.worker.run"


class Executor(Protocol):
    """Any class with these two methods, named in ``ASYNC_EXCHANGE["EXECUTOR"]``; made once per process."""

    def send(self, task_id: str) -> None:
        """Have ``ENTRY_POINT(task_id)`` called soon, at least once. Raises where the broker refuses."""

    def is_transactional(self, alias: str) -> bool:
        """Whether ``send`` commits and rolls back with the transaction open on the database ``alias``."""


def load() -> Executor:
    """The project's executor."""
    return _made(conf.EXECUTOR)


@functools.cache
def _made(path: str) -> Executor:
    executor: Executor = import_string(path)()
    return executor
