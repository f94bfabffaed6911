"""Database connections after a run: close those whose session the view has changed.

Django resets a view's connections only as far as a web server needs it. A worker then writes the end of the task: a
transaction left open would swallow it and the tasks after it, a read-only session or another ``search_path`` would
reject them.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable
from typing import Any, Self

from django.db import Error, connections
from django.db.backends.signals import connection_created

logger = logging.getLogger("django_asyncexchange")

STATELESS = re.compile(
    r"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|REPLACE|VALUES|WITH|EXPLAIN|NOTIFY"
    r"|SAVEPOINT|RELEASE|ROLLBACK|SET\s+(?:LOCAL|CONSTRAINTS))\b",
    re.IGNORECASE,
)
"""Statements that do not change session state. All others may: SET, CREATE, LOCK, LISTEN …"""
STATEFUL = ("advisory_lock", "set_config", "get_lock", "dblink", ":=", "into temp", "into local temp", "into @")
"""Fragments that change session state nevertheless."""
BEGIN = re.compile(r"\s*BEGIN\b", re.IGNORECASE)
"""Django's own BEGIN on SQLite, whose driver knows whether the transaction has ended."""


def may_change_session(sql: object) -> bool:
    """Whether a statement may change session state. If in doubt, True: that only costs a reconnect."""
    if not isinstance(sql, str) or not STATELESS.match(sql) or ";" in sql.rstrip("; \n\t"):
        return True
    words = sql.lower()
    if "into" in words and ("temp" in words or "@" in words):
        words = " ".join(words.split())
    return any(word in words for word in STATEFUL)


class Sessions:
    """Context manager that tracks which database sessions of this thread are changed inside.

    Statements on the driver's own cursors and inside procedures are not seen; open transactions and closed connections
    are, because the driver reports them.
    """

    def __init__(self) -> None:
        self.in_transaction = frozenset(
            connection.alias for connection in connections.all(initialized_only=True) if is_open(connection)
        )
        """Aliases whose connection is in a transaction of the caller; they are left alone."""
        self._changed: set[str] = set()
        self._tracked: list[Any] = []
        self._outer: Sessions | None = None

    def __enter__(self) -> Self:
        self._outer, _local.sessions = getattr(_local, "sessions", None), self
        for connection in connections.all():
            connection.execute_wrappers.insert(0, self._track)
            self._tracked.append(connection)
        return self

    def __exit__(self, *_: object) -> None:
        _local.sessions = self._outer
        for connection in self._tracked:
            with contextlib.suppress(ValueError):
                connection.execute_wrappers.remove(self._track)

    def _track(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        connection = context["connection"]
        if may_change_session(sql) and not (connection.vendor == "sqlite" and BEGIN.match(sql)):
            self._changed.add(connection.alias)
        return execute(sql, params, many, context)

    def ignore_setup(self, alias: str) -> None:
        """Ignore what Django and the project do when a connection is opened (``connection_created``)."""
        self._changed.discard(alias)

    def clean_up(self) -> None:
        """Close connections that the run has left in a transaction, which rolls back, or otherwise changed."""
        for connection in self._ours():
            if is_open(connection):
                logger.warning("view left a transaction open on %r, or closed its connection", connection.alias)
                close(connection)
            elif connection.alias in self._changed:
                logger.info("view changed its database session on %r; the connection is closed", connection.alias)
                close(connection)
            self._changed.discard(connection.alias)

    def close(self) -> None:
        """Close them, whatever their state."""
        for connection in self._ours():
            close(connection)

    def _ours(self) -> list[Any]:
        return [
            connection
            for connection in connections.all(initialized_only=True)
            if connection.alias not in self.in_transaction
        ]


_local = threading.local()


def ignore_setup(*, connection: Any, **kwargs: Any) -> None:
    sessions: Sessions | None = getattr(_local, "sessions", None)
    if sessions is not None:
        sessions.ignore_setup(connection.alias)


connection_created.connect(ignore_setup, dispatch_uid="django_asyncexchange.store.db_sessions")


def clean_up() -> None:
    """Close connections that other jobs have left in a transaction: django-q2's workers run the project's functions
    too.
    """
    for connection in connections.all(initialized_only=True):
        if is_open(connection):
            close(connection)


def close(connection: Any) -> None:
    """Close a connection, whatever its state, so that the next statement opens another one."""
    is_lost = connection.in_atomic_block
    try:
        connection.close()
    except Error:  # closed by the driver already
        connection.connection = None
    if connection.connection is not None and not is_lost:  # in-memory SQLite, which Django never closes
        connection.connection.rollback()
    if is_lost:
        del connections[connection.alias]


def close_all() -> None:
    """Close all connections of this thread."""
    for connection in connections.all(initialized_only=True):
        close(connection)


def is_open(connection: Any) -> bool:
    """Whether a transaction is open, by Django or by hand, or the connection was closed without Django's knowledge."""
    if connection.connection is None:
        return False
    is_manual = connection.get_autocommit() != connection.settings_dict["AUTOCOMMIT"]
    try:
        return (
            connection.in_atomic_block
            or is_manual
            or not IDLE.get(connection.vendor, lambda raw: True)(connection.connection)
        )
    except Exception:  # drivers raise for a closed connection
        return True


def _mysql(raw: Any) -> bool:
    """mysqlclient does not report transactions; but there each one begins with a statement that is tracked."""
    return bool(raw.open) and not getattr(raw, "server_status", 0) & 1


IDLE: dict[str, Callable[[Any], bool]] = {
    "postgresql": lambda raw: raw.info.transaction_status == 0,  # PQTRANS_IDLE, in psycopg 2 and 3
    "sqlite": lambda raw: not raw.in_transaction,
    "mysql": _mysql,
}
"""Vendor → whether the driver reports an open connection without a transaction."""
