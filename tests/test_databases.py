"""What says something about a database, once more on PostgreSQL and on MariaDB, in processes of their own.

The short form plays one part on each server; ``--full`` plays both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EVERYWHERE = "test_races"
"""Who wins when several want the same is tested on each server in any case."""
PARTS = {
    "accepting": ("limits", "submission", "waiting", "presence", "django_q_broker", "bells", "plans", "queries"),
    "running": ("watch", "leaks", "recovery", "delivery", "rows", "prepared", "time_zones"),
}
POSTGRESQL_ONLY = {"plans", "queries"}


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.product("server", "part")
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"], ids=["mariadb", "postgresql"])
def test_another_database_keeps_all_of_this_too(server, part, request):
    names = [name for name in PARTS[part] if server == "postgres_url" or name not in POSTGRESQL_ONLY]
    files = [str(HERE / f"{name}.py") for name in (EVERYWHERE, *(f"test_{name}" for name in names))]
    form = ["--full"] if request.config.getoption("--full") else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *files, *form, "-q", "-p", "no:cacheprovider"],
        cwd=HERE.parent,
        env={**os.environ, "DATABASE_URL": request.getfixturevalue(server), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
