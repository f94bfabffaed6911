"""What the statements and commits of a call cost, beside all of the step that they belong to."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

from django.db import connection
from django.test.utils import override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.worker import runner

from . import people, tables
from .door import Door
from .figures import Figure, scale

WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")


class Profile:
    """Milliseconds of each commit of ours, with its statements."""

    def __init__(self) -> None:
        self.commits: list[float] = []
        self._open, self._is_ours = 0.0, False

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        commit = connection._commit

        def committed() -> Any:
            return self.timed("COMMIT", commit)

        def executed(execute: Any, sql: str, *rest: Any) -> Any:
            return self.timed(sql, execute, sql, *rest)

        with connection.execute_wrapper(executed), mock.patch.object(connection, "_commit", committed):
            yield

    def timed(self, what: str, work: Any, *args: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*args)
        finally:
            self._open += 1000 * (time.perf_counter() - began)
            self._is_ours = self._is_ours or (what.startswith(WRITES) and tables.TASKS in what)
            if what == "COMMIT" or not (connection.in_atomic_block or what.startswith("BEGIN")):
                if self._is_ours:
                    self.commits.append(self._open)
                self._open, self._is_ours = 0.0, False


def measure() -> Iterator[Figure]:
    where = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[connection.vendor]
    with override_settings(ASYNC_EXCHANGE={**conf.raw, "EXECUTOR": "tests.services.Idle"}):
        for method in ("GET", "POST"):
            steps = _profiled(method)
            for step, (writes, whole) in steps.items():
                ours, beside = statistics.median(writes), statistics.median(whole)
                taken = {"ours": ours, "beside": beside, "ratio": ours / beside}
                yield Figure(
                    name=f"{step} of a {method}, in the database, {where}", unit="ms", what="all of it", **taken
                )


def _profiled(method: str) -> dict[str, tuple[list[float], list[float]]]:
    """Step → milliseconds of its commits, and of all of it; of a cold call."""
    door, calls = Door(), scale(300, 10)
    found: dict[str, tuple[list[float], list[float]]] = {"Submit": ([], []), "Claim": ([], []), "End": ([], [])}
    with mock.patch.object(runner, "SLICE_SECONDS", 0.0):
        for token in people.crowd(calls):
            submitted, ran = Profile(), Profile()
            began = time.perf_counter()
            with submitted.recording():
                door.submit(method, token=token)
            between = time.perf_counter()
            with ran.recording():
                runner.run_ready()
            ended = time.perf_counter()
            [accept], [claim, end] = submitted.commits, ran.commits
            for step, took, whole in (
                ("Submit", accept, between - began),
                ("Claim", claim, ended - between),
                ("End", end, ended - between),
            ):
                found[step][0].append(took)
                found[step][1].append(1000 * whole)
    return found
