"""Tests that depend on the database, run again on PostgreSQL and on MariaDB, in processes of their own.

The short form runs the races, ``--full`` all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RACES = ("behaviour/test_races",)
"""Who wins when several want the same."""
PARTS = {
    "counting": ("tasks/test_limits",),
    "accepting": (
        "behaviour/test_query_plans",
        "behaviour/test_replicas",
        "behaviour/test_statements",
        "executors/django_q/test_orm_broker",
        "executors/django_q/test_wake_ups",
        "executors/test_wakeup",
        "tasks/test_estimates",
        "tasks/test_presence",
        "tasks/test_submit",
        "tasks/test_waiting",
    ),
    "running": (
        "behaviour/test_time_zones",
        "rest/test_whole_collection",
        "sql/test_compiler",
        "sql/test_queries",
        "worker/test_runner",
    ),
    "ending": ("store/test_db_sessions", "tasks/test_recovery", "worker/test_watchdog"),
    "telling": ("models/test_columns", "webhooks/test_delivery"),
    "administering": ("admin/test_admin", "admin/test_states", "admin/test_webhooks"),
    "forgetting": ("tasks/test_failures", "tasks/test_personal_data"),
}
POSTGRESQL_ONLY = {"behaviour/test_query_plans", "behaviour/test_statements"}


def pytest_generate_tests(metafunc):
    if "names" in metafunc.fixturenames:
        parts = {"races": RACES} | (PARTS if metafunc.config.getoption("--full") else {})
        metafunc.parametrize("names", parts.values(), ids=parts)


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"], ids=["mariadb", "postgresql"])
def test_database_tests_pass_on_another_database(server, names, request):
    chosen = [name for name in names if server == "postgres_url" or name not in POSTGRESQL_ONLY]
    files = [str(HERE / f"{name}.py") for name in chosen]
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
