"""A file that says: cancel. Only for SQLite, where a run that writes keeps everybody else from writing.

Nobody could write its cancellation into the database then. The file lies beside the database, as its journal does.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connections, router

from ..models import AsyncTask


def are_used() -> bool:
    """Whether the tasks lie in a SQLite file."""
    connection: Any = connections[router.db_for_write(AsyncTask)]
    return bool(connection.vendor == "sqlite" and not connection.is_in_memory_db())


def is_up(task_id: uuid.UUID) -> bool:
    """Whether somebody is waiting for the run of this task to let go of the database."""
    return are_used() and _file(task_id).exists()


@contextlib.contextmanager
def raised(task_id: uuid.UUID) -> Iterator[None]:
    """Ask the run of this task to end, for as long as the block lasts."""
    if not are_used():
        yield
        return
    file = _file(task_id)
    file.touch(mode=0o600)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _file(task_id: uuid.UUID) -> Path:
    database = connections[router.db_for_write(AsyncTask)].settings_dict["NAME"]
    return Path(f"{database}-cancel-{task_id}")
