"""From a client's call to the end of its run, with idle workers."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator

from . import people
from .crew import Crew
from .door import Door
from .figures import ROUNDS, Figure, figure, scale

FLOOR = "a message that wants nothing done"
LIMIT = 15.0


def measure() -> Iterator[Figure]:
    people.anna()
    crew, door = Crew(), Door()
    contestants = {"ours": door.submit, FLOOR: crew.bare()}
    chance = random.Random(7)

    def took(send: Callable[[], str]) -> float:
        time.sleep(chance.uniform(0.02, 0.1))  # so that a poll interval is hit at any moment
        began = time.monotonic()
        return 1000 * (crew.line.of(send()) - began)

    with crew.at_work():
        for send in (*contestants.values(), *contestants.values()):
            took(send)
        rounds = []
        for _ in range(ROUNDS):
            times: dict[str, list[float]] = {name: [] for name in contestants}
            for _ in range(scale(40, 3)):
                for name, send in contestants.items():
                    times[name].append(took(send))
            rounds.append({name: statistics.median(found) for name, found in times.items()})
    yield figure(rounds, FLOOR, name=f"Submit to done, idle, {crew.name}", target=2.5, limit=LIMIT)
