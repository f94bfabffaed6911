"""System checks: each misconfiguration has its id, correct settings have none."""

from __future__ import annotations

import copy
import sqlite3

import pytest
from boto3.s3.transfer import TransferConfig
from django.conf import settings
from django.core import checks
from django.test import override_settings

from django_asyncexchange.checks import CheckId
from django_asyncexchange.checks.databases import _is_fixed

from ..services import exchange

WAKING = "django_asyncexchange.executors.django_q_broker.WakingBroker"
REDIS = "django_asyncexchange.executors.django_q_redis.WakingRedis"
DJANGO_Q = "django_asyncexchange.executors.django_q.DjangoQ"
CELERY = "django_asyncexchange.executors.celery.Celery"
TASKS = "django_asyncexchange.executors.django_tasks.DjangoTasks"
MIDDLEWARE = settings.MIDDLEWARE
FILES = "django.core.files.storage.FileSystemStorage"


def found(deploy=False):
    """The ids of our messages."""
    messages = checks.run_checks(include_deployment_checks=deploy)
    return {message.id for message in messages if message.id.startswith("asyncexchange.")}


def queued(**changes):
    """Settings with django-q2 as executor and a changed ``Q_CLUSTER``; a None removes its key."""
    cluster = {**settings.Q_CLUSTER, "broker_class": WAKING, **changes}
    ready = {key: value for key, value in cluster.items() if value is not None}
    return {"ASYNC_EXCHANGE": exchange(EXECUTOR=DJANGO_Q), "Q_CLUSTER": ready}


def on_redis(**changes):
    return queued(**{"orm": None, "redis": {"host": "127.0.0.1"}, "broker_class": REDIS, **changes})


def in_queues(alternatives, **queues):
    return {
        **queued(ALT_CLUSTERS=alternatives),
        "ASYNC_EXCHANGE": exchange(EXECUTOR=DJANGO_Q, QUEUES=queues),
    }


def dialects(**mounts):
    return {"ASYNC_EXCHANGE": exchange(DIALECTS={**settings.ASYNC_EXCHANGE["DIALECTS"], **mounts})}


def storage(**options):
    ours = {"BACKEND": FILES, "OPTIONS": options}
    return {"STORAGES": {**settings.STORAGES, "asyncexchange": ours}}


def sent_by_server(*, backend="django_sendfile.backends.nginx", root="/srv/results", **options):
    given = {"SENDFILE_BACKEND": backend, "SENDFILE_ROOT": root, "ASYNC_EXCHANGE": exchange(SENDFILE=True)}
    return {**storage(**{"location": "/srv/results/a", **options}), **given}


def bucket(*, presigned=True, **options):
    ours = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {"transfer_config": TransferConfig(use_threads=False), **options},
    }
    changed = {"STORAGES": {**settings.STORAGES, "asyncexchange": ours}}
    return {**changed, "ASYNC_EXCHANGE": exchange(PRESIGNED=presigned)}


def databases(**options):
    changed = copy.deepcopy(settings.DATABASES)
    changed["default"].update(options)
    return {"DATABASES": changed}


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


LITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
PERSISTENT = databases(CONN_MAX_AGE=None)
"""Correct together with django-q2."""


def by_name(value):
    return value.name if isinstance(value, CheckId) else ""


