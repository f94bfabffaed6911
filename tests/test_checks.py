"""The system checks: each misconfiguration by its name, and nothing about correct settings."""

from __future__ import annotations

import copy
import sqlite3

import pytest
from django.conf import settings
from django.core import checks
from django.test import override_settings

from django_asyncexchange.checks import CheckId
from django_asyncexchange.checks.cluster import _is_mended

from .services import exchange

DJANGO_Q = "django_asyncexchange.executors.django_q.DjangoQ"
MIDDLEWARE = settings.MIDDLEWARE
FILES = "django.core.files.storage.FileSystemStorage"


def found(deploy=False):
    """The ids of our findings."""
    messages = checks.run_checks(include_deployment_checks=deploy)
    return {message.id for message in messages if message.id.startswith("asyncexchange.")}


def queued(**changes):
    """django-q2 is the executor; ``Q_CLUSTER`` changed, or without a key where it is None."""
    cluster = {**settings.Q_CLUSTER, **changes}
    return {"ASYNC_EXCHANGE": exchange(EXECUTOR=DJANGO_Q), "Q_CLUSTER": cluster}


def dialects(**mounts):
    return {"ASYNC_EXCHANGE": exchange(DIALECTS={**settings.ASYNC_EXCHANGE["DIALECTS"], **mounts})}


def storage(**options):
    ours = {"BACKEND": FILES, "OPTIONS": options}
    return {"STORAGES": {**settings.STORAGES, "asyncexchange": ours}}


def databases(**options):
    changed = copy.deepcopy(settings.DATABASES)
    changed["default"].update(options)
    return {"DATABASES": changed}


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


PERSISTENT = databases(CONN_MAX_AGE=None)
"""Correct together with django-q2."""


def by_name(value):
    return value.name if isinstance(value, CheckId) else ""


WRONG = [
    (CheckId.MIDDLEWARE_MISSING, {"MIDDLEWARE": MIDDLEWARE[:-1]}),
    (CheckId.MIDDLEWARE_NOT_LAST, {"MIDDLEWARE": [MIDDLEWARE[-1], *MIDDLEWARE[:-1]]}),
    (CheckId.UNKNOWN_KEY, {"ASYNC_EXCHANGE": exchange(DIALECT={})}),
    (CheckId.DIALECT_WRONG, dialects(nothing={})),
    (CheckId.DIALECT_WRONG, dialects(ours={"CLASS": "tests.nowhere.Nothing"})),
    (CheckId.DIALECT_WRONG, dialects(solitude={"CAPACITIES": 5})),
    (CheckId.DIALECTS_COLLIDE, dialects(again={"CLASS": "django_asyncexchange.dialects.solitude.Solitude"})),
    (CheckId.EXECUTOR_WRONG, {"ASYNC_EXCHANGE": exchange(EXECUTOR="tests.nowhere.Nothing")}),
    (CheckId.OWNER_WRONG, {"ASYNC_EXCHANGE": exchange(OWNER="tests.services.nobody")}),
    (CheckId.URLS_MISSING, {"ROOT_URLCONF": "tests.test_checks"}),
    (CheckId.STORAGE_MISSING, {"STORAGES": without(settings.STORAGES, "asyncexchange")}),
    (CheckId.STORAGE_PUBLIC, storage()),
    (CheckId.STORAGE_PUBLIC, storage(location=settings.MEDIA_ROOT)),
    (CheckId.CLUSTER_MISSING, {**queued(), "Q_CLUSTER": None}),
    (CheckId.CLUSTER_RETRY, {**queued(retry=330), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**queued(timeout=None), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**queued(timeout=300), **PERSISTENT}),
    (CheckId.CLUSTER_GUARD, {**queued(guard_cycle=0.3), **PERSISTENT}),
    (CheckId.CLUSTER_POOL, {**queued(), **databases(CONN_MAX_AGE=None, OPTIONS={"pool": True})}),
    (CheckId.CLUSTER_ACK, {**queued(ack_failures=False), **PERSISTENT}),
    (CheckId.CLUSTER_ACK, {**queued(max_attempts=0), **PERSISTENT}),
    (CheckId.CLUSTER_SAVES, {**queued(save_limit=250), **PERSISTENT}),
    (CheckId.CLUSTER_ALIAS, {**queued(orm="queue"), **PERSISTENT}),
    (CheckId.CONNECTIONS_REOPENED, queued()),
]

urlpatterns = []
"""This module as a URLconf has no task endpoints."""

# Nobody connects: the checks only read these settings.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")


def test_correct_settings_have_no_finding():
    assert found() == set()


def test_correct_settings_with_django_q2_have_no_finding():
    with override_settings(**queued(), **PERSISTENT):
        assert found() == set()


@pytest.mark.parametrize(("id", "wrong"), WRONG, ids=by_name)
def test_a_misconfiguration_is_named(id, wrong):
    with override_settings(**wrong):
        assert id in found()


@pytest.mark.parametrize(("id", "wrong"), WRONG, ids=by_name)
def test_a_misconfiguration_is_named_once_and_with_its_cure(id, wrong):
    with override_settings(**wrong):
        [message] = [message for message in checks.run_checks() if message.id == id]
    assert message.hint
    assert message.is_serious() == (".E" in id)


def test_a_cache_in_the_database_of_the_queue_is_named():
    caches = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}
    lite = databases(CONN_MAX_AGE=None, ENGINE="django.db.backends.sqlite3")
    with override_settings(CACHES=caches, **queued(), **lite):
        assert found() == {CheckId.CLUSTER_CACHE}


def test_without_django_q2_nobody_looks_at_its_settings():
    with override_settings(Q_CLUSTER={"guard_cycle": 0.3, "timeout": None}):
        assert found() == set()


def test_a_longer_run_limit_needs_a_longer_timeout():
    mounts = {**settings.ASYNC_EXCHANGE["DIALECTS"], "solitude": {"RUN_LIMIT": 3600}}
    with override_settings(
        ASYNC_EXCHANGE=exchange(EXECUTOR=DJANGO_Q, DIALECTS=mounts), Q_CLUSTER=settings.Q_CLUSTER, **PERSISTENT
    ):
        assert found() == {CheckId.CLUSTER_TIMEOUT}


def test_every_id_has_its_misconfiguration():
    elsewhere = {CheckId.CLUSTER_CACHE, CheckId.SQLITE_OLD}
    assert set(CheckId) - {id for id, _ in WRONG} == elsewhere


def test_an_id_is_used_once():
    assert len({id.value for id in CheckId.__members__.values()}) == len(CheckId.__members__)


@pytest.mark.parametrize(
    ("version", "is_mended"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_an_old_sqlite_is_known(version, is_mended):
    assert _is_mended(version) == is_mended


def test_an_old_sqlite_is_named_before_a_deployment_only():
    lite = databases(ENGINE="django.db.backends.sqlite3")
    with override_settings(**lite):
        named = {deploy: CheckId.SQLITE_OLD in found(deploy) for deploy in (False, True)}
    assert named == {False: False, True: not _is_mended(sqlite3.sqlite_version_info)}
