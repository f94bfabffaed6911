"""The promises of the protocols, and the tests that show them.

A test carries the numbers of the promises that it shows: ``@pytest.mark.seed("S004-13", "S004-14")``. The numbers are
read from the tests' source, so that a partial or a distributed run sees them all. As a pytest plugin (``conftest.py``
loads it), ``--promises=PATH`` writes the outcome of each marked test; the documentation shows it.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "docs" / "promises.toml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    id: str
    text: str


def promises(source: Path = SOURCE) -> dict[str, Promise]:
    """All promises by id, in the order of the file."""
    document = tomllib.loads(source.read_text(encoding="utf-8"))
    texts = {f"{seed}-{number}": text for seed, rows in document.items() for number, text in rows.items()}
    return {id: Promise(id=id, text=text) for id, text in texts.items()}


def expand(text: str) -> list[str]:
    """``S001-4..6`` → S001-4, S001-5, S001-6; a single id stands for itself."""
    seed, first, last = re.fullmatch(r"(S\d{3})-(\d+)(?:\.\.(\d+))?", text).groups()
    return [f"{seed}-{number}" for number in range(int(first), int(last or first) + 1)]


# Which tests show a promise -------------------------------------------------------------------------------------------


def marked(root: Path = ROOT / "tests") -> dict[str, list[str]]:
    """Promise → the tests that carry its number (or the module, for its tables and ``pytestmark``)."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root.parent).as_posix()
        for id, node in marks(ast.parse(path.read_text(encoding="utf-8"), str(path)), place):
            if node not in found[id]:
                found[id].append(node)
    return dict(found)


def marks(tree: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    """(promise, test) for each ``pytest.mark.seed(…)`` below ``tree``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and is_test(child, place):
            yield from marks(child, f"{place}::{child.name}")
        else:
            yield from marks(child, place)
    if is_mark(tree):
        for argument in tree.args:
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise ValueError(f"{place}, line {tree.lineno}: a promise's number has to be written out")
            yield argument.value, place


def is_test(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, place: str) -> bool:
    """Classes and functions at the top of a module or a class; what is nested deeper is no test of its own."""
    return isinstance(node, ast.ClassDef) or node.name.startswith("test") or "::" not in place


def is_mark(node: ast.AST) -> bool:
    name = getattr(node, "func", None)
    return isinstance(name, ast.Attribute) and name.attr == "seed" and ast.unparse(name) == "pytest.mark.seed"


# The outcome of a run -------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", metavar="PATH", type=Path, help="write promise → test → outcome to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--promises") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.getoption("--promises")), "promises-recorder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # properties travel with the reports, from the workers of pytest-xdist too
        ids = {id for mark in item.iter_markers("seed") for id in mark.args}
        item.user_properties += [("seed", id) for id in sorted(ids)]


class Recorder:
    """Collects the reports of marked tests and writes them at the end of the session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for name, id in report.user_properties:
                if name == "seed":
                    self.outcomes[str(id)][report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.outcomes, indent=1, sort_keys=True), encoding="utf-8")


def outcomes(path: Path) -> dict[str, dict[str, Any]]:
    """The file that ``--promises`` wrote, or nothing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
