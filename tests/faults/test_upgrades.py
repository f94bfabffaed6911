"""A rolling upgrade: web servers and clusters of the last release beside those of this one, on one database."""

from __future__ import annotations

import copy
import uuid

import pytest

from ..journeys import cells
from . import servers
from .conftest import CELLS, ORM, long_or_short
from .releases import unpack_last
from .rig import RECOVERY, Rig, rigged, until

pytestmark = pytest.mark.service

CALLS = 60
"""In each flood."""


@pytest.fixture(params=long_or_short(CELLS, CELLS[1:]), ids=" and ".join)
def last(request, tmp_path, tmp_path_factory):
    """The last release, with a database that has its tables; nothing runs yet."""
    broker = request.getfixturevalue("redis_url") if request.param[0] != ORM else ""
    release = unpack_last(tmp_path_factory.mktemp("last"))
    if request.param[1] == "SQLite":
        made = cells.sqlite(tmp_path)
    else:
        made = cells.postgresql(f"upgrade_{uuid.uuid4().hex[:12]}", request.getfixturevalue("postgres_url"))
    with made as database, rigged(tmp_path, database, broker, PYTHONPATH=release) as rig:
        yield rig


@pytest.fixture
def redis_url():
    with servers.redis_server() as server:
        yield server.url


def upgraded(last):
    """This release on the same database, migrated."""
    cast = copy.copy(last.cast)
    cast.environment = last.cast.environment | {"PYTHONPATH": str(cells.ROOT)}
    cast.run("django migrate --verbosity 0")
    return Rig(cast, last._stack, last.broker)


@pytest.mark.parametrize("first", ["clusters", "web servers"])
def test_rolling_upgrade_neither_loses_nor_doubles_calls(last, report, first):
    last.serve()
    last.work()
    until(last.whole, RECOVERY)
    with last.flood(CALLS):
        this = upgraded(last)
    with last.flood(CALLS):
        if first == "clusters":
            this.work()
            until(this.whole, RECOVERY)
            this.serve()
        else:
            this.serve()
            with this.flood(CALLS // 3):  # only clusters of the last release run
                pass
            this.work()
            until(this.whole, RECOVERY)
    with last.flood(CALLS), this.flood(CALLS):
        pass
    with last.flood(CALLS // 2), this.flood(CALLS // 2):
        last.stop()
    last.unserve()
    with this.flood(CALLS // 2):
        pass
    took = this.recovers()
    for each, name in ((last, "last"), (this, "new")):
        verdict = each.judge()
        assert verdict.mistakes == {}, this.cast.said()
        assert verdict.done == len(each.accepted) > 0, f"{verdict}\n{this.cast.said()}"
        report(f"rolling upgrade, {first} first: calls of the {name} release", verdict, recovered=took)
    assert len(last.accepted) + len(this.accepted) > 5 * CALLS
    until(lambda: int(this.ask("tests.faults.messages")) == 0, RECOVERY)
