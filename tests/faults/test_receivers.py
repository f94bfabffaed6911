"""Workers are killed while they deliver to good receivers and to all kinds of bad ones."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import json
import random
import statistics
import threading

import pytest

from .. import receivers
from .conftest import ORM, long_or_short, on
from .rig import RECOVERY, until

pytestmark = pytest.mark.service

BAD = (
    receivers.drip_header,
    receivers.drip_body,
    receivers.black_hole,
    receivers.go_on,
    receivers.reset,
    receivers.bomb,
    receivers.flood,
    receivers.babble,
)
KILLS = long_or_short(60, 3)
PAUSE = 2
"""Seconds between two of them."""


class Good:
    """What good receivers got for each call, and how long after its end."""

    def __init__(self) -> None:
        self.ids: dict[str, set[str]] = collections.defaultdict(set)
        self.bodies: dict[str, set[bytes]] = collections.defaultdict(set)
        self.late: dict[str, float] = {}

    def hear(self, seen: receivers.Seen) -> None:
        now = dt.datetime.now(dt.UTC)
        call = seen.path.rpartition("/")[2]
        document = json.loads(seen.body)
        self.ids[call].add(seen.headers["webhook-id"])
        self.bodies[call].add(seen.body)
        ended = dt.datetime.fromisoformat(document["data"]["finished"])
        self.late.setdefault(call, (now - ended).total_seconds())


@on((ORM, "PostgreSQL"))
def test_every_end_is_delivered_once_to_good_receivers_whatever_dies(rig, report):
    good, chance, number = Good(), random.Random(7), 0
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(receivers.misbehaving(kind)) for kind in BAD]
        listening = [stack.enter_context(receivers.receiving()) for _ in range(2)]
        for receiver in listening:
            receiver.before = good.hear
        told_of = set()
        enough = threading.Event()

        def submit() -> None:
            nonlocal number
            while not enough.wait(0.2):
                number += 1
                is_bad = number % 3 == 0
                port = chance.choice(ports) if is_bad else chance.choice(listening).port
                url = f"http://127.0.0.1:{port}/{number}"
                if rig.submit("GET", 0.02, Prefer=f'respond-async, callback;url="{url}"') and not is_bad:
                    told_of.add(str(number))

        client = threading.Thread(target=submit)
        client.start()
        try:
            for _ in range(KILLS):
                rig.kill("worker")
                threading.Event().wait(PAUSE)
        finally:
            enough.set()
            client.join()
        verdict = rig.verdict()
        until(lambda: told_of <= set(good.ids), 2 * RECOVERY)
    assert told_of
    assert {len(ids) for ids in good.ids.values()} == {len(bodies) for bodies in good.bodies.values()} == {1}
    late = sorted(good.late.values())
    p95 = late[int(0.95 * (len(late) - 1))]
    report(
        "receivers of all kinds, workers killed",
        verdict,
        kills=KILLS,
        told=len(told_of),
        median=statistics.median(late),
        p95=p95,
    )
