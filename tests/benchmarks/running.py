"""A worker's time for a task, beside the same call through Django's handler and two UPDATEs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db import connection
from django.test.utils import override_settings
from django.utils import timezone

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.signals import task_finished
from django_asyncexchange.worker import runner

from . import people
from .door import DATA, Door
from .figures import ROUNDS, Figure, Rounds, Several, figure, interleaved, scale
from .models import Record

FLOOR = "the same call through the handler, and two UPDATEs"

SHARE = 8
"""Calls that an account may have at work, unless it is said otherwise."""
MORE = 8
"""Calls that wait behind each of them, where others are waiting."""
SLICE_SECONDS = 0.03
"""For about as many calls the worker goes on then. Real slices are longer."""


def measure() -> Iterator[Figure]:
    for method, (situation, more) in itertools.product(("GET", "POST"), {"": 0, ", others waiting": MORE}.items()):
        runner.SLICE_SECONDS = SLICE_SECONDS if more else 0.0
        with override_settings(ASYNC_EXCHANGE={**conf.raw, "EXECUTOR": "tests.services.Idle"}):
            rounds = _rounds(method, more)
        where = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]
        yield figure(rounds, FLOOR, name=f"Run a {method}{situation}, {where}", target=1.5)


def _rounds(method: str, more: int) -> Rounds:
    calls = scale(300 // (1 + more), 10)
    messages = ROUNDS * calls + max(5, calls // 10)
    door, tokens = Door(), people.crowd(messages // SHARE + 1)
    for _ in range(SHARE * (1 + 3 * more)):  # a fast machine does more than ``more`` in a slice
        for token in tokens:
            door.submit(method, token=token)
    ended: list[str] = []
    listener = partial(_note, ended)
    task_finished.connect(listener)
    record = Record.objects.create(url="", request={})

    def floor() -> Several:
        for _ in range(1 + more):
            once()
        return Several(1 + more)

    def once() -> None:
        rows = Record.objects.filter(pk=record.pk)
        rows.update(state="PROCESSING", started=timezone.now())
        door.expect(200, method, "/works/", token=tokens[0], data=DATA if method == "POST" else None)
        rows.update(state="DONE", finished=timezone.now())

    def ours() -> Several:
        before = len(ended)
        runner.run_ready()
        return Several(len(ended) - before)

    rounds = interleaved({"ours": ours, FLOOR: floor}, calls)
    undone = AsyncTask.objects.filter(pk__in=ended).exclude(state=State.DONE).count()
    assert len(ended) >= messages and not undone, f"{undone} of {len(ended)} are not done"
    return rounds


def _note(ended: list[str], *, task: Any, **kwargs: Any) -> None:
    ended.append(task.id)
