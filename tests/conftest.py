"""What all tests share: the seed marker's bookkeeping and the servers that some tests need."""

from __future__ import annotations

import os
import socket
from typing import NoReturn

import psycopg
import pytest

pytest_plugins = ["tests.promises"]


def unavailable(reason: str) -> NoReturn:
    """A server that a test needs is missing: a skip at a developer's desk, a failure in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The URL of a PostgreSQL database in which the tests may create others."""
    url = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        unavailable(f"No PostgreSQL at TEST_POSTGRES_URL: {error}")
    return url


@pytest.fixture
def free_port() -> int:
    """A TCP port of this host on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
