"""Calls that harm their worker: they kill it, block it, or ignore interruptions."""

from __future__ import annotations

import pytest

from .conftest import CELLS, FEW, long_or_short, on
from .rig import RECOVERY, rigged, until

pytestmark = pytest.mark.service


@on(*long_or_short(CELLS, FEW))
def test_call_that_kills_its_worker_ends(rig, report):
    """A safe call has several attempts, an unsafe one has one; other calls run meanwhile."""
    safe, unsafe = rig.submit("GET", view="poisons"), rig.submit("POST", view="poisons")
    took = rig.recovers()
    verdict = rig.judge()
    assert len(rig.traces(safe)) == 3
    assert len(rig.traces(unsafe)) == 1
    assert verdict.states == {"ERROR lost": 2, "DONE": 1}
    assert verdict.safe_not_done == [safe]
    verdict.safe_not_done = []
    assert verdict.mistakes == {}
    report("calls that kill their workers", verdict, recovered=took)


LIMIT = 3
"""Seconds a run may take."""


@pytest.fixture
def hasty(databases, tmp_path):
    with rigged(tmp_path, databases("PostgreSQL"), FAULT_RUN_LIMIT=str(LIMIT)) as rig:
        rig.serve()
        rig.work()
        yield rig


@pytest.mark.parametrize("view", ["works", "commits", "shrugs"])
def test_call_over_its_limit_ends_and_its_worker_goes_on(hasty, report, view):
    until(hasty.whole, RECOVERY)
    workers = hasty.pids("worker")
    call = hasty.submit("POST", seconds=40, view=view)
    until(lambda: hasty.monitor(call) == "Failed", RECOVERY)
    took = hasty.recovers()
    verdict = hasty.judge()
    assert verdict.states == {"ERROR run_timeout": 1, "DONE": 1}
    assert verdict.mistakes == {}
    assert hasty.pids("worker") == workers
    report(f"run limit, the view {view}", verdict, recovered=took)


@pytest.mark.parametrize("number", long_or_short([1, 2], [2]), ids=lambda number: f"{number} of 2 workers")
def test_processes_of_calls_that_hold_the_gil_are_killed(hasty, report, number):
    """Nothing inside can interrupt them. Each process is killed 15 s after the limit, and the run ends with it."""
    calls = [hasty.submit("POST", view="hogs") for _ in range(number)]
    until(lambda: all(hasty.traces(call) for call in calls), RECOVERY)
    pids = {pid for call in calls for pid in hasty.traces(call)}
    until(lambda: all(hasty.monitor(call) == "Failed" for call in calls), RECOVERY)
    until(lambda: not pids & set(hasty.pids("worker")), RECOVERY)
    took = hasty.recovers()
    verdict = hasty.judge()
    assert (verdict.failed, verdict.done, verdict.mistakes) == (number, 1, {})
    report("stuck in C", verdict, recovered=took)
