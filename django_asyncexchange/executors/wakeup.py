"""Wake-up calls between whoever puts a message into the database and whoever waits for one.

PostgreSQL passes them on, to every machine, with the commit. Elsewhere they go through named pipes, on this machine
only: beside the SQLite file, or in this user's scratch directory. A lost one costs patience and nothing else.
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
from ..sql.queries import Slot
from . import runtime_dir


class Bell(Protocol):
    """What a process waits for. Made before the first look into the queue: nothing is missed between the two."""

    def wait(self, seconds: float) -> bool:
        """Whether it rang within ``seconds``, or has since the last time. Raises where its database is away."""

    def close(self) -> None: ...


CALL = Notify(Slot("channel", models.TextField()), Value(""))
"""For a statement of PostgreSQL that tells it: it rings by itself then. ``channel`` is that of a queue."""


def ring(alias: str, queue: str, *, has_called: bool = False) -> None:
    """Wake whoever waits for ``queue`` in the database ``alias``, when the current transaction commits.

    ``has_called``: a statement that tells ``CALL`` has done so already, where it could.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        transaction.on_commit(lambda: _poke(alias, queue), using=alias, robust=True)
    elif not has_called:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel(queue)])


def bell(alias: str, queue: str) -> Bell:
    """The best bell there is for ``queue`` in the database ``alias``. Raises where that database is away."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        return Notification(connection, channel(queue))
    try:
        return Pipe(_home(alias), _label(alias, queue))
    except OSError:
        return Silence()


class Notification:
    """LISTEN on a connection of its own."""

    def __init__(self, connection: Any, channel: str) -> None:
        self._connection = connection.copy()
        self._connection.connect()
        with self._connection.cursor() as cursor:
            cursor.execute(f'LISTEN "{channel}"')

    def wait(self, seconds: float) -> bool:
        notifies = self._connection.connection.notifies
        if not callable(notifies):  # psycopg 2 has a list of that name, and no way to wait for it
            return Silence().wait(seconds)
        return sum(1 for _ in notifies(timeout=seconds, stop_after=1)) > 0

    def close(self) -> None:
        self._connection.close()


class Pipe:
    """A named pipe. It gets its name when it can be written to: one that cannot is dead, and is swept away."""

    def __init__(self, home: Path, label: str) -> None:
        name = uuid.uuid4().hex
        self._path, new = home / f"{label}-{name}", home / f"new-{name}"
        os.mkfifo(new, 0o600)
        self._end = os.open(new, os.O_RDWR | os.O_NONBLOCK)  # writing too: a pipe without writers is always readable
        new.chmod(_mode(home))
        new.rename(self._path)

    def wait(self, seconds: float) -> bool:
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        os.read(self._end, 65536)
        return True

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._end)


class Silence:
    """No bell at all."""

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False

    def close(self) -> None:
        pass


def _poke(alias: str, queue: str) -> None:
    label, home = f"{_label(alias, queue)}-", _place(alias)
    with contextlib.suppress(OSError):  # also where nobody has ever waited
        for name in os.listdir(home):
            if name.startswith(label):
                _write(f"{home}/{name}")


def _write(pipe: str) -> None:
    try:
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads it any more
            Path(pipe).unlink(missing_ok=True)
        return
    try:
        with contextlib.suppress(BlockingIOError):  # full: it rings already
            os.write(end, b".")
    finally:
        os.close(end)


def _place(alias: str) -> str:
    """The directory of the pipes, which may be there."""
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return str(runtime_dir.directory())
    return f"{connection.settings_dict['NAME']}-wake"


def _home(alias: str) -> Path:
    """The directory of the pipes: whoever may write the SQLite file may enter it."""
    home = Path(_place(alias))
    if not home.exists():
        home.mkdir(exist_ok=True)
        home.chmod(home.parent.stat().st_mode & 0o777)
    return home


def _mode(home: Path) -> int:
    """Who may enter ``home`` may write what is in it."""
    return home.stat().st_mode & 0o666


def channel(queue: str) -> str:
    """The name under which PostgreSQL passes on the calls for ``queue``."""
    return f"asyncexchange_{_digest(queue)}"


def _label(alias: str, queue: str) -> str:
    database = connections[alias].settings_dict
    return _digest(*(str(database.get(key)) for key in ("HOST", "PORT", "NAME")), queue)


@functools.cache
def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
