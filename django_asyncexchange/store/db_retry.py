"""Retries of transient database errors: the database is unavailable or busy, or has chosen a deadlock victim."""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import (
    DatabaseError,
    DataError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
    router,
)

from ..models import AsyncTask
from . import db_sessions

logger = logging.getLogger("django_asyncexchange")

P = ParamSpec("P")
T = TypeVar("T")

UNAVAILABLE = (OperationalError, InterfaceError)
"""Raised if the database is unavailable or busy, and for some programming errors."""
BROKEN_SESSION = (InternalError, ProgrammingError)
"""Raised in a session that was left read-only, in another schema or closed, and for programming errors."""
PAUSE = 0.5
"""Seconds between retries."""
RETRIES_WHILE_UP = 2
"""Retries while the database is up: a connection that has just broken looks like a packet that the server rejects."""
DEADLOCKED: set[object] = {1213, "40001", "40P01"}
"""Error codes of a deadlock, on MySQL and PostgreSQL."""
BUSY: set[object] = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, 1205, "55P03", *DEADLOCKED}
"""Error codes of locks and deadlocks."""
UNSTORABLE = ((1366,), (3988,))
"""MySQL: the character set of the column cannot store the value. The exception class depends on the driver."""
DEADLOCK_ATTEMPTS = 5
"""Attempts of a transaction that is deadlocked each time."""


def retry_while_unavailable(work: Callable[[], T], retry_for: float) -> T:
    """Call ``work``; retry for up to ``retry_for`` seconds while the database is unavailable or busy, then raise.

    Each retry uses a new connection: the old one may be broken.
    """
    deadline, retries_while_up = time.monotonic() + retry_for, RETRIES_WHILE_UP
    while True:
        try:
            return work()
        except (*UNAVAILABLE, *BROKEN_SESSION) as error:
            connection = connections[router.db_for_write(AsyncTask)]
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            db_sessions.close_all()
            if isinstance(error, BROKEN_SESSION) or not (_has_code(BUSY, error) or _is_unavailable(connection)):
                retries_while_up -= 1
                if retries_while_up < 0:
                    raise
            logger.warning("database unavailable or busy: %s; retrying", error)
        time.sleep(PAUSE)


def retry_in_thread(work: Callable[[], T], retry_for: float) -> T:
    """``retry_while_unavailable`` in a thread with its own connections, while a view still reads from those of this
    thread.

    Closing them would end the view's queries; and SQLite lets no connection write that reads an outdated snapshot.
    """

    def with_own_connections() -> T:
        try:
            return retry_while_unavailable(work, retry_for)
        finally:
            db_sessions.close_all()

    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(with_own_connections).result()
    finally:
        pool.shutdown(wait=False)  # an interrupt of this thread does not wait


def retry_deadlocks(work: Callable[P, T]) -> Callable[P, T]:
    """Decorator: run ``work``, a transaction, again if the database has rolled it back because of a deadlock."""

    @functools.wraps(work)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(DEADLOCK_ATTEMPTS - 1):
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                connection = connections[router.db_for_write(AsyncTask)]
                if connection.in_atomic_block or not _has_code(DEADLOCKED, error):
                    raise
                logger.info("transaction retried after a deadlock: %s", error)
        return work(*args, **kwargs)

    return wrapper


def is_unstorable(error: Exception) -> bool:
    """Whether the database can never store the value."""
    return isinstance(error, DataError) or (isinstance(error, DatabaseError) and error.args[:1] in UNSTORABLE)


def is_unavailable() -> bool:
    """Whether no connection to the tasks' database is possible right now."""
    db_sessions.close_all()
    return _is_unavailable(connections[router.db_for_write(AsyncTask)])


def _is_unavailable(connection: Any) -> bool:
    try:
        connection.ensure_connection()
    except DatabaseError:
        return True
    return False


def _has_code(codes: set[object], error: Exception) -> bool:
    cause = error.__cause__
    extended = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # psycopg 3, psycopg 2
    found = {state, *(cause.args[:1] if cause else ())}
    return not codes.isdisjoint(found if extended is None else {extended & 0xFF})
