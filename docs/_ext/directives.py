"""Directives for what is generated from the code, so that it cannot drift.

``state-machine``, ``call-sequence`` and ``decision-chart`` are the drawings of ``pictures``. ``states`` and ``reasons``
list members with their docstrings, ``promises`` shows ``promises.toml`` with the tests that carry each number.
``settings`` has a row for each key of ``conf.keys.Keys``, ``options`` for each option of a mount, ``checks`` for each
system check, ``dialect-defaults`` for each option whose default depends on the dialect, ``delivery-rules`` for each set
of rules by which webhooks are delivered, and ``cluster-settings`` shows what ``defaults.q_cluster()`` returns.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import enum
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pictures
from django.utils.module_loading import import_string
from docutils import nodes
from drawing import Drawing
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from django_asyncexchange.conf.keys import Keys
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.defaults import q_cluster
from django_asyncexchange.dialects.base.delivery_rules import DeliveryRules
from django_asyncexchange.dialects.base.policy import PATH, Policy
from django_asyncexchange.protocol.states import Reason, State
from tests.promises import Promise, marked, outcomes, promises

RESULTS = Path(__file__).parent.parent / "_build" / "promises.json"
SEEDS = {
    "S000": "Target@Mail.Ru",
    "S001": "MoySklad (tutorial)",
    "S002": "Kladana (reference)",
    "S003": "Cisco PCCE",
    "S004": "Solitude",
}


class Picture(SphinxDirective):
    """A drawing of ``pictures``, inline in HTML; other formats get its description."""

    draw: Callable[[], Drawing]

    def run(self) -> list[nodes.Node]:
        drawing = type(self).draw()
        if self.env.app.builder.format == "html":
            return [nodes.raw("", drawing.svg(), format="html")]
        return [nodes.paragraph("", drawing.alt)]


class StateMachine(Picture):
    draw = staticmethod(pictures.state_machine)


class CallSequence(Picture):
    draw = staticmethod(pictures.sequence)


class DecisionChart(Picture):
    draw = staticmethod(pictures.decisions)


class Members(SphinxDirective):
    """A definition list of the members of ``enum``."""

    enum: type[enum.StrEnum]

    def run(self) -> list[nodes.Node]:
        rows = [line for name, text in described(self.enum) for line in (f"``{name}``", f"   {text}", "")]
        return parsed(self, rows)


def described(cls: type[enum.StrEnum]) -> Iterator[tuple[str, str]]:
    """(value, docstring) of each member; a member's docstring is the text on the line below it."""
    return ((str(cls[name]), text) for name, text in sentences(inspect.getsource(cls), cls.__name__).items())


def sentences(source: str, name: str) -> dict[str, str]:
    """What the class ``name`` says of its attributes: by their names, the text on the line below each."""
    [body] = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    found = {}
    for member, text in zip(body, body[1:], strict=False):
        if isinstance(member, ast.Assign | ast.AnnAssign) and isinstance(text, ast.Expr):
            target = member.targets[0] if isinstance(member, ast.Assign) else member.target
            found[ast.unparse(target)] = " ".join(ast.literal_eval(text.value).split())
    return found


class States(Members):
    enum = State


class Reasons(Members):
    enum = Reason


PACKAGE = Path(__file__).parents[2] / "django_asyncexchange"
DIALECTS = {name: import_string(path) for name, path in BUILT_IN.items()}


