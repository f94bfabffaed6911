"""The broker is killed, emptied or unreachable, and its messages are lost. The rows are the source of truth."""

from __future__ import annotations

import threading
import time

import pytest

from . import servers
from .conftest import long_or_short
from .rig import RECOVERY, rigged, until

pytestmark = pytest.mark.service

TIMES = long_or_short(5, 1)
AWAY = 2.0
"""Seconds."""


@pytest.fixture(params=[False, True], ids=["it forgets", "it keeps"])
def broker(request):
    with servers.redis_server(keeps=request.param) as broker:
        broker.keeps = request.param
        yield broker


@pytest.fixture
def rig(databases, tmp_path, broker):
    with rigged(tmp_path, databases("PostgreSQL"), broker.url) as rig:
        rig.serve()
        rig.work()
        yield rig


def test_killed_broker_costs_no_call(rig, broker, report):
    with rig.stream():
        for _ in range(TIMES):
            until(rig.whole, RECOVERY)
            broker.kill()
            threading.Event().wait(AWAY)
            broker.start()
            took = rig.recovers()
    assert rig.refused == []
    how = "keeps" if broker.keeps else "forgets"
    report(f"Redis that {how} killed", rig.verdict(), kills=TIMES, recovered=took)


@pytest.mark.parametrize("broker", [False], indirect=True, ids=["it forgets"])
def test_emptied_broker_costs_no_call(rig, broker, report):
    with rig.flood(long_or_short(300, 60), seconds=0.1):
        for _ in range(TIMES):
            seen = len(rig.accepted)
            until(lambda seen=seen: len(rig.accepted) > seen + 10, RECOVERY)
            broker.empty()
        took = rig.recovers()
    report("Redis emptied", rig.verdict(), times=TIMES, recovered=took)


@pytest.mark.parametrize("broker", [False], indirect=True, ids=["it forgets"])
def test_call_accepted_without_a_broker_runs_later(rig, broker, report):
    until(rig.whole, RECOVERY)
    broker.kill()
    for number in range(20):
        assert rig.submit(("GET", "POST")[number % 2])
    broker.start()
    took = rig.recovers()
    verdict = rig.verdict()
    assert verdict.ended_lost == 0
    report("no Redis at submit", verdict, recovered=took)


@pytest.mark.parametrize("broker", [False], indirect=True, ids=["it forgets"])
def test_hanging_broker_does_not_block_clients(rig, broker, report):
    until(rig.whole, RECOVERY)
    broker.hold()
    try:
        began = time.monotonic()
        for number in range(3):
            assert rig.submit(("GET", "POST")[number % 2])  # the client itself times out after 30 s
        took = (time.monotonic() - began) / 3
    finally:
        broker.go_on()
    recovered = rig.recovers()
    verdict = rig.verdict()
    assert verdict.ended_lost == 0
    report("Redis that hangs at submit", verdict, accepting=took, recovered=recovered)


@pytest.mark.parametrize("broker", [False], indirect=True, ids=["it forgets"])
def test_call_committed_by_a_dying_web_server_runs(rig, broker, report):
    """Nobody got a 202; the committed call still runs once, although its message was never sent."""
    rig.unserve()
    rig.serve(JOURNEY_EXECUTOR="tests.faults.site.Dying")
    assert rig.submit("POST") is None
    assert rig.web.wait(RECOVERY) < 0
    assert rig.unanswered == 1
    rig.serve()
    until(lambda: rig.call("GET", f"/traces/{rig.name}/").json(), RECOVERY)
    took = rig.recovers()
    verdict = rig.verdict()
    assert len(verdict.unexpected) == 1
    report("web server killed between commit and broker", verdict, recovered=took)
