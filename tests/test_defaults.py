"""``q_cluster()``, the default ``Q_CLUSTER``."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.core import checks
from django.test import override_settings

from django_asyncexchange.checks import CheckId
from django_asyncexchange.defaults import q_cluster

from .checks.test_checks import DJANGO_Q, PERSISTENT
from .services import exchange


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"workers": 16},
        {"timeout": 3600},
        {"redis": "redis://127.0.0.1:6379/0", "name": "tests"},
        {"django_redis": "default", "name": "tests"},
        {"ALT_CLUSTERS": {"letters": {"timeout": 120, "retry": 180}}},
    ],
    ids=str,
)
def test_q_cluster_passes_all_checks(overrides):
    given = {"ASYNC_EXCHANGE": exchange(EXECUTOR=DJANGO_Q), "Q_CLUSTER": q_cluster(**overrides), **PERSISTENT}
    with override_settings(**given):
        found = checks.run_checks(include_deployment_checks=True)
    ours = {message.id for message in found if message.id.startswith("asyncexchange.")}
    assert ours - {CheckId.SQLITE_OLD, CheckId.SQLITE_UNSYNCED} == set()  # about the database of the tests


def test_override_wins():
    assert q_cluster(queue_limit=3, retry=900, orm="queue", broker_class="theirs", poll=1) == {
        **q_cluster(),
        "queue_limit": 3,
        "retry": 900,
        "orm": "queue",
        "broker_class": "theirs",
        "poll": 1,
    }


def test_derived_values_follow_an_override():
    made = q_cluster(workers=5, timeout=1000)
    assert (made["queue_limit"], made["retry"]) == (10, 1060)


def test_queue_on_redis_has_no_orm():
    assert "orm" not in q_cluster(redis={"host": "127.0.0.1"})


def test_each_call_returns_a_new_dictionary():
    q_cluster()["workers"] = 9
    assert q_cluster()["workers"] == 2


def test_defaults_module_imports_no_django():
    code = "import sys; import django_asyncexchange.defaults; print([name for name in sys.modules if name == 'django'])"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True)
    assert (done.stdout, done.stderr) == (b"[]\n", b"")
