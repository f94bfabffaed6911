"""The delay of deliveries to fifty receivers, with one more that hangs."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterator

from django_asyncexchange.models import Delivery, Webhook

from ..faults.inbox import Inbox, inbox
from ..services import until
from . import people
from .crew import Crew
from .door import Door
from .figures import ROUNDS, Figure, figure, scale

GOOD = 50
CALLS = scale(20, 2)
ALONE = "the same without it"
PATIENCE = 120


def measure() -> Iterator[Figure]:
    people.anna()
    door = Door()
    with inbox(GOOD + 1) as here, Crew().at_work():
        silent = here.ports[-1]
        here.silent.add(silent)
        for port in here.ports:
            door.expect(201, "POST", "/async/webhooks", data={"url": f"http://127.0.0.1:{port}/"})
        hole = Webhook.objects.filter(url__contains=f":{silent}/")
        hole.update(enabled=False)
        _late(door, here)
        rounds = []
        for _ in range(ROUNDS):
            alone = _late(door, here)
            hole.update(enabled=True)
            beside = _late(door, here)
            hole.update(enabled=False)
            until(lambda: not Delivery.objects.in_flight().exists(), PATIENCE)  # given up
            rounds.append({"ours": beside, ALONE: alone})
    name = f"Hear of an end, {GOOD} receivers beside one that hangs, p95"
    yield figure(rounds, ALONE, name=name, target=1.2)


def _late(door: Door, here: Inbox) -> float:
    """The 95th percentile over several calls, one after the other, in milliseconds."""
    here.messages.clear()
    for count in range(1, CALLS + 1):
        door.submit("GET")
        until(lambda count=count: len({message.id for message in here.messages}) == count * GOOD, PATIENCE)
    arrived = {uuid.UUID(message.id): message.at for message in reversed(here.messages)}
    made = Delivery.objects.filter(pk__in=arrived).values_list("pk", "created")
    late = [arrived[id] - moment.timestamp() for id, moment in made]
    return 1000 * statistics.quantiles(late, n=20)[-1]
