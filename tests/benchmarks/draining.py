"""How many trivial calls two workers run in a second, from a queue filled beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from django.db import connections

from . import people
from .crew import Crew
from .door import TOKEN, Door
from .figures import ROUNDS, Figure, figure, scale
from .stage import DEFAULT

BY_HAND = "the same calls through the handler, by hand"
BY_HAND_OF_ONE = f"{BY_HAND}, of one account"
OF_ONE = "of one account"
SHARE = 8
"""Calls of each of the others: as many as they may have at work, so that none of them waits for another."""


def measure() -> Iterator[Figure]:
    calls = scale(2000, 40)
    crew, door = Crew(), Door()
    people.anna()
    tokens = itertools.cycle(people.crowd(max(calls // SHARE, 1)))
    by_hand = crew.by_hand("GET")
    contestants = {"ours": lambda: door.submit("GET", token=next(tokens)), BY_HAND: lambda: by_hand(next(tokens))}
    if crew.broker == DEFAULT:  # what others spare is a message as well
        contestants |= {OF_ONE: lambda: door.submit("GET"), BY_HAND_OF_ONE: lambda: by_hand(TOKEN)}
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
    target = 1.2 if crew.broker == DEFAULT else 1.0
    for ours, beside, whose in (("ours", BY_HAND, ""), (OF_ONE, BY_HAND_OF_ONE, ", of one account")):
        if ours in contestants:
            name = f"Calls done a second{whose}, {crew.name}"
            yield figure(rounds, beside, ours=ours, name=name, unit="/s", target=target, more_is_better=True)
