"""Cancellation through a file, for SQLite, where a run that writes blocks all other writers.

A cancellation could not be written to the database then. The file is next to the database, like its journal.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connections, router

from ..models import AsyncTask


def is_used() -> bool:
    """Whether the tasks are in a SQLite file."""
    connection: Any = connections[router.db_for_write(AsyncTask)]
    return bool(connection.vendor == "sqlite" and not connection.is_in_memory_db())


def is_requested(task_id: uuid.UUID) -> bool:
    """Whether cancellation of this task was requested."""
    return is_used() and _file(task_id).exists()


@contextlib.contextmanager
def requested(task_id: uuid.UUID) -> Iterator[None]:
    """Request cancellation of this task while the block runs."""
    if not is_used():
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
