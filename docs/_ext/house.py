"""Directives for what is generated from the code, so that it cannot drift.

``state-diagram`` draws ``django_asyncexchange.states.TRANSITIONS``, ``states`` and ``reasons`` list their members with
their docstrings, and ``promises`` shows ``promises.toml`` with the tests that carry each number.
"""

from __future__ import annotations

import ast
import enum
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from django_asyncexchange.states import TRANSITIONS, Reason, State
from tests.promises import Promise, marked, outcomes, promises

RESULTS = Path(__file__).parent.parent / "_build" / "promises.json"
SEEDS = {
    "S000": "Target@Mail.Ru",
    "S001": "MoySklad (tutorial)",
    "S002": "Kladana (reference)",
    "S003": "Cisco PCCE",
    "S004": "Solitude",
}


class StateDiagram(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        text = "\n".join(diagram())
        return [nodes.literal_block(text, text, language="none")]


def diagram() -> Iterator[str]:
    """One line for each state: where it may lead."""
    width = max(map(len, State))
    for state, targets in TRANSITIONS.items():
        ways = ", ".join(target for target in State if target in targets)
        yield f"{state:{width}} ──▶ {ways}" if ways else f"{state:{width}}  (final)"


class Members(SphinxDirective):
    """A definition list of the members of ``enum``."""

    enum: type[enum.StrEnum]

    def run(self) -> list[nodes.Node]:
        rows = [line for name, text in described(self.enum) for line in (f"``{name}``", f"   {text}", "")]
        return parsed(self, rows)


def described(cls: type[enum.StrEnum]) -> Iterator[tuple[str, str]]:
    """(value, docstring) of each member; a member's docstring is the text on the line below it."""
    [body] = (node.body for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef))
    for member, text in zip(body, body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            yield ast.literal_eval(member.value), " ".join(ast.literal_eval(text.value).split())


class States(Members):
    enum = State


class Reasons(Members):
    enum = Reason


class Promises(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        rows = list(promises().values())
        lines = [line for seed, title in SEEDS.items() for line in table(title, of_seed(rows, seed))]
        return parsed(self, lines)


def of_seed(rows: Iterable[Promise], seed: str) -> list[Promise]:
    return [row for row in rows if row.id.startswith(f"{seed}-")]


def table(title: str, rows: list[Promise]) -> Iterator[str]:
    """One protocol as a list-table."""
    tests, results = marked(), outcomes(RESULTS)
    yield from (f".. list-table:: {title}", "   :header-rows: 1", "   :widths: 10 45 35 10", "")
    yield from ("   * - Number", "     - Promise", "     - Shown by", "     - Result")
    for row in rows:
        yield f"   * - {row.id}"
        yield f"     - {escape(row.text)}"
        yield f"     - {shown_by(row, tests.get(row.id, []))}"
        yield f"     - {verdict(row, results.get(row.id))}"
    yield ""


def shown_by(row: Promise, tests: list[str]) -> str:
    return ", ".join(f"``{test.removeprefix('tests/')}``" for test in tests) or "**no test**"


def verdict(row: Promise, results: dict[str, str] | None) -> str:
    """The worst outcome of the promise's tests in the last recorded run."""
    if not results:
        return "see CI"
    return next(outcome for outcome in ("failed", "skipped", "passed") if outcome in results.values())


def escape(text: str) -> str:
    """``text`` without markup: each character that could start some is escaped."""
    return "".join(f"\\{character}" if character in r"\*`|_" else character for character in text)


def parsed(directive: SphinxDirective, lines: Iterable[str]) -> list[nodes.Node]:
    return directive.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("state-diagram", StateDiagram)
    app.add_directive("states", States)
    app.add_directive("reasons", Reasons)
    app.add_directive("promises", Promises)
    return {"parallel_read_safe": True}
