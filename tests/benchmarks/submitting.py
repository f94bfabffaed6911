"""A submitted call, beside the call itself with one INSERT, and beside what is written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from django.db import connection

from . import people
from .door import DATA, LATER, Door
from .figures import Figure, figure, interleaved, scale

FLOOR = "the same view at once, with one INSERT"
CELERY = "a view with Celery's delay() on Redis, django-celery-results"
TASKS = "a view with Django Tasks, django-tasks-db"


def measure() -> Iterator[Figure]:
    door, tokens = Door(), people.crowd(scale(600, 10))
    where = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]

    def call(status: int, target: str, method: str = "POST", **headers: str) -> Callable[[], object]:
        data = DATA if method == "POST" else None
        callers = itertools.cycle(tokens)  # enough accounts that each call may run at once: a waiting one costs less
        return lambda: door.expect(status, method, target, token=next(callers), data=data, headers=headers)

    contestants = {"ours": call(202, "/works/", **LATER), FLOOR: call(200, "/inserts/")}
    if connection.vendor == "postgresql":
        contestants[CELERY] = call(202, "/celery/")
    contestants[TASKS] = call(202, "/tasks/")
    rounds = interleaved(contestants, scale(400, 10))
    yield figure(rounds, FLOOR, name=f"Submit a POST, {where}", target=1.3)
    for peer in (CELERY, TASKS):
        if peer in contestants:
            yield figure(rounds, peer, name=f"Submit a POST, {where}", target=1.0)
    contestants = {"ours": call(202, "/works/", "GET", **LATER), FLOOR: call(200, "/inserts/", "GET")}
    yield figure(interleaved(contestants, scale(400, 10)), FLOOR, name=f"Submit a GET, {where}", target=1.2)
