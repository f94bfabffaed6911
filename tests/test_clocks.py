"""No test depends on the duration of something on this machine, and none sleeps until a period has passed.

Read from the tests' source: each ``assert`` that compares times, and each sleep. Speed is measured in
``tests/benchmarks``, which compares them side by side.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time", "timeit", "default_timer", "clock"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS}
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)

DECIDED_BY_A_CLOCK = {
    "services.py::until": "the deadline of whatever waits for an event",
    "journeys/site.py::holds": "the same, in a web server",
}
"""Where an assertion may compare times, and why."""
SLEEPERS = {
    "services.py::until": "between two looks",
    "services.py::waits": "a view that takes longer than its test",
    "services.py::shrugs": "the same",
    "services.py::dreams": "the same",
    "journeys/site.py::holds": "between two looks",
    "journeys/slow_site.py": "views that take longer than their patience, or than the proxy's timeout",
    "openapi/tools/programs/round_trip.py::main": "between two polls",
    "project/stubborn.py::stubborn": "a view that takes longer than its test",
    "project/held.py::holds": "the same",
    "faults/site.py": "views that take their time",
    "faults/test_brokers.py::test_killed_broker_costs_no_call": "how long the broker is away",
    "faults/test_cancel.py::play": "a random moment",
    "faults/test_databases.py": "traffic before the harm, and how long it lasts",
    "faults/test_hosts.py": "traffic before the harm, and how long it lasts",
    "faults/test_kills.py::test_random_kills_cost_no_call": "random moments",
    "faults/test_receivers.py": "traffic between two kills",
    "worker/test_asgi.py": "views that take longer than their test, or give way to others",
    "worker/test_runner.py::awaits_what_was_cancelled": "cancelled at once",
    "worker/test_watchdog.py::sleeps": "a view that takes longer than its test",
    "worker/test_watchdog.py::writes": "the same",
    "worker/test_watchdog.py::is_polite": "between two looks",
    "worker/test_watchdog.py::leaves_a_mark": "a view that takes its time",
    "worker/test_watchdog.py::test_run_inside_the_callers_transaction_is_not_interrupted": "some looks of a watcher",
    "worker/test_watchdog.py::cancel": "a random moment",
}
"""What sleeps, and why; a file alone stands for all that is in it."""


def mentions_a_clock(node: ast.AST, known: set[str]) -> bool:
    return any(
        (isinstance(part, ast.Name) and part.id in known)
        or (isinstance(part, ast.Attribute) and part.attr == "elapsed")
        or (isinstance(part, ast.Call) and name_of(part.func) in CLOCKS and not is_a_date(part.func))
        for part in ast.walk(node)
    )


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_a_date(function: ast.expr) -> bool:
    """``datetime.time()``, a part of a date."""
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) in {"dt", "datetime"}


def measured(function: ast.AST) -> set[str]:
    """The names in ``function`` that hold a time, or a value computed from one."""
    known: set[str] = set()
    while True:
        more = set(known)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.NamedExpr):
                if node.value is not None and mentions_a_clock(node.value, known):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    more |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            elif isinstance(node, ast.Call) and name_of(node.func) in {"append", "add", "extend", "insert"}:
                owner = node.func.value if isinstance(node.func, ast.Attribute) else None
                if isinstance(owner, ast.Name) and any(mentions_a_clock(given, known) for given in node.args):
                    more.add(owner.id)
        if more == known:
            return known
        known = more


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def compares_times(function: ast.AST) -> bool:
    known = measured(function)
    return any(
        isinstance(part, ast.Compare)
        and any(isinstance(op, ORDER) for op in part.ops)
        and mentions_a_clock(part, known)
        for node in ast.walk(function)
        if isinstance(node, ast.Assert)
        for part in ast.walk(node)
    )


def sleeps(function: ast.AST) -> bool:
    """Whether it calls a ``sleep``, or waits for an event that nobody else can set."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute | ast.Name)
        and (
            (name_of(node.func) == "sleep" and ast.unparse(node.func) != "self.sleep")
            or (name_of(node.func) == "wait" and ast.unparse(node.func).endswith("Event().wait"))
        )
        for node in ast.walk(function)
    )


def found(is_so, words: str) -> set[str]:
    """``file::function`` of each innermost function of the tests with that property, in files with one of ``words``."""
    places = set()
    for path in sorted(TESTS.rglob("*.py")):
        place, text = path.relative_to(TESTS).as_posix(), path.read_text(encoding="utf-8")
        if place.startswith("benchmarks/") or not re.search(words, text):
            continue
        all_of_it = list(functions(ast.parse(text)))
        for function in all_of_it:
            inner = [node for node in functions(ast.Module([function], [])) if node is not function]
            if is_so(function) and not any(is_so(node) for node in inner):
                places.add(f"{place}::{function.name}")
    return places


def listed(place: str, exceptions: dict[str, str]) -> str | None:
    return next((known for known in (place, place.partition("::")[0]) if known in exceptions), None)


@pytest.mark.parametrize(
    ("is_so", "words", "exceptions"),
    [
        (compares_times, r"\belapsed\b|" + "|".join(rf"\b{name}\(" for name in CLOCKS), DECIDED_BY_A_CLOCK),
        (sleeps, r"\bsleep\(|Event\(\)\.wait\(", SLEEPERS),
    ],
    ids=["compares", "sleeps"],
)
def test_only_listed_functions_compare_times_or_sleep(is_so, words, exceptions):
    places = found(is_so, words)
    assert {place for place in places if listed(place, exceptions) is None} == set()
    assert set(exceptions) - {listed(place, exceptions) for place in places} == set()


SEEN = {
    "assert time.monotonic() - began < 2": True,
    "took = time.perf_counter() - began\n    assert took < 2": True,
    "took.append(time.time() - began)\n    assert max(took) <= LIMIT": True,
    "a, b = time.time(), 1\n    late = a - b\n    assert (late, 1) and 5 > late": True,
    "assert answer.elapsed.total_seconds() < 1": True,
    "took = time.monotonic() - began\n    told(took)": False,
    "assert dt.time(1) < moment": False,
    "assert len(found) < 2": False,
}


@pytest.mark.parametrize("code", SEEN)
def test_comparison_of_times_is_detected(code):
    assert compares_times(ast.parse(f"def test():\n    {code}\n")) == SEEN[code]


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("time.sleep(1)", True),
        ("sleep(1)", True),
        ("await asyncio.sleep(1)", True),
        ("threading.Event().wait(1)", True),
        ("stopped.wait(20)", False),
    ],
)
def test_sleep_is_detected(code, is_one):
    assert sleeps(ast.parse(f"async def test():\n    {code}\n")) == is_one
