"""Wakes a cluster that waits for ready tasks, or for messages in a database queue, when they are committed.

On PostgreSQL by NOTIFY, on every machine. On other databases by named pipes, on the same machine only: beside the
SQLite file, or in the runtime directory of the user. A lost notification delays them until the next look.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import select
import time
import uuid
from pathlib import Path
from typing import Any, Protocol

from django.db import connections, models, transaction
from django.db.models import Value

from ..models.querysets import Notify
from ..protocol import runtime_dir
from ..sql.queries import Slot


class Listener(Protocol):
    """Receives the notifications of one queue. To miss none, make it before the first look into the queue."""

    def wait(self, seconds: float) -> bool:
        """Whether there was a notification within ``seconds``, or since the last call. Raises the database's errors."""

    def close(self) -> None: ...


NOTIFY = Notify(Slot("channel", models.TextField()), Value(""))
"""Expression for a PostgreSQL statement that notifies by itself; its value ``channel`` is that of the queue."""


def notify(alias: str, queue: str, *, is_notified: bool = False) -> None:
    """Wake the listeners of ``queue`` in the database ``alias`` when the current transaction commits.

    ``is_notified``: a statement with ``NOTIFY`` has done that on PostgreSQL already.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        transaction.on_commit(lambda: _write_to_pipes(alias, queue), using=alias, robust=True)
    elif not is_notified:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel(queue)])


def listen(alias: str, queue: str) -> Listener:
    """The best listener for ``queue`` in the database ``alias``. Raises the database's errors."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        return ChannelListener(connection, channel(queue))
    try:
        return PipeListener(_pipe_directory(alias), _label(alias, queue))
    except OSError:
        return NoListener()


class ChannelListener:
    """PostgreSQL's LISTEN, on a connection of its own."""

    def __init__(self, connection: Any, channel: str) -> None:
        self._connection = connection.copy()
        self._connection.connect()
        with self._connection.cursor() as cursor:
            cursor.execute(f'LISTEN "{channel}"')

    def wait(self, seconds: float) -> bool:
        notifies = self._connection.connection.notifies
        if not callable(notifies):  # psycopg 2 has a list of that name, and cannot wait for it
            return NoListener().wait(seconds)
        return sum(1 for _ in notifies(timeout=seconds, stop_after=1)) > 0

    def close(self) -> None:
        self._connection.close()


class PipeListener:
    """A named pipe. It is renamed into place when it has a reader: pipes without one are removed by ``notify()``."""

    def __init__(self, directory: Path, label: str) -> None:
        name = uuid.uuid4().hex
        self._path, new = directory / f"{label}-{name}", directory / f"new-{name}"
        os.mkfifo(new, 0o600)
        self._fd = os.open(new, os.O_RDWR | os.O_NONBLOCK)  # also a writer: without any, a pipe is always readable
        new.chmod(_mode(directory))
        new.rename(self._path)

    def wait(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        os.read(self._fd, 65536)
        return True

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


class NoListener:
    """Where no notification can arrive: ``wait()`` sleeps, and the caller polls."""

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False

    def close(self) -> None:
        pass


def _write_to_pipes(alias: str, queue: str) -> None:
    prefix, directory = f"{_label(alias, queue)}-", _directory_name(alias)
    with contextlib.suppress(OSError):  # there is no directory before the first listener
        for name in os.listdir(directory):
            if name.startswith(prefix):
                _write(f"{directory}/{name}")


def _write(pipe: str) -> None:
    try:
        fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no reader any more
            Path(pipe).unlink(missing_ok=True)
        return
    try:
        with contextlib.suppress(BlockingIOError):  # full: its reader is notified already
            os.write(fd, b".")
    finally:
        os.close(fd)


def _directory_name(alias: str) -> str:
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return str(runtime_dir.directory())
    return f"{connection.settings_dict['NAME']}-wake"


def _pipe_directory(alias: str) -> Path:
    """The directory of the pipes, made if missing, with the permissions of the SQLite file's directory."""
    directory = Path(_directory_name(alias))
    if not directory.exists():
        directory.mkdir(exist_ok=True)
        directory.chmod(directory.parent.stat().st_mode & 0o777)
    return directory


def _mode(directory: Path) -> int:
    """Permissions of a pipe: whoever may enter ``directory`` may write to it."""
    return directory.stat().st_mode & 0o666


def channel(queue: str) -> str:
    """The PostgreSQL channel of ``queue``."""
    return f"asyncexchange_{_digest(queue)}"


def _label(alias: str, queue: str) -> str:
    database = connections[alias].settings_dict
    return _digest(*(str(database.get(key)) for key in ("HOST", "PORT", "NAME")), queue)


@functools.cache
def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
