"""The short form leaves out combinations, but no value of any axis."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from .sampling import covering

pytest_plugins = ["pytester"]

TESTS = """
import pytest

@pytest.mark.product("letter", "number")
@pytest.mark.parametrize("letter", ["a", "b", "c"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_two_axes(letter, number):
    pass

@pytest.mark.product()
@pytest.mark.parametrize("letter", ["a", "b", "c"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_three_axes(letter, number, sign):
    pass

@pytest.mark.full
def test_long():
    pass

@pytest.mark.product("number")
@pytest.mark.parametrize("number", [1, pytest.param(1, marks=pytest.mark.seed("S001-1"))])
def test_promise(number):
    pass
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Disable all installed plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def played(pytester, *options):
    """(test, parameters) of each collected test."""
    pytester.makeini("[pytest]\nmarkers = product(*axes): .\n    full: .\n    seed(*ids): .\n")
    pytester.makeconftest('pytest_plugins = ["tests.sampling", "tests.promises"]')
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess("--collect-only", "-q", *options)
    ids = [line.partition("::")[2] for line in result.outlines if "::" in line]
    return [(name, rest.rstrip("]").split("-", 1)) for name, _, rest in (id.partition("[") for id in ids)]


def test_cover_is_complete_and_small():
    rows = {f"{a}{b}": {("a", a), ("b", b)} for a, b in itertools.product("xyz", "12345")}
    chosen = covering(rows)
    assert set().union(*(rows[id] for id in chosen)) == set().union(*rows.values())
    assert len(chosen) == 5


def test_sample_has_each_value_of_two_axes(pytester):
    cells = [values for name, values in played(pytester) if name == "test_two_axes"]
    assert ({number for number, _ in cells}, {letter for _, letter in cells}) == ({"1", "2", "3", "4"}, set("abc"))
    assert len(cells) == 4


def test_sample_has_each_pair_of_values_of_three_axes(pytester):
    cells = {"".join(values).replace("-", "", 1) for name, values in played(pytester) if name == "test_three_axes"}
    for one, other in (("abc", "123"), ("abc", "+-"), ("123", "+-")):
        pairs = set(itertools.product(one, other))
        assert {pair for pair in pairs if any(set(pair) <= set(cell) for cell in cells)} == pairs
    assert len(cells) < 18


def test_sample_has_the_only_test_of_a_promise(pytester):
    assert [name for name, _ in played(pytester)].count("test_promise") >= 1


def test_full_runs_all_combinations(pytester):
    assert len(played(pytester, "--full")) == 12 + 18 + 1 + 2


@pytest.mark.parametrize(
    ("named", "is_there"), [((), False), (("--full",), True), (("test_what_is_marked.py",), True), ((".",), False)]
)
def test_full_mark_needs_full_or_its_file_to_be_named(pytester, request, named, is_there):
    file = f"{request.node.originalname}.py"
    words = [file if word.endswith(".py") else word for word in named]
    assert ("test_long" in [name for name, _ in played(pytester, *words)]) == is_there


def test_sample_does_not_depend_on_the_order(pytester):
    in_order = played(pytester)
    shuffled = played(pytester, "-p", "pytest_randomly", "--randomly-seed=2")
    assert (shuffled != in_order, sorted(shuffled)) == (True, sorted(in_order))


def test_smoke_tests_exist():
    here = Path(__file__).parent
    lines = (line.partition("#")[0].strip() for line in (here / "smoke.txt").read_text(encoding="utf-8").splitlines())
    assert [line for line in lines if line and not (here.parent / line).exists()] == []


@pytest.mark.xdist_group("samples")
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs everything")
def test_tests_of_a_group_run_in_one_process(request):
    assert request.node.nodeid.endswith("@samples")  # pytest-xdist adds the group, and distributes by it
