"""A cluster dies, or stands still, with calls that it was woken for: another one runs them. Nothing is reserved."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import pytest

from . import servers
from .conftest import CELLS, ORM, long_or_short
from .rig import RECOVERY, WORKER, group_of, rigged, until

pytestmark = pytest.mark.service

KILLS = long_or_short(20, 3)
LEASE = 4
"""Seconds."""
RUN_LIMITS = long_or_short({"SQLite": "5", "PostgreSQL": "300"}, {"PostgreSQL": "300"})
"""Seconds. On SQLite a lease lasts a minute longer than this."""


@pytest.mark.parametrize("moment", ["wake-up", "claim"])
@pytest.mark.parametrize("cell", CELLS, ids=" and ".join)
def test_clusters_killed_before_they_start_a_call_cost_none(request, databases, tmp_path, report, cell, moment):
    """``wake-up``: a worker has a wake-up and no task. ``claim``: it has claimed a task and not begun to run it."""
    broker = request.getfixturevalue("redis_url") if cell[0] != ORM else ""
    kills = tmp_path / "kills"
    doom = {"JOURNEY_EXECUTOR": "tests.faults.site.Doomed", "FAULT_KILLS": str(kills), "FAULT_MOMENT": moment}
    with rigged(tmp_path, databases(cell[1]), broker) as rig:
        rig.serve()
        rig.work()
        until(rig.whole, RECOVERY)
        with rig.stream(seconds=0.1):
            for _ in range(KILLS):
                rig.work(WORKER, **doom)
                until(kills.exists, RECOVERY)
                rig.supervisor.kill()
                rig.supervisor.wait()
                kills.unlink()
        took = rig.recovers()
        verdict = rig.verdict()
        report(f"cluster killed between its {moment} and the start of a call", verdict, kills=KILLS, recovered=took)
        if moment == "wake-up":
            unbegun = [call for call in rig.accepted if rig.monitor(call) == "Failed" and not rig.traces(call)]
            assert unbegun == []


@pytest.fixture
def redis_url():
    with servers.redis_server() as server:
        yield server.url


@pytest.mark.parametrize("database", RUN_LIMITS)
def test_cluster_suspended_with_claimed_and_ready_calls_changes_nothing_when_it_resumes(
    databases, tmp_path, report, database
):
    limits = {"JOURNEY_LEASE": str(LEASE), "FAULT_RUN_LIMIT": RUN_LIMITS[database], "FAULT_SHARE": "6"}
    with rigged(tmp_path, databases(database), **limits) as rig:
        rig.serve()
        rig.work()
        until(rig.whole, RECOVERY)
        slow, pids, [head] = rig.supervisor, rig.pids("worker"), rig.pids("head")
        calls = [rig.submit(("GET", "POST")[number % 2], seconds=2) for number in range(8)]
        claimed = until(lambda: len(begun := [call for call in calls if rig.traces(call)]) == 2 and begun, RECOVERY)
        slow.send_signal(signal.SIGSTOP)
        os.killpg(head, signal.SIGSTOP)
        try:
            rig.work()
            until(lambda: all(rig.monitor(call) == "Succeeded" for call in set(calls) - set(claimed)), 2 * RECOVERY)
            until(lambda: all(rig.monitor(call) in ("Succeeded", "Failed") for call in claimed), 2 * RECOVERY)
            before = {call: outcome(rig, call) for call in calls}
        finally:
            os.killpg(head, signal.SIGCONT)
        until(lambda: rig.is_at_work(*pids) or not set(pids) & set(group_of(head)), RECOVERY)
        slow.send_signal(signal.SIGCONT)
        rig.recovers()
        verdict = rig.verdict()
        assert {call: outcome(rig, call) for call in calls} == before
        assert not {answer for _, answer in before.values()} & set(map(str, pids))
        assert verdict.ended_lost == 1
        report("cluster stopped with claimed and ready calls, and continued", verdict)


def outcome(rig, call):
    """(how a call has ended, the process that answered it)"""
    task = rig.call("GET", f"/async/tasks/{call}")
    result = rig.call("GET", urlsplit(task.headers["Location"]).path) if task.status_code == 303 else task
    return rig.monitor(call), result.headers.get("X-Process", "")
