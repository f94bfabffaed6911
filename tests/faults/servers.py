"""Servers of a test, which may be killed: PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from ..conftest import unavailable
from ..journeys.test_journeys import free_port
from ..services import until

LOOPBACK = "127.0.0.1"
OPTIONS = {"fsync": "off", "unix_socket_directories": "", "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2"}
"""Nothing here outlives the machine; and of a client that the network has swallowed, a server hears within moments."""


def programs() -> Path:
    """The directory with the programs of the newest PostgreSQL server."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_ctl")) or [shutil.which("pg_ctl") or ""]
    if not found[-1]:
        unavailable("No programs of a PostgreSQL server")
    return Path(found[-1]).parent


class Postgres:
    """A database cluster in ``home``, owned by the user that runs it: never root."""

    def __init__(self, home: Path, programs: Path, address: str = LOOPBACK) -> None:
        self.port, self._data, self._log = free_port(address), home / "data", home / "log"
        self.url = f"postgres://postgres@{address}:{self.port}/postgres"
        self._programs = programs
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8")
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 trust\n")
        options = {**OPTIONS, "port": str(self.port), "listen_addresses": address}
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in options.items())

    def _run(self, program: str, *words: str) -> None:
        who = "postgres" if os.getuid() == 0 else None
        command = [str(self._programs / program), "-D", str(self._data), *words]
        subprocess.run(command, user=who, group=who, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-l", str(self._log), "start")

    def stop(self) -> None:
        """Immediately, as in a crash."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True)


@contextlib.contextmanager
def postgres(address: str = LOOPBACK) -> Iterator[Postgres]:
    found = programs()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        if os.getuid() == 0:
            shutil.chown(home, "postgres", "postgres")
        server = Postgres(Path(home), found, address)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # not running
                server.stop()


class Redis:
    def __init__(self, home: Path, address: str = LOOPBACK, *, keeps: bool = False) -> None:
        self.port, self._home, self._keeps = free_port(address), home, keeps
        """``keeps``: whether what it has been told survives it."""
        self._address, self.url = address, f"redis://{address}:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self._program = shutil.which("redis-server") or unavailable("No program of a Redis server")

    def start(self) -> None:
        words = ["--bind", self._address, "--port", str(self.port), "--dir", str(self._home), "--protected-mode", "no"]
        words += ["--save", "", "--appendonly", "yes" if self._keeps else "no"]
        self._process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def hold(self) -> None:
        """It accepts connections and commands, and answers nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()


@contextlib.contextmanager
def redis_server(address: str = LOOPBACK, *, keeps: bool = False) -> Iterator[Redis]:
    with tempfile.TemporaryDirectory() as home:
        server = Redis(Path(home), address, keeps=keeps)
        server.start()
        try:
            yield server
        finally:
            server.kill()
