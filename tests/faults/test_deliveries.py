"""Delivering workers are killed, and one of 51 receivers hangs: real workers, real receivers."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest
import requests
from standardwebhooks import Webhook as Verifier

from ..journeys import cells
from ..services import until
from .conftest import CELLS, ORM, REDIS, long_or_short, on
from .inbox import inbox
from .rig import RECOVERY, children, rigged

pytestmark = pytest.mark.service

KILLS = long_or_short(50, 5)
EVENTS = long_or_short(2000, 200)
RECEIVERS = 10
CALLS = long_or_short(60, 20)
"""One after the other; more than there are places for deliveries that are on their way."""
GOOD = 50
ADMINISTRATOR = {"Authorization": "Token token-anna"}


@pytest.fixture
def rig(request, databases, tmp_path):
    """A site with its own queue and cluster for deliveries."""
    broker, kind = request.param
    server = cells.address("TEST_REDIS_URL") if broker == REDIS else ""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.faults.outbox", **getattr(request.function, "environment", {})}
    with rigged(tmp_path, databases(kind), server, **settings) as rig:
        rig.serve()
        rig.work()
        yield rig
        if server:
            cells.clear(server, rig.cast.environment["JOURNEY_NAME"])


def subscribe(rig, port):
    """(the id of a new webhook, its secret)"""
    url = f"http://127.0.0.1:{rig.port}/async/webhooks"
    answer = requests.post(url, json={"url": f"http://127.0.0.1:{port}/"}, headers=ADMINISTRATOR, timeout=30)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["secret"]


def deliveries_of(rig, webhooks):
    """The deliveries, by id."""
    return {row["id"]: row for row in json.loads(rig.ask("tests.faults.outbox", json.dumps(webhooks)))}


def by_id(messages):
    found = defaultdict(list)
    for message in messages:
        found[message.id].append(message)
    return found


# Death ----------------------------------------------------------------------------------------------------------------


def below(pid):
    """The processes below ``pid``."""
    return {each for child in children(pid) for each in (child, *below(child))}


def holder(port, pids):
    """The process of ``pids`` with the connection from the local ``port``."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if int(line[1].rpartition(":")[2], 16) == port}
    for pid in pids:
        with contextlib.suppress(OSError):
            if sockets & {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}:
                return pid
    return None


class Killer:
    """Kills the sender of some messages: before the response, or while it records the response."""

    def __init__(self, rig, every):
        self.rig, self.every = rig, every
        self.killed = []
        self.chance = random.Random(7)
        self.until_next = every

    def __call__(self, message):
        self.until_next -= 1
        if self.until_next > 0 or len(self.killed) >= KILLS:
            return True
        pid = holder(message.sender, below(self.rig.supervisor.pid))
        if pid is None or pid in self.killed:
            return True
        self.until_next = self.every
        self.killed.append(pid)
        if len(self.killed) % 2:
            os.kill(pid, signal.SIGKILL)
            return False
        threading.Timer(self.chance.uniform(0, 0.03), os.kill, (pid, signal.SIGKILL)).start()
        return True


@on(*long_or_short(CELLS, [(ORM, "PostgreSQL")]))
def test_every_event_is_delivered_whichever_process_is_killed(rig, report):
    with inbox(RECEIVERS) as here:
        webhooks = dict(subscribe(rig, port) for port in here.ports)
        verifiers = {port: Verifier(secret) for port, secret in zip(here.ports, webhooks.values(), strict=True)}
        killer = here.before = Killer(rig, every=EVENTS // (KILLS + 5))
        began = time.monotonic()
        with rig.flood(EVENTS // RECEIVERS, seconds=0):
            pass
        verdict = rig.verdict()
        until(lambda: len({message.id for message in here.messages}) >= EVENTS, 10 * RECOVERY)
        until(lambda: {row["state"] for row in deliveries_of(rig, [*webhooks]).values()} == {"DELIVERED"}, 2 * RECOVERY)
        took = time.monotonic() - began
    rows, arrived = deliveries_of(rig, [*webhooks]), by_id(here.messages)
    assert len(killer.killed) == KILLS
    assert set(arrived) == set(rows)
    assert len(rows) == EVENTS == len(rig.accepted) * RECEIVERS
    assert {len({message.body for message in messages}) for messages in arrived.values()} == {1}
    for message in here.messages:
        verifiers[message.port].verify(message.body, message.headers)
    late = sorted(min(message.at for message in messages) - rows[id]["made"] for id, messages in arrived.items())
    report(
        "workers killed while delivering",
        verdict,
        kills=len(killer.killed),
        events=len(rows),
        arrived=len(arrived),
        messages=len(here.messages),
        slowest=late[-1],
        p95=percentile(late, 0.95),
        took=took,
    )


test_every_event_is_delivered_whichever_process_is_killed.environment = {"FAULT_IN_FLIGHT": "50"}


# A black hole ---------------------------------------------------------------------------------------------------------


def percentile(figures, part):
    return sorted(figures)[int(part * (len(figures) - 1))]


def delays(rig, here, webhooks):
    """The delays of fifty receivers over several calls, in seconds."""
    here.messages.clear()
    for count in range(1, CALLS + 1):
        assert rig.submit("GET")
        until(lambda count=count: len({message.id for message in here.messages}) == count * GOOD, 2 * RECOVERY)
    rows = deliveries_of(rig, webhooks)
    return [messages[0].at - rows[id]["made"] for id, messages in by_id(here.messages).items()]


@on((ORM, "PostgreSQL"))
def test_fifty_receivers_do_not_wait_for_a_hanging_one(rig, report):
    with inbox(GOOD + 1) as here:
        hole = here.ports[-1]
        here.silent.add(hole)
        webhooks = [subscribe(rig, port)[0] for port in here.ports[:-1]]
        delays(rig, here, webhooks)  # to warm up
        alone = percentile(delays(rig, here, webhooks), 0.95)
        subscribe(rig, hole)
        beside = percentile(delays(rig, here, webhooks), 0.95)
        until(lambda: here.holds)
        first = min(here.given_up, default=math.inf)
        heard = len([message for message in here.messages if message.at < first])
    report(
        "one black hole among 51 receivers",
        rig.verdict(),
        events=2 * CALLS * GOOD,
        **{"p95 without it": f"{alone * 1000:.0f} ms", "p95 with it": f"{beside * 1000:.0f} ms"},
        heard=heard,
    )
    assert heard >= GOOD  # all good receivers had the first event before the hanging one was given up


test_fifty_receivers_do_not_wait_for_a_hanging_one.environment = {"FAULT_PATIENCE": "120"}
