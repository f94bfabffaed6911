"""A worker that is slow, not dead: its lease expires, another runs the call, and then it wakes up."""

from __future__ import annotations

import os
import signal
import time
from urllib.parse import urlsplit

import pytest

from .conftest import long_or_short
from .rig import RECOVERY, rigged, until

pytestmark = pytest.mark.service

LEASE = 3
"""Seconds."""


@pytest.fixture
def rig(databases, tmp_path):
    with rigged(tmp_path, databases("PostgreSQL"), JOURNEY_LEASE=str(LEASE)) as rig:
        rig.serve()
        rig.work()
        yield rig


@pytest.mark.parametrize("is_over", [False, True], ids=["while the other runs it", "when it is done"])
def test_worker_suspended_past_its_lease_changes_nothing_when_it_resumes(rig, report, is_over):
    took = []
    for _ in range(long_or_short(10, 1)):
        call = rig.submit("GET", seconds=2)
        task = f"/async/tasks/{call}"
        [slow] = until(lambda call=call: rig.traces(call), RECOVERY)
        os.kill(slow, signal.SIGSTOP)
        began = time.monotonic()
        try:
            until(lambda call=call: len(rig.traces(call)) == 2, RECOVERY)
            took.append(time.monotonic() - began)
            if is_over:
                until(lambda task=task: rig.call("GET", task).status_code == 303, RECOVERY)
        finally:
            os.kill(slow, signal.SIGCONT)
        done = until(lambda task=task: (now := rig.call("GET", task)).status_code == 303 and now, RECOVERY)
        result = rig.call("GET", urlsplit(done.headers["Location"]).path)
        assert {slow, int(result.headers["X-Process"])} == set(rig.traces(call))
        assert result.headers["X-Process"] != str(slow)
        until(lambda slow=slow: rig.is_at_work(slow), RECOVERY)
    how = "after" if is_over else "during"
    report(
        f"worker stopped past its lease, continued {how} the next run",
        rig.verdict(),
        kills=len(took),
        slowest=max(took),
    )


def test_unsafe_call_of_a_worker_suspended_past_its_lease_is_not_restarted(rig, report):
    call = rig.submit("POST", seconds=1)
    [slow] = until(lambda: rig.traces(call), RECOVERY)
    os.kill(slow, signal.SIGSTOP)
    try:
        until(lambda: rig.monitor(call) == "Failed", RECOVERY)
    finally:
        os.kill(slow, signal.SIGCONT)
    rig.recovers()
    verdict = rig.verdict()
    assert verdict.ended_lost == 1
    report("worker stopped over an unsafe call", verdict)


def test_message_redelivered_during_its_run_starts_nothing(databases, tmp_path, report):
    """The queue's retry clock starts at the fetch: a message that waits for a worker is redelivered."""
    with rigged(tmp_path, databases("PostgreSQL"), FAULT_RETRY="6", FAULT_RUN_LIMIT="4.5", FAULT_SHARE="6") as rig:
        rig.serve()
        rig.work()
        until(rig.whole, RECOVERY)
        for _ in range(6):
            rig.submit("POST", seconds=4)
        verdict = rig.verdict()
        assert verdict.done == 6
        report("messages redelivered during their runs", verdict)
