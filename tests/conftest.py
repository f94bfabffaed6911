"""Shared by all tests: their order, the markers' plugins, and the servers that some tests need."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest
from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

pytest_plugins = ["tests.promises", "tests.sampling"]


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for another process."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("slow", "xdist_group")))


@pytest.fixture(scope="session", autouse=True)
def rows_are_deleted() -> None:
    """After a transactional test, delete its rows and nothing else.

    Django would also recreate the content types and permissions, a fifth of the total time; on PostgreSQL, each table
    would get a new file.
    """

    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    def fixture_teardown(case: TransactionTestCase) -> None:
        kept = {ContentType._meta.db_table, Permission._meta.db_table}
        for alias in case._databases_names(include_mirrors=False):
            ours = connections[alias]
            tables = set(ours.introspection.django_table_names(only_existing=True, include_views=False)) - kept
            if ours.vendor == "postgresql":
                statements = [f"DELETE FROM {ours.ops.quote_name(table)};" for table in tables]
            else:
                statements = ours.ops.sql_flush(no_style(), tables)
            ours.ops.execute_sql_flush(statements)

    TransactionTestCase._fixture_teardown = fixture_teardown


def unavailable(reason: str) -> NoReturn:
    """Skip a test whose server is missing; fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_history() -> None:
    """Run times of another test's tasks are not used for estimates."""
    from django_asyncexchange.tasks import estimates

    estimates.clear_cache()


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The URL of a PostgreSQL database in which the tests may create others."""
    url = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        unavailable(f"No PostgreSQL at TEST_POSTGRES_URL: {error}")
    return url


@pytest.fixture(scope="session")
def mariadb_url() -> str:
    """The URL of a MariaDB or MySQL server in which the tests may create a database."""
    url = os.environ.get("TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306/asyncexchange")
    parts = urlsplit(url)
    try:
        pymysql.connect(
            host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or ""
        ).close()
    except pymysql.OperationalError as error:
        unavailable(f"No MariaDB at TEST_MARIADB_URL: {error}")
    return url


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree, built once for all tests of the group ``first-hour``."""
    from . import newcomer

    if newcomer.uv() is None or shutil.which("curl") is None:
        unavailable("uv and curl are needed")
    try:
        return newcomer.wheel(tmp_path_factory.mktemp("wheel"))
    except subprocess.CalledProcessError as error:
        unavailable(f"no wheel: {error}")


@pytest.fixture
def moved_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that mount a dialect elsewhere, while the addresses of the tests' URLconf stay where they are."""
    monkeypatch.setattr("django_asyncexchange.conf.urlconf.unreachable", lambda dialect: None)


@pytest.fixture
def free_port() -> int:
    """A TCP port of this host on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
