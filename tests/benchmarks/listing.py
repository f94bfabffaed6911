"""Lists of tasks in a table of a million rows of a thousand accounts, beside one of ten thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import tables
from .door import Door
from .figures import Figure, figure, interleaved, scale
from .plans import sequential_scans

ACCOUNTS, OF_EACH = scale(1000, 20), scale(1000, 100)
FEW = 10
SMALL = f"the same at {FEW * OF_EACH:,} rows"
TARGETS = {
    "a page": "/async/tasks?limit=100",
    "a later page": f"/async/tasks?limit=100&offset={OF_EACH // 2}",
    "filtered by state": "/async/tasks?limit=100&state=API_ERROR",
    "filtered by address": "/async/tasks?limit=100&request__contains=/stock/",
    "ordered by deletion date": "/async/tasks?limit=100&order_by=-deletion_date",
}


def measure() -> Iterator[Figure]:
    tables.fill("default", FEW * OF_EACH, FEW)
    tables.fill("large", ACCOUNTS * OF_EACH, ACCOUNTS)
    for alias in ("default", "large"):
        tables.settle(alias)
    door = Door()
    for what, target in TARGETS.items():

        def call(alias: str, target: str = target) -> Callable[[], object]:
            def go() -> None:
                with tables.of(alias):
                    door.expect(200, "GET", target, token="token-7")

            return go

        scans = sequential_scans("large", call("large"))
        rounds = interleaved({"ours": call("large"), SMALL: call("default")}, scale(60, 5))
        yield figure(
            rounds,
            SMALL,
            name=f"List {what}, {ACCOUNTS * OF_EACH:,} rows",
            target=1.3,
            fault=f"{len(scans)} sequential scans" if scans else "",
        )