WRONG = [
    (CheckId.MIDDLEWARE_MISSING, {"MIDDLEWARE": MIDDLEWARE[:-1]}),
    (CheckId.MIDDLEWARE_NOT_LAST, {"MIDDLEWARE": [MIDDLEWARE[-1], *MIDDLEWARE[:-1]]}),
    (CheckId.UNKNOWN_KEY, {"ASYNC_EXCHANGE": exchange(DIALECT={})}),
    (CheckId.VALUE_WRONG, {"ASYNC_EXCHANGE": exchange(INLINE_BYTES="64K")}),
    (CheckId.SETTING_MISNAMED, {"ASYNC_EXCHANGE_VIEWS": ["/*"]}),
    (CheckId.VIEW_UNKNOWN, {"ASYNC_EXCHANGE": exchange(VIEWS=["no-such-view"])}),
    (CheckId.MARK_UNHEARD, {"ROOT_URLCONF": "tests.checks.test_marks"}),
    (CheckId.STORAGE_WRONG, {"STORAGES": {**settings.STORAGES, "asyncexchange": {"BACKEND": "tests.nowhere.No"}}}),
    (CheckId.CLUSTER_WRONG, {**queued(retry="420"), **PERSISTENT}),
    (CheckId.DIALECT_WRONG, dialects(nothing={})),
    (CheckId.DIALECT_WRONG, dialects(ours={"CLASS": "tests.nowhere.Nothing"})),
    (CheckId.DIALECT_WRONG, dialects(solitude={"CAPACITIES": 5})),
    (CheckId.DIALECTS_COLLIDE, dialects(again={"CLASS": "django_asyncexchange.dialects.solitude.Solitude"})),
    (CheckId.EXECUTOR_WRONG, {"ASYNC_EXCHANGE": exchange(EXECUTOR="tests.nowhere.Nothing")}),
    (CheckId.EXECUTOR_MISCONFIGURED, {"ASYNC_EXCHANGE": exchange(EXECUTOR=TASKS, QUEUES={"run": "nowhere"})}),
    (CheckId.EXECUTOR_MISCONFIGURED, {"ASYNC_EXCHANGE": exchange(EXECUTOR=CELERY)}),
    (CheckId.OWNER_WRONG, {"ASYNC_EXCHANGE": exchange(OWNER="tests.services.nobody")}),
    (CheckId.URLS_MISSING, {"ROOT_URLCONF": "tests.checks.test_checks"}),
    (CheckId.STORAGE_MISSING, {"STORAGES": without(settings.STORAGES, "asyncexchange")}),
    (CheckId.STORAGE_PUBLIC, storage()),
    (CheckId.STORAGE_PUBLIC, storage(location=settings.MEDIA_ROOT)),
    (CheckId.STORAGE_THREADS, bucket(transfer_config=None)),
    (CheckId.STORAGE_THREADS, bucket(transfer_config=TransferConfig())),
    (CheckId.SENDFILE_WRONG, sent_by_server(backend=None)),
    (CheckId.SENDFILE_WRONG, sent_by_server(backend="django_sendfile.backends.simple")),
    (CheckId.SENDFILE_WRONG, sent_by_server(root=None)),
    (CheckId.SENDFILE_WRONG, sent_by_server(root="/srv/other")),
    (CheckId.SENDFILE_WRONG, {**bucket(), "ASYNC_EXCHANGE": exchange(SENDFILE=True)}),
    (CheckId.PRESIGNED_WRONG, {"ASYNC_EXCHANGE": exchange(PRESIGNED=True)}),
    (CheckId.PRESIGNED_WRONG, bucket(querystring_auth=False)),
    (CheckId.PRESIGNED_WRONG, bucket(custom_domain="cdn.example.com")),
    (CheckId.NETWORKS_OPEN, {"ASYNC_EXCHANGE": exchange(WEBHOOK_ALLOWED_NETWORKS=["10.0.0.0/8"])}),
    (CheckId.CLUSTER_MISSING, {**queued(), "Q_CLUSTER": None}),
    (CheckId.EXECUTOR_MISCONFIGURED, {**in_queues({}, run="calls"), **PERSISTENT}),
    (CheckId.EXECUTOR_MISCONFIGURED, {**queued(broker_class="tests.nowhere.Nothing"), **PERSISTENT}),
    (CheckId.EXECUTOR_MISCONFIGURED, {**queued(orm=None), **PERSISTENT}),
    (CheckId.EXECUTOR_MISCONFIGURED, {**on_redis(orm="default"), **PERSISTENT}),
    (CheckId.EXECUTOR_MISCONFIGURED, {**on_redis(redis={"socket_timeout": 0.5}), **PERSISTENT}),
    (CheckId.CLUSTER_UNGUARDED, {**queued(broker_class=None), **PERSISTENT}),
    (CheckId.CLUSTER_UNGUARDED, {**queued(broker_class="django_q.brokers.orm.ORM"), **PERSISTENT}),
    (CheckId.CLUSTER_SYNC, {**queued(sync=True), **PERSISTENT}),
    (CheckId.CLUSTER_NAMELESS, {**on_redis(name=None), **PERSISTENT}),
    (CheckId.CLUSTER_AHEAD, {**queued(queue_limit=50), **PERSISTENT}),
    (CheckId.CLUSTER_AHEAD, {**queued(bulk=50), **PERSISTENT}),
    (CheckId.CLUSTER_AHEAD, {**queued(workers=8, queue_limit=None), **PERSISTENT}),
    (CheckId.CLUSTER_RECYCLE, {**queued(recycle=10), **PERSISTENT}),
    (CheckId.CLUSTER_RECYCLE, {**queued(max_rss=300), **PERSISTENT}),
    (CheckId.CLUSTER_RETRY, {**queued(retry=330), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**queued(timeout=None), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**queued(timeout=300), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**queued(timeout=360.5), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**in_queues({"calls": {"timeout": 60}}, run="calls"), **PERSISTENT}),
    (CheckId.CLUSTER_TIMEOUT, {**in_queues({"hooks": {"timeout": 60}}, deliver="hooks"), **PERSISTENT}),
    (CheckId.CLUSTER_GUARD, {**queued(guard_cycle=0.3), **PERSISTENT}),
    (CheckId.CLUSTER_POOL, {**queued(), **databases(CONN_MAX_AGE=None, OPTIONS={"pool": True})}),
    (CheckId.CLUSTER_ACK, {**queued(ack_failures=False), **PERSISTENT}),
    (CheckId.CLUSTER_ACK, {**queued(max_attempts=0), **PERSISTENT}),
    (CheckId.CLUSTER_SAVES, {**queued(save_limit=250), **PERSISTENT}),
    (CheckId.CLUSTER_ALIAS, {**queued(orm="queue"), "DATABASES": {**PERSISTENT["DATABASES"], "queue": LITE}}),
    (CheckId.CONNECTIONS_REOPENED, {**queued(), **databases(ENGINE="django.db.backends.postgresql")}),
    (CheckId.CONNECTIONS_REOPENED, {**on_redis(), **databases(ENGINE="django.db.backends.postgresql")}),
    (CheckId.CONNECTIONS_REOPENED, queued(broker_class=None)),
]

