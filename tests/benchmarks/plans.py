"""How PostgreSQL plans statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.test.utils import CaptureQueriesContext

from . import tables


def sequential_scans(alias: str, call: Callable[[], object]) -> list[str]:
    """The statements of ``call`` that PostgreSQL plans with a sequential scan of the table of tasks."""
    connection: Any = connections[alias]
    with CaptureQueriesContext(connection) as queries:
        call()
    found = []
    with connection.cursor() as cursor:
        for query in queries:
            if query["sql"].startswith(("SELECT", "INSERT", "UPDATE", "WITH")) and tables.TASKS in query["sql"]:
                cursor.execute("EXPLAIN " + query["sql"])
                if f"Seq Scan on {tables.TASKS}" in "\n".join(row[0] for row in cursor.fetchall()):
                    found.append(query["sql"])
    return found
