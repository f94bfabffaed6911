"""The workers of a cell, and how a call that is run by hand is sent to them."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from ..journeys import cells
from ..journeys.test_journeys import free_port
from . import peers
from .door import DATA
from .line import Line
from .visitor import Visitor

SERVER = "waitress --listen 127.0.0.1:{port} tests.journeys.wsgi:application"

PLACES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


class Crew:
    """Two workers of one broker, and a web server."""

    def __init__(self) -> None:
        self.broker = os.environ["BENCH_BROKER"]
        self.home = Path(settings.HOME)
        self.line = Line(self.home / "line")
        self._cast = cells.Cast(self.home, os.environ["DATABASE_URL"], cells.BROKERS[self.broker], settings.NAME)
        self._cast.environment = dict(os.environ)
        self._words = cells.BROKERS[self.broker].worker
        self._count = 2 if "db_worker" in self._words else 1
        """One ``db_worker`` runs one task at a time; the others have two processes."""

    @property
    def name(self) -> str:
        return f"{self.broker.replace('in the database', f'in {PLACES[connection.vendor]}')}"

    @contextlib.contextmanager
    def at_work(self) -> Iterator[list[int]]:
        """Run the workers; yields the started processes, which have children."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self._cast.running(self._words)).pid for _ in range(self._count)]

    @contextlib.contextmanager
    def serving(self, words: str = SERVER, **environment: str) -> Iterator[Visitor]:
        """A client of the project's web server, or of the one that ``words`` start."""
        port = free_port()
        with self._cast.running(words.format(port=port), **environment) as process:
            assert cells.served(process, port), self._cast.said()
            yield Visitor(port, process.pid)

    def by_hand(self, method: str) -> Callable[[str], str]:
        """Sends the call of ``method`` that a token makes, to be run by hand; returns the id of its message."""
        send = {"DjangoQ": _django_q, "Celery": _celery, "DjangoTasks": _tasks}[settings.EXECUTOR_PATH.split(".")[-1]]()

        def sent(token: str) -> str:
            id = str(uuid.uuid4())
            send(id, method, "/works/", token, DATA if method == "POST" else None)
            return id

        return sent


def _django_q() -> Callable[..., object]:
    from django_q.brokers import get_broker
    from django_q.tasks import async_task

    broker = get_broker()

    def send(id: str, *call: Any) -> None:
        async_task(
            "tests.benchmarks.peers.by_hand", id, *call, q_options={"broker": broker, "save": True, "task_name": id}
        )

    return send


def _celery() -> Callable[..., object]:
    return lambda *call: peers.by_hand_with_celery.apply_async(call, task_id=call[0])


def _tasks() -> Callable[..., object]:
    return peers.by_hand_with_tasks.enqueue  # type: ignore[no-any-return]
