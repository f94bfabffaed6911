"""Rigs with real servers, and the report at the end of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..journeys import cells
from ..journeys.test_journeys import databases  # noqa: F401  (a fixture)
from .rig import Rig, rigged
from .verdict import Verdict

FORM = os.environ.get("TEST_FAULTS", "")
"""short, all, or nothing: then there are no tests here."""
ORM, REDIS = "django-q2 in the database", "django-q2 on Redis"
CELLS = [(ORM, "SQLite"), (ORM, "PostgreSQL"), (REDIS, "PostgreSQL")]
FEW = [(ORM, "SQLite"), (REDIS, "PostgreSQL")]

collect_ignore_glob = [] if FORM else ["test_*.py"]


def long_or_short(long: Any, short: Any) -> Any:
    return long if FORM == "all" else short


def on(*chosen: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test on these cells."""
    return pytest.mark.parametrize("rig", chosen, indirect=True, ids=" and ".join)


@pytest.fixture
def rig(request: pytest.FixtureRequest, databases: Any, tmp_path: Any) -> Iterator[Rig]:  # noqa: F811
    """A web server and a supervised cluster on the parameter's cell."""
    broker, kind = request.param
    server = cells.address("TEST_REDIS_URL") if broker == REDIS else ""
    with rigged(tmp_path, databases(kind), server) as rig:
        rig.serve()
        rig.work()
        yield rig
        if server:
            cells.clear(server, rig.cast.environment["JOURNEY_NAME"])


# The report -----------------------------------------------------------------------------------------------------------

Report = Callable[..., None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Records the fault and its verdict for the terminal."""

    def tell(fault: str, verdict: Verdict, **figures: Any) -> None:
        where = getattr(request.node, "callspec", None)
        line = {"fault": f"{fault} [{where.id}]" if where else fault, **verdict.counts, **figures}
        request.node.user_properties.append(("fault", json.dumps(line)))  # pytest-xdist sends it along

    return tell


def pytest_terminal_summary(terminalreporter: Any) -> None:
    ended = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    lines = [
        json.loads(text)
        for report in ended
        for name, text in report.user_properties
        if name == "fault" and report.when == "call"
    ]
    if not lines:
        return
    terminalreporter.section("faults")
    for line in sorted(lines, key=lambda line: line["fault"]):
        fault = line.pop("fault")
        terminalreporter.write_line(f"{fault}: " + ", ".join(f"{name} {_short(seen)}" for name, seen in line.items()))
    sums = {name: sum(line[name] for line in lines) for name in Verdict.COUNTS}
    slowest = max((line[name] for line in lines for name in ("recovered", "slowest") if name in line), default=0.0)
    total = ", ".join(f"{name} {count}" for name, count in sums.items())
    terminalreporter.write_line(f"{len(lines)} faults: {total}, slowest recovery {slowest:.1f} s")


def _short(seen: Any) -> str:
    return f"{seen:.1f} s" if isinstance(seen, float) else str(seen)
