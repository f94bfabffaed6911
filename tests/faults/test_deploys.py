"""Keys are rotated and versions are mixed while calls wait. Rows survive what their messages do not."""

from __future__ import annotations

import pytest

from . import servers
from .conftest import ORM, REDIS
from .rig import RECOVERY, rigged, until

pytestmark = pytest.mark.service

OLD, NEW = "an old key of a project that is long enough for all purposes", "a new key of it, and as long as the old one"


@pytest.fixture(params=[ORM, REDIS])
def rig(request, databases, tmp_path):
    broker = request.getfixturevalue("broker") if request.param == REDIS else ""
    with rigged(tmp_path, databases("PostgreSQL"), broker, FAULT_SHARE="100") as rig:
        yield rig


@pytest.fixture
def broker():
    with servers.redis_server() as server:
        yield server.url


def test_rotated_key_with_50_queued_calls_costs_none(rig, report):
    """No worker accepts messages signed with the old key, whatever the fallbacks; they are sent again."""
    rig.cast.environment["FAULT_KEY"] = OLD
    rig.serve()
    for number in range(50):
        assert rig.submit(("GET", "POST")[number % 2])
    rig.unserve()
    rig.cast.environment |= {"FAULT_KEY": NEW, "FAULT_OLD_KEY": OLD}
    rig.serve()
    rig.work()
    verdict = rig.verdict()
    assert verdict.done == 50
    report("SECRET_KEY rotated", verdict)


def test_rows_and_messages_of_other_versions_are_read_or_sent_again(rig, report):
    """Rows with unknown fields, claimed without a lease, and messages with an additional argument."""
    rig.serve()
    for number in range(40):
        assert rig.submit(("GET", "POST")[number % 2])
    rig.ask("tests.faults.versions", " ".join(rig.accepted))
    rig.work()
    until(rig.whole, RECOVERY)
    verdict = rig.verdict()
    assert verdict.states == {"DONE": 35, "ERROR lost": 5}
    report("versions mixed", verdict)
