"""A real PgBouncer in transaction mode before PostgreSQL: each statement may run in another session."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from ..conftest import unavailable
from ..services import until

HERE = Path(__file__).parents[1]
CONFIGURATION = """\
[databases]
{name} = host={host} port={port} user={user}{password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
"""


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def database(postgres_url):
    """A new database, as (its server, its name)."""
    name = f"asyncexchange_pooled_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield urlsplit(postgres_url), name
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def pooled_url(database, free_port):
    """Its URL behind PgBouncer, which shares one session among all clients."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        unavailable("PgBouncer is not installed")
    server, name = database
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # it does not run as root
        file = Path(place, "pgbouncer.ini")
        said = {"host": server.hostname, "port": server.port or 5432, "user": server.username or "postgres"}
        password = f" password='{server.password}'" if server.password else ""
        file.write_text(CONFIGURATION.format(**said, name=name, password=password, listen=free_port))
        as_whom = ["-u", "nobody"] if os.getuid() == 0 else []
        pooler = subprocess.Popen([program, "-q", *as_whom, str(file)])
        try:
            until(lambda: _answers(free_port))
            yield f"postgres://{said['user']}@127.0.0.1:{free_port}/{name}"
        finally:
            pooler.terminate()
            pooler.wait()


@pytest.mark.service
@pytest.mark.slow
def test_waiting_client_is_answered_behind_pgbouncer_without_listen(
    pooled_url,
):
    done = subprocess.run(
        [sys.executable, "-m", "tests.pooled"],
        cwd=HERE.parent,
        env={**os.environ, "DATABASE_URL": pooled_url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"status": 201, "applied": "respond-async, wait=3000", "listens": [], "listening": 0}
