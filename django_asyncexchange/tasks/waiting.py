"""Waiting for a task's end without asking the database again and again (``Prefer: wait=N``, RFC 7240 section 4.3).

PostgreSQL tells: the end of a task is a notification, sent with its commit. Elsewhere we look, ever more rarely.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, router

from ..models import AsyncTask
from ..store.statements import FINISHED

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5
"""Seconds between two looks where the database cannot tell: doubling from the one to the other."""


def until_final(task_id: uuid.UUID, seconds: float) -> AsyncTask | None:
    """The task as soon as it is final; None where it is not within ``seconds``."""
    deadline = time.monotonic() + seconds
    with _pauses(task_id) as pause:
        length = FIRST_PAUSE
        while True:
            task: AsyncTask | None = AsyncTask.objects.finished().with_now().filter(pk=task_id).first()
            left = deadline - time.monotonic()
            if task is not None or left <= 0:
                return task
            pause(min(length, left), left)
            length = min(length * 2, LONGEST_PAUSE)


def until_final_elsewhere(task_id: uuid.UUID, seconds: float) -> AsyncTask | None:
    """The same in a thread of its own, whose connections end with it."""
    try:
        return until_final(task_id, seconds)
    finally:
        connections.close_all()


def is_pooled(connection: Any) -> bool:
    """Whether a pooler stands before PostgreSQL (PgBouncer): it may give each statement to another session, so nothing
    would be heard, and whoever has that session next would listen. It names a process that is not the session's.
    """
    alias = connection.alias
    if alias not in _pooled:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            _pooled[alias] = cursor.fetchone()[0] != connection.connection.info.backend_pid
    return _pooled[alias]


_pooled: dict[str, bool] = {}
"""By alias: asked once."""


@contextmanager
def _pauses(task_id: uuid.UUID) -> Iterator[Callable[[float, float], Any]]:
    """``pause(short, long)``: sleeps ``short``, or up to ``long`` where the database wakes us."""
    connection = connections[router.db_for_write(AsyncTask)]
    listens = connection.vendor == "postgresql" and not connection.in_atomic_block
    if listens:
        connection.ensure_connection()
        listens = not is_pooled(connection)
    notifies = getattr(connection.connection, "notifies", None) if listens else None
    if not callable(notifies):  # psycopg 2 has a list of that name, and no way to wait for it
        sleep = threading.Event().wait
        yield lambda short, long: sleep(short)
        return

    def listen(short: float, long: float) -> None:
        next((None for note in notifies(timeout=long) if note.payload == str(task_id)), None)

    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {FINISHED}")  # before the first look: nothing is missed between the two
        try:
            yield listen
        finally:
            cursor.execute(f"UNLISTEN {FINISHED}")
