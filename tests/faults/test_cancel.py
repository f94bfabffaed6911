"""Calls are cancelled over HTTP at random moments, with real workers."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import ORM, long_or_short, on
from .rig import RECOVERY, until

pytestmark = pytest.mark.service

CALLS = long_or_short(300, 40)


@on((ORM, "SQLite"), (ORM, "PostgreSQL"))
def test_call_cancelled_at_a_random_moment_is_either_cancelled_or_done(rig, report):
    """No worker dies of it. The view's commit may precede the cancellation, and then stays."""
    until(rig.whole, RECOVERY)
    workers = rig.pids("worker")
    chance = random.Random(7)
    moments = [chance.uniform(0, 1) for _ in range(CALLS)]

    def play(moment):
        """(the call, the status of its cancellation)"""
        call = rig.submit("POST", seconds=0.3, view="commits")
        threading.Event().wait(moment)
        return call, rig.call("DELETE", f"/async/operations/{call}").status_code

    with ThreadPoolExecutor(4) as pool:
        answers = dict(pool.map(play, moments))
    verdict = rig.judge()
    verdict.without_effect = []
    ends = {call: rig.monitor(call) for call in answers}
    assert set(answers.values()) == {204, 409}, answers
    assert {call for call, end in ends.items() if end == "Canceled"} == {
        c for c, said in answers.items() if said == 204
    }
    assert {end for call, end in ends.items() if answers[call] != 204} == {"Succeeded"}
    assert verdict.mistakes == {}
    assert all(rig.traces(call) for call, end in ends.items() if end == "Succeeded")
    assert rig.pids("worker") == workers
    report("cancelled at random", verdict)
