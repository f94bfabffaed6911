"""The short form of tests that are a product of axes, such as situation × endpoint: a sample that covers each axis.

A test with ``@pytest.mark.product("situation", "route")`` runs once for each combination with ``--full``. Without it
runs a sample in which each value of each axis is there at least once; from three axes on, each pair of values that a
combination has. ``function`` as an axis is the test itself: the tests of a module then share one sample. A combination
that is alone in showing a promise (``seed``) is always in it. The choice depends on the tests' ids alone, so that every
run and every worker of pytest-xdist makes the same. What is marked ``full`` waits for ``--full`` whole, or for somebody
who names its file.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

Part = tuple[Hashable, ...]


def covering(rows: Mapping[str, Iterable[Part]]) -> list[str]:
    """A few keys of ``rows`` (id → what it covers) that together cover everything: greedy, by id."""
    missing = {part for parts in rows.values() for part in parts}
    left = {id: set(parts) for id, parts in sorted(rows.items())}
    chosen = []
    while missing:
        best = max(left, key=lambda id: len(left[id] & missing))  # of equals the first
        missing -= left.pop(best)
        chosen.append(best)
    return chosen


def parts(item: Any, axes: tuple[str, ...]) -> set[Part]:
    """The values of ``item`` on each of ``axes``, or their pairs where there are three axes or more; its promises."""
    given = {**item.callspec.params, "function": item.originalname}
    values = [(name, as_key(given[name])) for name in axes or item.callspec.params if name in given]
    promises = {("seed", id) for mark in item.iter_markers("seed") for id in mark.args}
    return promises | set(itertools.combinations(values, 2 if len(values) > 2 else 1))


def as_key(value: Any) -> Hashable:
    return value if isinstance(value, Hashable) else repr(value)


def left_out(items: list[Any]) -> set[str]:
    """The ids of the combinations that the sample leaves out."""
    products: defaultdict[str, dict[str, set[Part]]] = defaultdict(dict)
    for item in items:
        mark = item.get_closest_marker("product")
        if mark is not None and hasattr(item, "callspec"):
            of_all = "function" in mark.args
            product = item.nodeid.partition("::")[0] if of_all else item.nodeid.partition("[")[0]
            products[product][item.nodeid] = parts(item, mark.args)
    return {id for rows in products.values() for id in rows.keys() - set(covering(rows))}


def only_in_full(config: pytest.Config, items: list[Any]) -> set[str]:
    """The ids of tests with ``@pytest.mark.full`` whose file is not named on the command line."""
    named = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    return {item.nodeid for item in items if item.get_closest_marker("full") and item.path not in named}


# The pytest plugin ----------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="every combination of each product, instead of a sample")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full") or any("[" in argument for argument in config.args):  # somebody named one by its id
        return
    skipped = left_out(items) | only_in_full(config, items)
    if skipped:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in skipped])
        items[:] = [item for item in items if item.nodeid not in skipped]
