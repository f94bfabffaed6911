"""Every process of the workers is killed, idle and busy. The client's list of accepted calls is the oracle."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from .conftest import CELLS, FEW, long_or_short, on
from .rig import RECOVERY, group_of, until

pytestmark = pytest.mark.service

IDLE_KILLS = long_or_short(20, 2)
CALLS = long_or_short(300, 40)
STORM = long_or_short(300, 15)
"""Seconds."""
ORM_ALONE, REDIS_ALONE = on(*long_or_short(CELLS, FEW[:1])), on(*long_or_short(CELLS, FEW[1:]))
BOTH = on(*long_or_short(CELLS, FEW))


@BOTH
def test_idle_worker_killed_with_the_queues_lock_blocks_nothing(rig, report):
    took = []
    for number in range(IDLE_KILLS):
        until(rig.is_idle, RECOVERY)
        rig.kill("worker", (signal.SIGKILL, signal.SIGTERM)[number % 2])
        took.append(rig.recovers())
    report("idle worker killed", rig.verdict(), kills=len(took), slowest=max(took))


@ORM_ALONE
@pytest.mark.parametrize("role", ["monitor", "pusher", "sentinel", "head"])
def test_idle_process_killed_blocks_nothing(rig, report, role):
    took = []
    for _ in range(long_or_short(20, 1)):
        rig.kill(role)
        took.append(rig.recovers())
    report(f"idle {role} killed", rig.verdict(), kills=len(took), slowest=max(took))


@BOTH
def test_busy_worker_killed_is_noticed_at_once(rig, report):
    took = []
    for _ in range(long_or_short(20, 2)):
        safe, unsafe = rig.submit("GET", seconds=2), rig.submit("POST", seconds=2)
        for call in (safe, unsafe):
            [pid] = until(lambda call=call: rig.traces(call), RECOVERY)
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        until(lambda safe=safe: rig.monitor(safe) == "Succeeded", RECOVERY)
        until(lambda unsafe=unsafe: rig.monitor(unsafe) == "Failed", RECOVERY)
        took.append(time.monotonic() - began)
        assert len(rig.traces(safe)) == 2
    report("busy worker killed", rig.verdict(), kills=2 * len(took), slowest=max(took))


@REDIS_ALONE
@pytest.mark.parametrize("role", ["worker", "monitor", "pusher", "sentinel", "head"])
def test_process_killed_under_load_costs_no_call(rig, report, role):
    with rig.flood(CALLS):
        until(lambda: len(rig.accepted) > CALLS // 4, RECOVERY)
        rig.kill(role)
        took = rig.recovers()
    report(f"{role} killed at work", rig.verdict(), recovered=took)


@ORM_ALONE
def test_cluster_ends_with_its_killed_supervisor_and_the_next_goes_on(rig, report):
    until(rig.whole, RECOVERY)
    [head] = rig.pids("head")
    with rig.flood(CALLS):
        until(lambda: len(rig.accepted) > CALLS // 4, RECOVERY)
        rig.kill("supervisor")
        until(lambda: not group_of(head))
        rig.work()
        took = rig.recovers()
    report("supervisor killed at work", rig.verdict(), recovered=took)


@BOTH
def test_killed_process_group_with_fetched_messages_costs_no_call(rig, report):
    until(rig.whole, RECOVERY)
    [head] = rig.pids("head")
    with rig.flood(CALLS):
        until(lambda: len(rig.accepted) > CALLS // 4, RECOVERY)
        rig.kill("supervisor")
        with contextlib.suppress(ProcessLookupError):  # it may have followed its supervisor already
            os.killpg(head, signal.SIGKILL)
        rig.work()
        took = rig.recovers()
    report("whole group killed", rig.verdict(), recovered=took)


@REDIS_ALONE
def test_random_kills_cost_no_call(rig, report):
    chance, kills = random.Random(7), 0
    stop = time.monotonic() + STORM
    with rig.stream(seconds=0.1, pause=long_or_short(1, 0.2)):
        while time.monotonic() < stop:
            role = chance.choices(["worker", "monitor", "pusher", "sentinel"], [6, 1, 1, 1])[0]
            rig.kill(role)
            kills += 1
            threading.Event().wait(chance.uniform(1, 3))
    verdict = rig.verdict(patience=STORM + 2 * RECOVERY)  # hardly anything ran during the kills
    report("kills at random", verdict, kills=kills, recovered=rig.recovers())


@REDIS_ALONE
def test_stop_lets_short_calls_finish(rig, report):
    for _ in range(long_or_short(30, 2)):
        started = rig.submit("POST", seconds=1)
        until(lambda started=started: rig.runs(started), RECOVERY)
        rig.stop()
        rig.work()
    verdict = rig.verdict()
    assert verdict.ended_lost == 0
    report("told to stop", verdict, times=long_or_short(30, 2))


@ORM_ALONE
def test_stop_ends_in_time_with_long_calls(rig, report):
    until(rig.whole, RECOVERY)
    [head] = rig.pids("head")
    safe, unsafe = rig.submit("GET", seconds=12), rig.submit("POST", seconds=12)
    until(lambda: rig.runs(safe) and rig.runs(unsafe), RECOVERY)
    rig.stop()
    until(lambda: not group_of(head))
    rig.work()
    verdict = rig.verdict()
    assert (verdict.done, verdict.ended_lost) == (1, 1)
    report("told to stop with calls longer than the grace", verdict)


@ORM_ALONE
def test_stop_leaves_a_backlog_to_the_next_cluster(rig, report):
    until(rig.whole, RECOVERY)
    with rig.flood(CALLS, seconds=0.2):
        until(lambda: len(rig.accepted) > CALLS // 4, RECOVERY)
        rig.stop()
        rig.work()
    verdict = rig.verdict()
    assert verdict.ended_lost == 0
    report("told to stop with a backlog", verdict)