class Settings(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        texts = sentences(inspect.getsource(Keys), "Keys")
        rows = [(each.name, each.validator.text, shown(each.default), texts[each.name]) for each in Keys.settings()]
        return parsed(self, listed(("Key", "Takes", "Default", "Meaning"), (20, 22, 18, 40), rows))


class Options(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        place = "The mount takes calls below this path, and its task addresses lie there."
        cls = "Dotted path of the dialect's class. One class can be mounted several times."
        rows = [
            ("CLASS", "dotted path of a subclass of ``dialects.base.Dialect``", "by the mount's name", cls),
            ("PREFIX", PATH.text, "none; ``/async`` in *prefer*, ``/async_api`` in *mailru*", place),
            *options(Policy, ""),
            *(row for name, policy in own_policies().items() for row in options(policy, f" Only in {name}.")),
        ]
        return parsed(self, listed(("Option", "Takes", "Default", "Meaning"), (20, 22, 18, 40), rows))


def own_policies() -> dict[str, type[Policy]]:
    """The policies with fields of their own, by the names of the dialects that have them."""
    found: dict[type[Policy], list[str]] = {}
    for name, dialect in DIALECTS.items():
        found.setdefault(type(dialect.POLICY), []).append(f"*{name}*")
    return {" and ".join(names): policy for policy, names in found.items() if policy is not Policy}


def options(policy: type[Policy], where: str) -> Iterator[tuple[str, str, str, str]]:
    """A row for each field that ``policy`` is the first to have."""
    texts = sentences(inspect.getsource(policy), policy.__name__)
    inherited = {field.name for base in policy.__bases__ if dataclasses.is_dataclass(base) for field in fields(base)}
    for field in fields(policy):
        if field.name not in inherited:
            takes = policy.validator(field.name).text
            yield field.name.upper(), takes, defaults(field.name), texts[field.name] + where


def fields(policy: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(policy)


def defaults(name: str) -> str:
    """What holds for most dialects, and where another value does."""
    found: dict[str, list[str]] = {}
    for mount, dialect in DIALECTS.items():
        if hasattr(dialect.POLICY, name):
            found.setdefault(shown(getattr(dialect.POLICY, name)), []).append(f"*{mount}*")
    most = max(found, key=lambda text: len(found[text]))
    return "; ".join([most, *(f"{text} in {', '.join(names)}" for text, names in found.items() if text != most)])


class DialectDefaults(SphinxDirective):
    """The options whose default is not the same in every dialect."""

    def run(self) -> list[nodes.Node]:
        head = ("Option", *(f":doc:`{name} </reference/dialects/{name}>`" for name in DIALECTS))
        return parsed(self, listed(head, (22, *[13] * len(DIALECTS)), differing()))


def differing() -> Iterator[tuple[str, ...]]:
    """A row for each of them: its name, and its default in each of ``DIALECTS``."""
    for field in fields(Policy):
        values = [shown(getattr(dialect.POLICY, field.name)) for dialect in DIALECTS.values()]
        if len(set(values)) > 1:
            yield (field.name.upper(), *values)


class Deliveries(SphinxDirective):
    """How each set of rules that ``DELIVERY`` can name delivers webhooks and callbacks."""

    def run(self) -> list[nodes.Node]:
        head = ("``DELIVERY``", "Success", "Retries", "Disabled after")
        known = {name: rules for dialect in DIALECTS.values() for name, rules in dialect.DELIVERY_RULES.items()}
        return parsed(self, listed(head, (16, 26, 40, 18), (delivery(name, rules) for name, rules in known.items())))


def delivery(name: str, rules: DeliveryRules) -> tuple[str, str, str, str]:
    """A row: which response counts and how fast, what is tried again, and when a webhook is disabled."""
    statuses = sorted(rules.success_statuses)
    success = "any 2xx" if statuses == list(range(200, 300)) else " or ".join(map(str, statuses))
    schedule = Keys.WEBHOOK_SCHEDULE.default if rules.schedule is None else rules.schedule
    pauses = ", ".join(shown(dt.timedelta(seconds=pause)) for pause in list(schedule)[1:])
    retries = [f"after {pauses}"] if pauses else []
    retries += [f"{rules.immediate_retries} times at once after another status"] if rules.immediate_retries else []
    retries += [] if rules.retries_timeouts else ["not after a timeout"]
    within = f"{success} within {rules.total_timeout:g} seconds"
    return name, within, "; ".join(retries), shown(rules.disabled_after)


class ClusterSettings(SphinxDirective):
    """What ``defaults.q_cluster()`` returns."""

    def run(self) -> list[nodes.Node]:
        lines = ["Q_CLUSTER = {", *(f'    "{name}": {value!r},' for name, value in q_cluster().items()), "}"]
        text = "\n".join(lines).replace("'", '"')
        return [nodes.literal_block(text, text, language="python")]


def shown(value: Any) -> str:
    """A default as people say it."""
    if isinstance(value, dt.timedelta):
        count, unit = next((value // span, unit) for span, unit in SPANS if value > span / 2 and not value % span)
        return f"{count} {unit}" if count > 1 else f"{count} {unit[:-1]}"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1024:
        return next(f"{value // size} {unit}" for size, unit in SIZES if not value % size)
    if isinstance(value, tuple) and value:
        return ", ".join(map(str, value))
    return f'``"{value}"``' if isinstance(value, str) else f"``{value!r}``".replace("'", '"')


SPANS = [
    (dt.timedelta(days=1), "days"),
    (dt.timedelta(hours=1), "hours"),
    (dt.timedelta(minutes=1), "minutes"),
    (dt.timedelta(seconds=1), "seconds"),
]
SIZES = [(1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"), (1, "")]


class Checks(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        source = (PACKAGE / "conf/check_ids.py").read_text(encoding="utf-8")
        [body] = (node.body for node in ast.parse(source).body if getattr(node, "name", "") == "CheckId")
        ids = {node.targets[0].id: ast.literal_eval(node.value) for node in body if isinstance(node, ast.Assign)}  # type: ignore[attr-defined]
        texts, deploy = sentences(source, "CheckId"), before_deployment()
        rows = [(ids[name], f"*deploy*: {text}" if name in deploy else text) for name, text in texts.items()]
        return parsed(self, listed(("Id", "What is wrong"), (24, 76), rows))


def before_deployment() -> set[str]:
    """The names of the checks that need ``--deploy``."""
    functions = (
        node
        for path in (*PACKAGE.glob("checks/*.py"), *PACKAGE.glob("executors/**/*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        if node.name == "deployment_checks" or any("deploy=True" in ast.unparse(each) for each in node.decorator_list)
    )
    nodes_of = (node for function in functions for node in ast.walk(function) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes_of if ast.unparse(node.value) == "CheckId"}


def listed(head: tuple[str, ...], widths: tuple[int, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A list-table whose first column is code."""
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", "")
    for row in [head, *((f"``{first}``", *others) for first, *others in rows)]:
        yield from (f"{'     - ' if place else '   * - '}{cell}" for place, cell in enumerate(row))
    yield ""


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
    app.add_directive("state-machine", StateMachine)
    app.add_directive("call-sequence", CallSequence)
    app.add_directive("decision-chart", DecisionChart)
    app.add_directive("states", States)
    app.add_directive("reasons", Reasons)
    app.add_directive("promises", Promises)
    app.add_directive("settings", Settings)
    app.add_directive("options", Options)
    app.add_directive("checks", Checks)
    app.add_directive("dialect-defaults", DialectDefaults)
    app.add_directive("delivery-rules", Deliveries)
    app.add_directive("cluster-settings", ClusterSettings)
    return {"parallel_read_safe": True}