urlpatterns = []
"""This module as a URLconf has no task endpoints."""

# Nobody connects: the checks only read these settings.
pytestmark = [
    pytest.mark.django_db,  # some checks of models query the database's features
    pytest.mark.filterwarnings("ignore:Overriding setting DATABASES"),
]


def test_correct_settings_pass():
    assert found() == set()


def test_correct_settings_with_django_q2_pass():
    with override_settings(**queued(), **PERSISTENT):
        assert found() == set()


@pytest.mark.parametrize(
    "right",
    [
        on_redis(),
        on_redis(redis="redis://127.0.0.1:6379/0"),
        in_queues({"letters": {"timeout": 90, "retry": 150}}, deliver="letters"),
        queued(workers=None, queue_limit=4),
    ],
    ids=["Redis", "Redis by URL", "queues", "a worker for each core"],
)
def test_other_correct_settings_with_django_q2_pass(right):
    with override_settings(**right, **PERSISTENT):
        assert found() == set()


def test_sqlite_may_be_reopened_for_each_call():
    lite = databases(CONN_MAX_AGE=0, ENGINE="django.db.backends.sqlite3")
    with override_settings(**queued(), **lite):
        assert found() == set()


def test_open_webhook_networks_pass_with_debug():
    with override_settings(DEBUG=True, ASYNC_EXCHANGE=exchange(WEBHOOK_ALLOWED_NETWORKS=["127.0.0.0/8"])):
        assert found() == set()


@pytest.mark.parametrize("right", [sent_by_server(), bucket(), bucket(transfer_config=None, use_threads=False)])
def test_correct_storage_settings_pass(right):
    with override_settings(**right):
        assert found() == set()


def test_sendfile_without_its_package_is_reported(monkeypatch):
    monkeypatch.setattr("django_asyncexchange.checks.storage.find_spec", lambda name: None)
    with override_settings(**sent_by_server()):
        assert found() == {CheckId.SENDFILE_WRONG}


@pytest.mark.parametrize(("id", "wrong"), WRONG, ids=by_name)
def test_misconfiguration_is_reported(id, wrong):
    with override_settings(**wrong):
        assert id in found(deploy=True)


@pytest.mark.parametrize(("id", "wrong"), WRONG, ids=by_name)
def test_misconfiguration_is_reported_once_with_a_hint(id, wrong):
    with override_settings(**wrong):
        named = checks.run_checks(include_deployment_checks=True)
    [message] = [message for message in named if message.id == id]
    assert message.hint
    assert message.is_serious() == (".E" in id)


def test_cache_in_the_database_of_the_queue_is_reported():
    caches = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}
    lite = databases(CONN_MAX_AGE=None, ENGINE="django.db.backends.sqlite3")
    with override_settings(CACHES=caches, **queued(), **lite):
        assert found() == {CheckId.CLUSTER_CACHE}


def test_q_cluster_is_not_checked_without_django_q2():
    with override_settings(Q_CLUSTER={"guard_cycle": 0.3, "timeout": None}):
        assert found() == set()


def test_longer_run_limit_needs_a_longer_timeout():
    mounts = {**settings.ASYNC_EXCHANGE["DIALECTS"], "solitude": {"RUN_LIMIT": 3600}}
    with override_settings(
        **{**queued(), "ASYNC_EXCHANGE": exchange(EXECUTOR=DJANGO_Q, DIALECTS=mounts)}, **PERSISTENT
    ):
        assert found() == {CheckId.CLUSTER_TIMEOUT}


