"""One moment of a database, read through a connection of its own for as long as that takes.

PostgreSQL and MariaDB read it in a transaction of isolation level REPEATABLE READ that cannot write, SQLite in a
transaction that has not written: with a write-ahead log that keeps nobody from writing meanwhile.
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
    """The alias of a connection that shows the database ``alias`` at one moment.

    It is ``alias`` itself where another connection would not see what this one does: an open transaction of the
    caller's, a database in memory.
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
        connection.close()  # and with it the transaction
        del connections[name]


def _can_be_seen_from_outside(connection: Any) -> bool:
    if connection.vendor not in BEGIN or (connection.vendor == "sqlite" and connection.is_in_memory_db()):
        return False
    if not connection.in_atomic_block:
        return True
    return bool(connection.settings_dict["ATOMIC_REQUESTS"] and not connection.savepoint_ids)  # the view's, no more
