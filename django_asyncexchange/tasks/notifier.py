"""Notifies the requests of this process that wait for tasks: one thread and one connection for all of them.

PostgreSQL notifies it on commit that a task has finished (LISTEN/NOTIFY). It finds everything else by one query for all
tasks that are waited for. The thread lives while somebody waits.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connections, router

from ..models import AsyncTask
from ..protocol import log_once
from ..protocol.states import FINAL
from ..store.statements import FINISHED

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between two queries without notifications: they double from the first to the longest."""
LISTENING_PAUSE = 0.5
"""Seconds between two queries with notifications, which may be lost and are not sent for progress."""
BATCH = 500
"""Tasks of one query."""
SHOWN = ("state", "attempt", "progress_done", "progress_total", "progress_message")
"""Columns whose changes are noticed."""

Version = tuple[Any, ...]
"""The values of ``SHOWN``."""


class Watch:
    """Somebody who waits for a task: to finish, or to differ from ``version``. ``wake`` is called in another thread.

    ``was_seen``: whether that thread would have found the task before.
    """

    def __init__(
        self, task_id: uuid.UUID, wake: Callable[[], Any], version: Version | None = None, *, was_seen: bool = False
    ) -> None:
        self.task_id = task_id
        self._wake, self._version = wake, version
        self._was_seen = was_seen

    def look(self, version: Version | None) -> None:
        """Take a look at the task's current ``version``; None if there is none.

        It is deleted then, if it was there before; if not, it lies in another tenant's table than this thread's.
        """
        if version is None:
            is_changed = self._was_seen
        else:
            self._was_seen = True
            is_changed = version[0] in FINAL or self._version not in (None, version)
        if is_changed:
            self.wake()

    def wake(self) -> None:
        with suppress(RuntimeError):  # its event loop is closed
            self._wake()


def version_of(task: AsyncTask) -> Version:
    return tuple(getattr(task, name) for name in SHOWN)


class Notifier:
    """The waiting requests of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: dict[uuid.UUID, list[Watch]] = {}
        self._is_running = False
        self._is_new = threading.Event()
        """Set while a watch was added that no query has seen."""

    def add(self, watch: Watch) -> None:
        with self._lock:
            self._watches.setdefault(watch.task_id, []).append(watch)
            self._is_new.set()
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="asyncexchange-notifier", daemon=True).start()

    def remove(self, watch: Watch) -> None:
        with self._lock:
            rest = [each for each in self._watches.get(watch.task_id, ()) if each is not watch]
            if rest:
                self._watches[watch.task_id] = rest
            else:
                self._watches.pop(watch.task_id, None)

    def _run(self) -> None:
        alias = router.db_for_write(AsyncTask)
        while self._goes_on():
            try:
                self._notify(alias)
            except Exception as error:  # the database is away, or has no table for this thread's tenant
                log_once.once("waiting requests look at their tasks less often", error)
                self._is_new.clear()
                self._is_new.wait(LISTENING_PAUSE)
            finally:
                connections.close_all()

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_running = bool(self._watches)
            return self._is_running

    def _notify(self, alias: str) -> None:
        """Notify until nobody waits. Raises the database's errors."""
        notifies = _listen(alias)
        pause = FIRST_PAUSE
        while self._watches:
            if self._is_new.is_set():
                self._is_new.clear()
                pause = FIRST_PAUSE
            self._look()
            if notifies is not None:
                for note in notifies(timeout=LISTENING_PAUSE):
                    self._finished(note.payload)
                continue
            self._is_new.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _look(self) -> None:
        keys = list(self._watches)
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
            rows = AsyncTask.objects.filter(pk__in=batch).values_list("pk", *SHOWN)
            found = {key: tuple(version) for key, *version in rows}
            for key in batch:
                self._update(key, found.get(key))

    def _finished(self, payload: str) -> None:
        with suppress(ValueError):
            for watch in self._watches_of(uuid.UUID(payload)):
                watch.wake()

    def _update(self, key: uuid.UUID, version: Version | None) -> None:
        for watch in self._watches_of(key):
            watch.look(version)

    def _watches_of(self, key: uuid.UUID) -> list[Watch]:
        with self._lock:
            return list(self._watches.get(key, ()))


_notifier = Notifier()


def _forget_parent() -> None:
    global _notifier
    _notifier = Notifier()


os.register_at_fork(after_in_child=_forget_parent)  # the child has none of the threads


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Have ``watch`` notified within the block. Read the task inside the block, so that nothing is missed."""
    notifier = _notifier
    notifier.add(watch)
    try:
        yield
    finally:
        notifier.remove(watch)


def _listen(alias: str) -> Callable[..., Iterator[Any]] | None:
    """Listen for finished tasks; psycopg's ``notifies()``, or None where the database does not notify this thread."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return None
    connection.ensure_connection()
    notifies: Callable[..., Iterator[Any]] | None = getattr(connection.connection, "notifies", None)
    if is_pooled(connection) or not callable(notifies):  # psycopg 2 has a list of that name, and cannot wait for it
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {FINISHED}")
    return notifies


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
