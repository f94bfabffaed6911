"""From a client's call to the end of its run, with idle workers."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator

from . import people
from .crew import Crew
from .door import TOKEN, Door
from .figures import ROUNDS, Figure, figure, scale

BY_HAND = "the same call through the handler, by hand"
LIMIT = 10.0


def measure() -> Iterator[Figure]:
    people.anna()
    crew, door = Crew(), Door()
    by_hand = crew.by_hand("POST")
    contestants = {"ours": door.submit, BY_HAND: lambda: by_hand(TOKEN)}
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
    yield figure(rounds, BY_HAND, name=f"Submit to done, idle, {crew.name}", target=2.0, limit=LIMIT)
