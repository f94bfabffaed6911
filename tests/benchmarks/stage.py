"""Databases, brokers and processes for a run, made from those of the journeys."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..journeys import cells
from .figures import Figure
from .servers import POSTGRES, REDIS

DEFAULT = "django-q2 in the database"


class Stage:
    """Everything that one group of figures needs. ``second`` is another database of the same kind."""

    def __init__(self, home: Path, name: str, broker: str, database: str, second: str = "") -> None:
        self.home, self.name = home, name
        chosen = cells.BROKERS[broker]
        self.cast = cells.Cast(home, database, chosen, name)
        self.cast.environment |= {
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
            "BROKER_URL": cells.address(chosen.server) if chosen.server else "",
            "BENCH_BROKER": broker,
            "BENCH_REDIS": cells.address(REDIS),
            "BENCH_LARGE": second,
        }

    def figures(self, group: str, **environment: str) -> Iterator[Figure]:
        """What the module ``group`` measures, in a process of its own."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.child", group],
            cwd=cells.ROOT,
            env=self.cast.environment | environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                for words in process.stdout:
                    yield Figure(**json.loads(words))
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            raise RuntimeError(f"{group} has ended with {process.returncode}\n{self.cast.said()}")


@contextlib.contextmanager
def stage(broker: str, database: str, *, twice: bool = False) -> Iterator[Stage]:
    """A stage with a new database, or two; everything is deleted afterwards."""
    name = f"benchmarks_{uuid.uuid4().hex[:12]}"
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncexchange-benchmarks-")))
        if database == "SQLite":
            url = stack.enter_context(cells.sqlite(home))
        else:
            url = stack.enter_context(cells.postgresql(name, POSTGRES))
        second = f"{name}_large" if twice else ""
        if second:
            stack.enter_context(cells.postgresql(second, POSTGRES))
        for variable in {REDIS, cells.BROKERS[broker].server} - {""}:
            stack.callback(cells.clear, cells.address(variable), name)
        yield Stage(home, name, broker, url, second)


def as_json(figure: Figure) -> str:
    return json.dumps(dataclasses.asdict(figure))
