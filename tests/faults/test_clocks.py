"""A worker with a wrong or jumping clock: the database's clock decides."""

from __future__ import annotations

from pathlib import Path

import libfaketime
import pytest

from .conftest import long_or_short
from .rig import RECOVERY, WORKER, rigged, until

pytestmark = pytest.mark.service

LIBRARY = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
CALLS = long_or_short(200, 40)


@pytest.mark.parametrize(
    ("before", "after"),
    [("+60", "+60"), ("-60", "-60"), ("+3600", "+3600"), ("+0", "-3600"), ("+0", "+3600")],
    ids=["ahead", "behind", "an hour ahead", "jumps back", "jumps ahead"],
)
def test_worker_with_a_wrong_clock_neither_doubles_nor_loses_calls(databases, tmp_path, report, before, after):
    """Beside a worker with the right clock on the same queue; one worker of each cluster is killed."""
    clock = tmp_path / "clock"
    clock.write_text(before)
    wrong = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with rigged(tmp_path, databases("PostgreSQL"), JOURNEY_LEASE="10") as rig:
        rig.serve()
        rig.work()
        until(rig.whole, RECOVERY)
        rig.work(WORKER, **wrong)
        until(rig.whole, RECOVERY)
        with rig.flood(CALLS, seconds=0.2):
            until(lambda: len(rig.accepted) > CALLS // 4, RECOVERY)
            clock.write_text(after)
            rig.kill("worker")
            took = rig.recovers()
        report(f"clock {before} s, then {after} s, and a worker killed", rig.verdict(), recovered=took)
