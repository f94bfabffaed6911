"""The database crashes and comes back, or is locked by another process. Nothing is accepted that is not stored."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from . import servers
from .conftest import long_or_short
from .rig import RECOVERY, rigged, until

pytestmark = pytest.mark.service

RESTARTS = 5


@pytest.fixture
def server():
    with servers.postgres() as server:
        yield server


@pytest.mark.parametrize("broker", ["messages in it", "messages on Redis"])
def test_crashed_database_costs_no_call(tmp_path, server, broker, report, request):
    """Web server and workers reconnect by themselves. No call is accepted that was not stored."""
    beside = request.getfixturevalue("redis_beside") if broker == "messages on Redis" else ""
    with rigged(tmp_path, server.url, beside) as rig:
        rig.serve()
        rig.work()
        until(rig.whole, RECOVERY)
        took = []
        with rig.stream(pause=0.3):
            for _ in range(RESTARTS):
                time.sleep(1)  # of traffic
                server.stop()
                before = len(rig.accepted)
                assert rig.submit("POST") is None
                assert rig.refused[-1] == 503
                assert len(rig.accepted) == before
                server.start()
                took.append(rig.recovers())
        assert set(rig.refused) == {503}
        assert rig.web.poll() is rig.supervisor.poll() is None
        verdict = rig.verdict(may_fail=True)
        assert verdict.ended_lost == 0
        report(
            f"PostgreSQL crashed, {broker}",
            verdict,
            crashes=len(took),
            refused=len(rig.refused),
            slowest=max(took),
        )


@pytest.fixture
def redis_beside():
    with servers.redis_server() as server:
        yield server.url


def test_locked_database_costs_no_call(databases, tmp_path, report):
    """SQLite has one writer; a wait beyond the busy timeout is an error."""
    url = databases("SQLite")
    with rigged(tmp_path, url, FAULT_BUSY_SECONDS="1") as rig:
        rig.serve()
        rig.work()
        until(rig.whole, RECOVERY)
        took = []
        with rig.stream(seconds=0.05):
            for _ in range(long_or_short(10, 2)):
                time.sleep(1)  # of traffic
                hold(url.removeprefix("sqlite:///"), 3)
                took.append(rig.recovers())
        assert set(rig.refused) <= {503}
        verdict = rig.verdict(may_fail=True)
        assert verdict.ended_lost == 0
        report(
            "SQLite held for 3 s",
            verdict,
            times=len(took),
            refused=len(rig.refused),
            slowest=max(took),
        )


def hold(file: str, seconds: float) -> None:
    """Block all other writers."""
    with sqlite3.connect(file, timeout=30, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Event().wait(seconds)
        other.execute("ROLLBACK")
    other.close()
