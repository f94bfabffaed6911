"""A lock file: on SQLite, the workers of one machine end their calls one after the other.

SQLite has one write lock, and whoever waits for it sleeps longer after each look, up to a tenth of a second. Workers
look for each other's lock file more often. The file only orders them: a worker that does not get it in time goes on,
and waits as SQLite does.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any

from django.db import connections

from ..protocol import runtime_dir

PATIENCE = 5.0
"""Seconds that a worker waits for the file."""
PAUSE = 0.0002
"""Seconds between two looks."""


@contextlib.contextmanager
def held(alias: str) -> Iterator[None]:
    """Write in the block while no other worker of this machine does, if the database ``alias`` is a SQLite file."""
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.in_atomic_block or connection.is_in_memory_db():
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no writable directory, or no such locks
            _wait(_opened(str(connection.settings_dict["NAME"]), stack))
        yield


def _opened(database: str, stack: contextlib.ExitStack) -> int:
    """A file descriptor of its own: a lock belongs to the opened file, which forks share."""
    fd = os.open(runtime_dir.file(_name(database)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, fd)
    return fd


@functools.cache
def _name(database: str) -> str:
    return f"write-{hashlib.sha256(database.encode()).hexdigest()[:16]}"


def _wait(fd: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return
