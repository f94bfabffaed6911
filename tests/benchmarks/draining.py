"""How many trivial calls two workers run in a second, from a queue filled beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from django.db import connections

from . import people
from .crew import Crew
from .door import Door
from .figures import ROUNDS, Figure, figure, scale
from .stage import DEFAULT

FLOOR = "messages that want nothing done"
OF_ONE = "of one account"
SHARE = 8
"""Calls of each of the others: as many as they may have at work, so that none of them waits for another."""


def measure() -> Iterator[Figure]:
    calls = scale(5000, 40)
    crew, door = Crew(), Door()
    people.anna()
    tokens = itertools.cycle(people.crowd(max(calls // SHARE, 1)))
    contestants = {"ours": lambda: door.submit("GET", token=next(tokens)), FLOOR: crew.bare()}
    if crew.broker == DEFAULT:  # messages that others save
        contestants[OF_ONE] = lambda: door.submit("GET")
    rounds = []
    for _ in range(ROUNDS):
        rates = {}
        for name, send in contestants.items():
            sent = {send() for _ in range(calls)}
            connections.close_all()  # no idle connection of ours while they work
            with crew.at_work():
                moments = sorted(crew.line.of_all(sent).values())
            rates[name] = (calls - 1) / (moments[-1] - moments[0])
        rounds.append(rates)
    for ours, whose in {"ours": "", OF_ONE: ", of one account"}.items():
        if ours in contestants:
            name = f"Calls done a second{whose}, {crew.name}"
            yield figure(rounds, FLOOR, ours=ours, name=name, unit="/s", target=0.7, more_is_better=True)
