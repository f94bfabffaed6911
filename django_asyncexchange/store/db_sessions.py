"""What a run leaves behind in its process is put right before anything else happens there.

Django does this for a view's connections only as far as a server needs it. A worker goes on to write the end of the
task, and what the view has done to the session would decide over that and the tasks after it: a transaction that is
left open swallows them, a session that is read-only or looks into another schema refuses them.
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

PASSING = re.compile(
    r"[\s(]*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|REPLACE|VALUES|WITH|EXPLAIN|NOTIFY"
    r"|SAVEPOINT|RELEASE|ROLLBACK|SET\s+(?:LOCAL|CONSTRAINTS))\b",
    re.IGNORECASE,
)
"""How statements begin that leave nothing in a session; whatever begins otherwise may: SET, CREATE, LOCK, LISTEN …"""
LASTING = ("advisory_lock", "set_config", "get_lock", "dblink", ":=", "into temp", "into local temp", "into @")
"""What leaves something all the same."""
BEGINS = re.compile(r"\s*BEGIN\b", re.IGNORECASE)
"""Django's own transactions on SQLite; its driver tells whether they have ended."""


def may_last(sql: object) -> bool:
    """Whether a statement may change more than its transaction. Rather once too often: that costs a connection."""
    if not isinstance(sql, str) or not PASSING.match(sql) or ";" in sql.rstrip("; \n\t"):
        return True
    words = sql.lower()
    if "into" in words and ("temp" in words or "@" in words):
        words = " ".join(words.split())
    return any(word in words for word in LASTING)


class Sessions:
    """The database sessions of this thread, as a run has found them. A context: notes what is done to them inside.

    Not seen is what a view does by a cursor of the driver's own or within a procedure; but for transactions and
    connections that are closed, for which the driver itself is asked.
    """

    def __init__(self) -> None:
        self.used = frozenset(made.alias for made in connections.all(initialized_only=True) if is_open(made))
        """The aliases of those that are within a transaction of the caller's: they are left alone."""
        self._changed: set[str] = set()
        self._watched: list[Any] = []
        self._outer: Sessions | None = None

    def __enter__(self) -> Self:
        self._outer, _noting.sessions = getattr(_noting, "sessions", None), self
        for made in connections.all():
            made.execute_wrappers.insert(0, self._note)
            self._watched.append(made)
        return self

    def __exit__(self, *_: object) -> None:
        _noting.sessions = self._outer
        for made in self._watched:
            with contextlib.suppress(ValueError):
                made.execute_wrappers.remove(self._note)

    def _note(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        made = context["connection"]
        if may_last(sql) and not (made.vendor == "sqlite" and BEGINS.match(sql)):
            self._changed.add(made.alias)
        return execute(sql, params, many, context)

    def note_new(self, alias: str) -> None:
        """What Django itself, and its project, do to each session when it is opened is as it should be."""
        self._changed.discard(alias)

    def settle(self) -> None:
        """Close the connections that the run has left in a transaction, which rolls it back, or otherwise changed."""
        for made in self._ours():
            if is_open(made):
                logger.warning("a view has left a transaction open on %r, or its connection closed", made.alias)
                close(made)
            elif made.alias in self._changed:
                logger.info("a view has changed its session on %r, which is closed", made.alias)
                close(made)
            self._changed.discard(made.alias)

    def close(self) -> None:
        """Close them, whatever they are doing."""
        for made in self._ours():
            close(made)

    def _ours(self) -> list[Any]:
        return [made for made in connections.all(initialized_only=True) if made.alias not in self.used]


_noting = threading.local()


def note_new(*, connection: Any, **kwargs: Any) -> None:
    sessions: Sessions | None = getattr(_noting, "sessions", None)
    if sessions is not None:
        sessions.note_new(connection.alias)


connection_created.connect(note_new, dispatch_uid="django_asyncexchange.store.db_sessions")


def settle() -> None:
    """Close what others have left in a transaction: a worker of django-q2 runs functions of the project's as well."""
    for made in connections.all(initialized_only=True):
        if is_open(made):
            close(made)


def close(made: Any) -> None:
    """Close a connection, whatever its state, so that the next statement opens another one."""
    is_lost = made.in_atomic_block
    try:
        made.close()
    except Error:  # its driver has closed it already, and says so
        made.connection = None
    if made.connection is not None and not is_lost:  # SQLite in memory, which would be gone
        made.connection.rollback()
    if is_lost:
        del connections[made.alias]


def close_all() -> None:
    """Close all connections of this thread."""
    for made in connections.all(initialized_only=True):
        close(made)


def is_open(made: Any) -> bool:
    """Whether a transaction is open, by Django or by hand; or the connection is not, without Django's knowledge."""
    if made.connection is None:
        return False
    is_manual = made.get_autocommit() != made.settings_dict["AUTOCOMMIT"]
    try:
        return made.in_atomic_block or is_manual or not IDLE.get(made.vendor, lambda raw: True)(made.connection)
    except Exception:  # what drivers say of a connection that is closed
        return True


def _mysql(raw: Any) -> bool:
    """mysqlclient tells less; but no transaction is begun there without a statement that is noted."""
    return bool(raw.open) and not getattr(raw, "server_status", 0) & 1


IDLE: dict[str, Callable[[Any], bool]] = {
    "postgresql": lambda raw: raw.info.transaction_status == 0,  # PQTRANS_IDLE, in psycopg 2 and 3
    "sqlite": lambda raw: not raw.in_transaction,
    "mysql": _mysql,
}
"""Vendor → whether the driver knows of an open connection without a transaction."""
