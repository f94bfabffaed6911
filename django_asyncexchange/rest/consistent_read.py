"""Read a consistent snapshot of a database through a separate connection.

On PostgreSQL and MariaDB in a read-only transaction at the isolation level REPEATABLE READ, on SQLite in a deferred
transaction: with a write-ahead log it does not block writers.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

from django.db import connections

BEGIN = {
    "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",),
    "mysql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
    "sqlite": ("BEGIN DEFERRED",),
}


@contextlib.contextmanager
def of(alias: str) -> Iterator[str]:
    """The alias of a connection that sees the database ``alias`` at one moment.

    It is ``alias`` itself where another connection would not see the same data: within an open transaction of the
    caller, or with an in-memory database.
    """
    if not _can_be_seen_from_outside(connections[alias]):
        yield alias
        return
    name = f"{alias}-snapshot-{uuid.uuid4().hex}"
    connection: Any = connections.create_connection(alias)
    connection.alias = name
    connections[name] = connection
    try:
        with connection.cursor() as cursor:
            for statement in BEGIN[connection.vendor]:
                cursor.execute(statement)
        connection.in_atomic_block = True  # Django then closes cursors with the transaction, and opens none beyond it
        yield name
    finally:
        connection.in_atomic_block = False
        connection.close()  # which ends the transaction
        del connections[name]


def _can_be_seen_from_outside(connection: Any) -> bool:
    if connection.vendor not in BEGIN or (connection.vendor == "sqlite" and connection.is_in_memory_db()):
        return False
    if not connection.in_atomic_block:
        return True
    return bool(connection.settings_dict["ATOMIC_REQUESTS"] and not connection.savepoint_ids)  # only the view's own
