"""Cancels the database statements of a thread, from another thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections import defaultdict
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

logger = logging.getLogger("django_asyncexchange")

_of_threads: defaultdict[int, weakref.WeakSet[Any]] = defaultdict(weakref.WeakSet)
"""Thread → its connections, which Django gives to that thread only."""


def _remember(*, connection: Any, **kwargs: Any) -> None:
    _of_threads[threading.get_ident()].add(connection)


connection_created.connect(_remember, dispatch_uid="django_asyncexchange.worker.query_cancel")


def of_this_thread() -> weakref.WeakSet[Any]:
    """The connections of this thread, and those that it will open."""
    known = _of_threads[threading.get_ident()]
    for connection in connections.all(initialized_only=True):
        known.add(connection)
    return known


def cancel(of_thread: weakref.WeakSet[Any]) -> None:
    """Cancel the current statement of each connection, if it has one."""
    for connection in list(of_thread):
        if connection.connection is not None:
            try:
                CANCEL.get(connection.vendor, lambda connection: None)(connection)
            except Exception:
                logger.warning("a statement on %r could not be cancelled", connection.alias, exc_info=True)


def _postgresql(connection: Any) -> None:
    raw = connection.connection
    if hasattr(raw, "cancel_safe"):  # psycopg 3.2
        raw.cancel_safe(timeout=1)
    else:
        raw.cancel()


def _sqlite(connection: Any) -> None:
    connection.connection.interrupt()


def _mysql(connection: Any) -> None:
    thread_id = connection.connection.thread_id()
    with contextlib.closing(connections.create_connection(connection.alias)) as other, other.cursor() as cursor:
        cursor.execute(f"KILL QUERY {int(thread_id)}")


CANCEL = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}
