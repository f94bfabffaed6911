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
from .figures import ROUNDS, Figure, figure, interleaved, scale
from .models import Record

FLOOR = "the same call through the handler, and two UPDATEs"


def measure() -> Iterator[Figure]:
    calls = scale(300, 10)
    door, tokens = Door(), people.crowd(scale(50, 5))
    where = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]
    idle = {**conf.raw, "EXECUTOR": "tests.services.Idle"}
    for method in ("GET", "POST"):
        with override_settings(ASYNC_EXCHANGE=idle):
            callers = itertools.cycle(tokens)
            needed = ROUNDS * calls + max(5, calls // 10)
            tasks = [door.submit(method, token=next(callers)) for _ in range(needed)]
            waiting = iter(tasks)
            record = Record.objects.create(url="", request={})

            def floor(method: str = method, pk: object = record.pk) -> None:
                rows = Record.objects.filter(pk=pk)
                rows.update(state="PROCESSING", started=timezone.now())
                door.expect(200, method, "/works/", token=tokens[0], data=DATA if method == "POST" else None)
                rows.update(state="DONE", finished=timezone.now())

            contestants = {"ours": lambda waiting=waiting: worker.run(next(waiting)), FLOOR: floor}
            rounds = interleaved(contestants, calls)
        undone = AsyncTask.objects.filter(pk__in=tasks).exclude(state=State.DONE).count()
        assert not undone, f"{undone} of {needed} have not been run"
        yield figure(rounds, FLOOR, name=f"Run a {method}, {where}", target=1.5)