def test_every_id_has_a_misconfiguration():
    elsewhere = {
        CheckId.CLUSTER_CACHE,
        CheckId.CLUSTER_CATCH_UP,
        CheckId.SQLITE_OLD,
        CheckId.SQLITE_UNSYNCED,
        CheckId.CONNECTIONS_PILE_UP,
        CheckId.CLUSTER_LOCKS,
        CheckId.USERS_ELSEWHERE,
    }
    assert set(CheckId) - {id for id, _ in WRONG} == elsewhere


def test_ids_are_unique():
    assert len({id.value for id in CheckId.__members__.values()}) == len(CheckId.__members__)


@pytest.mark.parametrize(
    ("version", "is_fixed"),
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
def test_unpatched_sqlite_versions(version, is_fixed):
    assert _is_fixed(version) == is_fixed


@pytest.mark.parametrize(
    ("id", "common"),
    [
        (CheckId.STORAGE_MISSING, {"STORAGES": without(settings.STORAGES, "asyncexchange")}),
        (CheckId.CONNECTIONS_REOPENED, {**queued(), **databases(ENGINE="django.db.backends.postgresql")}),
        (CheckId.STORAGE_THREADS, bucket(transfer_config=None)),
    ],
    ids=by_name,
)
def test_deployment_check_is_reported_with_deploy_only(id, common):
    with override_settings(**common):
        assert {deploy: id in found(deploy) for deploy in (False, True)} == {False: False, True: True}


def test_old_sqlite_is_reported_with_deploy_only():
    lite = databases(ENGINE="django.db.backends.sqlite3")
    with override_settings(**lite):
        named = {deploy: CheckId.SQLITE_OLD in found(deploy) for deploy in (False, True)}
    assert named == {False: False, True: not _is_fixed(sqlite3.sqlite_version_info)}


@pytest.mark.parametrize(
    ("command", "is_named"),
    [
        ("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", True),
        ("pragma synchronous (off)", True),
        ("PRAGMA synchronous = 1", True),
        ("PRAGMA synchronous=NORMAL; PRAGMA synchronous=FULL;", False),
        ("PRAGMA synchronous=EXTRA;", False),
        ("PRAGMA journal_mode=WAL;", False),
    ],
)
def test_sqlite_without_full_synchronous_is_reported_with_deploy_only(command, is_named):
    lite = databases(ENGINE="django.db.backends.sqlite3", OPTIONS={"init_command": command})
    with override_settings(**lite):
        named = {deploy: CheckId.SQLITE_UNSYNCED in found(deploy) for deploy in (False, True)}
    assert named == {False: False, True: is_named}


@pytest.mark.parametrize(
    ("changes", "is_named"),
    [
        ({"catch_up": True}, True),
        ({"catch_up": None}, True),
        ({"catch_up": None, "scheduler": False}, False),
        ({}, False),
    ],
)
def test_catch_up_is_reported_with_deploy_only(changes, is_named):
    with override_settings(**queued(**changes), **PERSISTENT):
        named = {deploy: CheckId.CLUSTER_CATCH_UP in found(deploy) for deploy in (False, True)}
    assert named == {False: False, True: is_named}


@pytest.mark.parametrize(
    ("asgi", "age", "is_named"),
    [("project.asgi.application", None, True), ("project.asgi.application", 0, False), (None, None, False)],
)
def test_persistent_connections_under_asgi_are_reported_with_deploy_only(asgi, age, is_named):
    changes = databases(ENGINE="django.db.backends.postgresql", CONN_MAX_AGE=age)
    with override_settings(ASGI_APPLICATION=asgi, **changes):
        named = {deploy: CheckId.CONNECTIONS_PILE_UP in found(deploy) for deploy in (False, True)}
    assert named == {False: False, True: is_named}


def no_semaphore(*args):
    raise FileNotFoundError(2, "No such file or directory")


def test_missing_shared_memory_is_reported_with_django_q2(monkeypatch):
    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", no_semaphore)
    assert found() == set()
    with override_settings(**queued(), **PERSISTENT):
        assert found() == {CheckId.CLUSTER_LOCKS}


class TasksApart:
    """A router with the tasks in a database of their own."""

    def db_for_read(self, model, **hints):
        return "tasks" if model._meta.app_label == "asyncexchange" else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "tasks") == (app_label == "asyncexchange")


class UsersToo(TasksApart):
    def allow_migrate(self, db, app_label, **hints):
        return app_label in ("auth", "contenttypes") or super().allow_migrate(db, app_label)


@pytest.mark.parametrize(("router", "is_named"), [(TasksApart, True), (UsersToo, False)])
def test_task_database_without_users_is_reported(router, is_named):
    with override_settings(DATABASE_ROUTERS=[router()]):
        assert [each.id for each in checks.run_checks() if each.id == CheckId.USERS_ELSEWHERE] == (
            [CheckId.USERS_ELSEWHERE] if is_named else []
        )
