"""The base class of executors, and the functions by which the rest of the app uses the project's executor.

The row of a task is the truth. Where workers read the table of tasks, an executor only wakes them; elsewhere it sends
them ids, and a message is only a hint. Workers call a function by its dotted path in ``ENTRY_POINTS``. Brokers
store these paths, so they never change.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections
from django.utils.module_loading import import_string

from ..conf import conf
from ..conf.mounts import Problem

logger = logging.getLogger("django_asyncexchange")

ENTRY_POINTS = {
    "run": "django_asyncexchange.worker.run",
    "deliver": "django_asyncexchange.delivery.run",
}
"""Job → the function that a worker calls with an id: ``run`` with that of a task, ``deliver`` with a delivery's."""


class Executor:
    """Base class of the class that ``ASYNC_EXCHANGE["EXECUTOR"]`` names.

    The instance is made on first use, once per process and without arguments. The class itself may be imported at any
    time, also before Django's apps are loaded.
    """

    needs_worker: ClassVar[bool] = True
    """Whether calls wait for a worker process. False for one that runs them within ``send()``."""
    requires_app: ClassVar[str] = ""
    """The app that has to be in ``INSTALLED_APPS``; ``""`` for none."""

    @classmethod
    def connect(cls) -> None:
        """Connect to signals of the queue's workers. Called when Django's apps are loaded, as ``AppConfig.ready()``."""

    @classmethod
    def setting_problems(cls) -> Iterator[Problem]:
        """Mistakes in settings of the queue that would already break its import. No call is accepted with one."""
        yield from ()

    def send(self, id: str, job: str = "run") -> None:
        """Have a worker call ``ENTRY_POINTS[job](id)`` at least once; for a run, where workers read the table of tasks,
        wake them. Raises if the broker did not take the message.
        """
        raise NotImplementedError

    def is_transactional(self, alias: str) -> bool:
        """Whether a message is committed or rolled back with the current transaction on the database ``alias``."""
        return False

    def waiting(self) -> int | None:
        """The number of messages of the job ``run`` that no worker has taken yet; None if that is not known."""
        return None

    def reads_tasks(self, queue: str = "") -> bool:
        """Whether its workers (those of ``queue``) look for ready tasks in the table of tasks.

        ``send()`` of a run then only wakes them, and its argument does not matter.
        """
        return False

    def channel(self, alias: str) -> str:
        """The PostgreSQL channel that wakes such workers, if they listen in the database ``alias``; else ``""``."""
        return ""

    def check(self) -> Iterator[tuple[str, str]]:
        """Pairs (what is wrong, what to do) of settings with which the queue cannot work.

        No call is accepted with one, and ``manage.py check`` reports each as ``asyncexchange.E017``.
        """
        yield from ()

    def system_checks(self) -> Iterator[tuple[str, str, str]]:
        """(check id, what is wrong, what to do) of everything else that ``manage.py check`` reports of the queue."""
        yield from ()

    def deployment_checks(self) -> Iterator[tuple[str, str, str]]:
        """The same for ``manage.py check --deploy``."""
        yield from ()

    def supervisor(self, queues: Sequence[str], grace: float) -> Callable[[], None]:
        """A function that runs the workers of ``queues`` (empty: of all) until SIGTERM, and then for ``grace`` seconds.

        ``manage.py asyncexchange_worker`` calls it. Raises ImproperlyConfigured where workers cannot be started so.
        """
        raise ImproperlyConfigured(
            f"{conf.EXECUTOR} has workers of its own: start them by the command of their queue, not by this one."
        )

    def is_supervised(self, queues: Sequence[str]) -> bool:
        """Whether the ``supervisor()`` of ``queues`` runs on this machine, and all of its workers are well."""
        return False


def connect() -> None:
    """Let the executor connect to the signals of its workers."""
    try:
        _class().connect()
    except ImproperlyConfigured:  # EXECUTOR is wrong: reported by the system checks
        pass
    except Exception:
        logger.exception("%s cannot connect to the signals of its workers", conf.EXECUTOR)


def setting_problems() -> Iterator[Problem]:
    """Mistakes in settings that the executor reads besides ``ASYNC_EXCHANGE``."""
    with suppress(ImproperlyConfigured):  # EXECUTOR itself is wrong, which is reported as that
        yield from _class().setting_problems()


def waiting() -> int | None:
    """The number of messages of the job ``run`` that no worker has taken yet; None if that is not known."""
    try:
        return load().waiting()
    except Exception:
        logger.warning("the number of waiting messages is not known", exc_info=True)
        return None


def longest_run_limit() -> float:
    """The longest ``RUN_LIMIT`` of all mounts, in seconds. Raises ImproperlyConfigured if one cannot be mounted."""
    return max((mount.policy.run_limit.total_seconds() for mount in conf.mounts), default=0.0)


def perform(job: str, id: str) -> None:
    """Call the function of ``job`` with ``id``, as a worker; close connections that are too old before and after."""
    close_old_connections()
    try:
        import_string(ENTRY_POINTS[job])(id)
    finally:
        close_old_connections()


def load() -> Executor:
    """The project's executor. Raises ImproperlyConfigured where ``EXECUTOR`` is wrong."""
    return _instance(conf.EXECUTOR)


def _class() -> type[Executor]:
    cls: type[Executor] = import_string(conf.EXECUTOR)
    return cls


@functools.cache
def _instance(path: str) -> Executor:
    executor: Executor = import_string(path)()
    return executor
