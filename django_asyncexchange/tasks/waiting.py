"""Wait for a task to finish (``Prefer: wait=N``, RFC 7240 section 4.3).

PostgreSQL notifies on commit (LISTEN/NOTIFY); other databases are polled with growing pauses.
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
"""Pauses between polls in seconds, without notifications: they double from the first to the longest."""


def until_final(task_id: uuid.UUID, seconds: float) -> AsyncTask | None:
    """Return the task as soon as it is final; None after ``seconds``."""
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


def until_final_in_thread(task_id: uuid.UUID, seconds: float) -> AsyncTask | None:
    """``until_final`` in a thread of its own, whose connections are closed at the end."""
    try:
        return until_final(task_id, seconds)
    finally:
        connections.close_all()


def is_pooled(connection: Any) -> bool:
    """Whether a connection pooler (PgBouncer) is between us and PostgreSQL: LISTEN would apply to a session that others
    share. Its backend process id is not the session's.
    """
    alias = connection.alias
    if alias not in _pooled:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            _pooled[alias] = cursor.fetchone()[0] != connection.connection.info.backend_pid
    return _pooled[alias]


_pooled: dict[str, bool] = {}
"""By database alias."""


@contextmanager
def _pauses(task_id: uuid.UUID) -> Iterator[Callable[[float, float], Any]]:
    """Yield ``pause(short, long)``: it sleeps ``short``, or up to ``long`` until the database notifies."""
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
        cursor.execute(f"LISTEN {FINISHED}")  # before the first query, so that no notification is missed
        try:
            yield listen
        finally:
            cursor.execute(f"UNLISTEN {FINISHED}")
