"""The matrix: where a database comes from, what a broker needs, which processes make a cell."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kombu
import psycopg
import pymysql
import redis

from ..conftest import unavailable
from ..example.conftest import answers, stop
from ..project.wire import Wire
from ..services import until

PATIENCE = 60
"""Seconds after which something awaited will not come any more, on a machine that has much else to do."""
ROOT = Path(__file__).parents[2]
EXECUTORS = "django_asyncexchange.executors"
WORKER = "django asyncexchange_worker --grace 5"
CELERY = "celery -A tests.journeys.celery worker --concurrency 2 --without-gossip --without-mingle --loglevel INFO"


@dataclasses.dataclass(frozen=True)
class Broker:
    executor: str
    worker: str
    """Its command, after ``python -m``."""
    server: str = ""
    """The environment variable that names its server; empty = the project's own database."""


BROKERS = {
    "django-q2 in the database": Broker("django_q.DjangoQ", WORKER),
    "django-q2 on Redis": Broker("django_q.DjangoQ", WORKER, "TEST_REDIS_URL"),
    "Celery on Redis": Broker("celery.Celery", CELERY, "TEST_REDIS_URL"),
    "Celery on RabbitMQ": Broker("celery.Celery", CELERY, "TEST_RABBITMQ_URL"),
    "Django Tasks": Broker("django_tasks.DjangoTasks", "django db_worker --interval 0.05 --no-startup-delay"),
}
DATABASES = ("SQLite", "PostgreSQL", "MariaDB")
SERVERS = {
    "TEST_REDIS_URL": "redis://127.0.0.1:6379/11",
    "TEST_RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:5672//",
}

Cell = tuple[str, str]
ALL: tuple[Cell, ...] = (
    *((broker, database) for database in DATABASES for broker in BROKERS if broker != "Celery on RabbitMQ"),
    ("Celery on RabbitMQ", "PostgreSQL"),
)
FEW: tuple[Cell, ...] = (
    ("django-q2 in the database", "SQLite"),
    ("django-q2 on Redis", "PostgreSQL"),
    ("Celery on Redis", "MariaDB"),
    ("Celery on RabbitMQ", "PostgreSQL"),
    ("Django Tasks", "PostgreSQL"),
)
"""Each broker once, and each database."""


# Databases ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def sqlite(home: Path) -> Iterator[str]:
    yield f"sqlite:///{home / 'db.sqlite3'}"


@contextlib.contextmanager
def postgresql(name: str, server: str) -> Iterator[str]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def mariadb(name: str, server: str) -> Iterator[str]:
    parts = urlsplit(server)
    login: dict[str, Any] = {"host": parts.hostname, "port": parts.port or 3306, "user": parts.username}

    def run(statement: str) -> None:
        with pymysql.connect(**login, password=parts.password or "") as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    try:
        yield parts._replace(path=f"/{name}").geturl()
    finally:
        run(f"DROP DATABASE `{name}`")


# Brokers --------------------------------------------------------------------------------------------------------------


def address(variable: str) -> str:
    """The URL of a server, which responds."""
    url = os.environ.get(variable, SERVERS[variable])
    try:
        if url.startswith("redis"):
            with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
                client.ping()
        else:
            with kombu.Connection(url, connect_timeout=3) as connection:
                connection.ensure_connection(max_retries=1)
    except (redis.RedisError, kombu.exceptions.OperationalError) as error:
        unavailable(f"No broker at {variable}: {error}")
    return url


def clear(url: str, name: str) -> None:
    """Delete everything of ``name`` on a broker."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(f"*{name}*"):
                client.delete(key)
    else:
        with kombu.Connection(url) as connection, connection.channel() as channel:
            channel.queue_delete(name)
            channel.exchange_delete(name)
            channel.exchange_delete(f"{name}.events")


@contextlib.contextmanager
def wired(url: str) -> Iterator[tuple[str, Wire | None]]:
    """``url`` through a proxy that can be cut off."""
    if not url:
        yield "", None
        return
    parts = urlsplit(url)
    wire = Wire((parts.hostname or "127.0.0.1", parts.port or 0))
    try:
        yield parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{wire.port}").geturl(), wire
    finally:
        wire.close()


# Processes ------------------------------------------------------------------------------------------------------------


class Cast:
    """The processes of a cell; each has a log."""

    def __init__(self, home: Path, database: str, broker: Broker, name: str) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "DATABASE_URL": database,
            "DJANGO_SETTINGS_MODULE": "tests.journeys.settings",
            "JOURNEY_EXECUTOR": f"{EXECUTORS}.{broker.executor}",
            "JOURNEY_HOME": str(home),
            "JOURNEY_NAME": name,
            "PYTHONHASHSEED": "0",  # REST framework writes the header Allow in the order of a set
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(home),
        }
        self.environment.pop("BROKER_URL", None)

    @contextlib.contextmanager
    def running(self, words: str, *before: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Python command in its environment; ``before`` is a wrapper command."""
        with (
            (self.home / f"{words.split()[0]}-{uuid.uuid4().hex[:6]}.log").open("wb") as log,
            subprocess.Popen(
                [*before, sys.executable, "-m", *words.split()],
                cwd=self.home,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                stop(process)

    def run(self, words: str) -> None:
        with self.running(words) as process:
            assert process.wait(PATIENCE) == 0, self.said()

    def serve(self, port: int, **environment: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return self.running(f"waitress --listen 127.0.0.1:{port} tests.journeys.wsgi:application", **environment)

    def said(self) -> str:
        """The last lines of all logs."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.home.glob("*.log")))


def served(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the web server responds."""
    return bool(until(lambda: process.poll() is not None or answers(port), PATIENCE) and process.poll() is None)
