"""Errors of a database that pass by themselves: it is away for a moment, or somebody else holds what is wanted."""

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

AWAY = (OperationalError, InterfaceError)
"""What is raised where a database is away or busy, and for some mistakes as well."""
SPOILT = (InternalError, ProgrammingError)
"""What is raised in a session that somebody has left read-only, in another schema or closed, and for mistakes."""
PAUSE = 0.5
"""Seconds between two tries."""
CHANCES = 2
"""More tries at a database that is there: a connection that has just broken looks like a packet that it refuses."""
DEADLOCKED: set[object] = {1213, "40001", "40P01"}
"""Rolled back so that others can go on: the codes of MySQL and PostgreSQL."""
BUSY: set[object] = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, 1205, "55P03", *DEADLOCKED}
"""That, or locked."""
UNFIT = ((1366,), (3988,))
"""Not in the character set of its column: an operational error for one driver of MySQL, one of data for another."""
ROUNDS = 5
"""How often a transaction is begun that is deadlocked each time."""


def outlast(work: Callable[[], T], patience: float) -> T:
    """Do ``work``, again while the database is away or busy, for so many seconds. Raises what ``work`` raises then.

    Each time on another connection: this one may be what is wrong.
    """
    deadline, chances = time.monotonic() + patience, CHANCES
    while True:
        try:
            return work()
        except (*AWAY, *SPOILT) as error:
            connection = connections[router.db_for_write(AsyncTask)]
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            db_sessions.close_all()
            if isinstance(error, SPOILT) or not (_is(BUSY, error) or _is_away(connection)):
                chances -= 1
                if chances < 0:
                    raise
            logger.warning("the database could not be asked: %s; it is tried again", error)
        time.sleep(PAUSE)


def outlast_beside(work: Callable[[], T], patience: float) -> T:
    """The same on connections of a thread of its own, while a view still reads rows through those of this one.

    A connection that is closed reads no more; and SQLite lets none write that reads what others have changed since.
    """

    def alone() -> T:
        try:
            return outlast(work, patience)
        finally:
            db_sessions.close_all()

    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(alone).result()
    finally:
        pool.shutdown(wait=False)  # whoever is interrupted here waits no longer


def again_if_deadlocked(work: Callable[P, T]) -> Callable[P, T]:
    """Have ``work``, a transaction, begun again where the database has ended it for the sake of another."""

    @functools.wraps(work)
    def insisting(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(ROUNDS - 1):
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                connection = connections[router.db_for_write(AsyncTask)]
                if connection.in_atomic_block or not _is(DEADLOCKED, error):
                    raise
                logger.info("a transaction is begun again: %s", error)
        return work(*args, **kwargs)

    return insisting


def is_unfit(error: Exception) -> bool:
    """Whether the database does not take a value, and never will."""
    return isinstance(error, DataError) or (isinstance(error, DatabaseError) and error.args[:1] in UNFIT)


def is_away() -> bool:
    """Whether the database of the tasks lets nobody in at the moment."""
    db_sessions.close_all()
    return _is_away(connections[router.db_for_write(AsyncTask)])


def _is_away(connection: Any) -> bool:
    try:
        connection.ensure_connection()
    except DatabaseError:
        return True
    return False


def _is(codes: set[object], error: Exception) -> bool:
    cause = error.__cause__
    extended = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # psycopg 3, psycopg 2
    told = {state, *(cause.args[:1] if cause else ())}
    return not codes.isdisjoint(told if extended is None else {extended & 0xFF})
