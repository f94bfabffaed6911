"""The build fails on a promise without a test. Numbers and texts: docs/promises.toml."""

from __future__ import annotations

import ast
import json

import pytest

from .promises import expand, marked, marks, promises

PROMISES = promises()


@pytest.fixture(scope="module")
def tests_of():
    """Promise → the tests that show it."""
    return marked()


pytest_plugins = ["pytester"]
pytestmark = pytest.mark.xdist_group("promises")


def test_every_promise_has_a_test(tests_of):
    missing = [promise.id for promise in PROMISES.values() if promise.id not in tests_of]
    assert not missing


def test_every_number_on_a_test_is_a_promise(tests_of):
    unknown = {id: tests for id, tests in tests_of.items() if id not in PROMISES}
    assert not unknown


def test_all_promises_of_the_five_protocols_are_listed():
    counts = {"S000": 36, "S001": 54, "S002": 64, "S003": 22, "S004": 22}
    assert list(PROMISES) == [id for seed, last in counts.items() for id in expand(f"{seed}-1..{last}")]


def test_texts_are_sentences():
    assert [promise.id for promise in PROMISES.values() if not promise.text.endswith(".")] == []


SOURCE = """
import pytest
pytestmark = pytest.mark.seed("S001-1")
ROWS = [pytest.param(1, marks=pytest.mark.seed("S001-2"))]

@pytest.mark.seed("S001-3", "S001-4")
class TestThing:
    @pytest.mark.parametrize("n", [pytest.param(1, marks=[pytest.mark.seed("S001-5")])])
    async def test_one(self, n):
        def inner():
            return pytest.mark.other("S001-6")
"""


def test_numbers_are_found_on_modules_tables_classes_and_tests():
    assert set(marks(ast.parse(SOURCE), "t.py")) == {
        ("S001-1", "t.py"),
        ("S001-2", "t.py"),
        ("S001-3", "t.py::TestThing"),
        ("S001-4", "t.py::TestThing"),
        ("S001-5", "t.py::TestThing::test_one"),
    }


def test_number_that_is_no_literal_is_refused():
    with pytest.raises(ValueError, match="has to be written out"):
        list(marks(ast.parse("pytest.mark.seed(*IDS)"), "t.py"))


@pytest.mark.parametrize("arguments", [[], ["-p", "xdist", "-n", "2"]], ids=["alone", "distributed"])
def test_run_writes_the_outcomes_of_marked_tests(pytester, monkeypatch, arguments):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest('pytest_plugins = ["tests.promises"]')
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.seed("S001-1")
        def test_good():
            pass

        @pytest.mark.seed("S001-1")
        def test_bad():
            assert False

        @pytest.mark.seed("S001-2")
        @pytest.mark.skip
        def test_skipped():
            pass

        def test_unmarked():
            pass
        """
    )
    pytester.runpytest_subprocess("--promises=out/p.json", *arguments)
    [path] = pytester.path.glob("out/p.json")
    assert {id: sorted(tests.values()) for id, tests in json.loads(path.read_text()).items()} == {
        "S001-1": ["failed", "passed"],
        "S001-2": ["skipped"],
    }
