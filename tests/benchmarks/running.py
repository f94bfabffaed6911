"""What a worker needs for a task, beside the same call through Django's handler and two UPDATEs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from django.db import connection
from django.test.utils import override_settings
from django.utils import timezone

from django_asyncexchange import worker
from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.states import State

from . import people
from .door import DATA, Door
from .figures import ROUNDS, Figure, Rounds, figure, interleaved, scale
from .models import Record

FLOOR = "the same call through the handler, and two UPDATEs"


SHARES = {"": 4, ", others waiting": 40}
"""Calls of each account: as many as it may have at work, or so many that each run has to send the next one."""


def measure() -> Iterator[Figure]:
    for method, (situation, share) in itertools.product(("GET", "POST"), SHARES.items()):
        with override_settings(ASYNC_EXCHANGE={**conf.raw, "EXECUTOR": "tests.services.Idle"}):
            rounds = _rounds(method, share)
        where = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]
        yield figure(rounds, FLOOR, name=f"Run a {method}{situation}, {where}", target=1.5)


def _rounds(method: str, share: int) -> Rounds:
    calls = scale(300, 10)
    needed = ROUNDS * calls + max(5, calls // 10)
    door, tokens = Door(), people.crowd(needed // share + 1)
    callers = itertools.cycle(tokens)
    tasks = [door.submit(method, token=next(callers)) for _ in range(needed)]
    waiting = iter(tasks)
    record = Record.objects.create(url="", request={})

    def floor() -> None:
        rows = Record.objects.filter(pk=record.pk)
        rows.update(state="PROCESSING", started=timezone.now())
        door.expect(200, method, "/works/", token=tokens[0], data=DATA if method == "POST" else None)
        rows.update(state="DONE", finished=timezone.now())

    rounds = interleaved({"ours": lambda: worker.run(next(waiting)), FLOOR: floor}, calls)
    undone = AsyncTask.objects.filter(pk__in=tasks).exclude(state=State.DONE).count()
    assert not undone, f"{undone} of {needed} have not been run"
    return rounds
