"""The executors for Celery and Django Tasks: what they send, and what they run. Real workers: ``journeys``."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import celery as celery_package
import pytest
from celery import Celery, concurrency
from django.db import connection
from django.test import override_settings
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from django_asyncexchange import executors
from django_asyncexchange.executors import celery, django_tasks, maintenance
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import dispatch
from django_asyncexchange.webhooks import delivery
from django_asyncexchange.worker import runner

from ..journeys import cells
from ..services import exchange, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

CELERY = "django_asyncexchange.executors.celery.Celery"
TASKS = "django_asyncexchange.executors.django_tasks.DjangoTasks"
QUEUES = {"deliver": "letters"}


# All executors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [celery.perform, django_tasks.perform.func], ids=["Celery", "Tasks"])
def test_repeated_message_does_not_run_the_task_again(task, monkeypatch):
    monkeypatch.setattr(maintenance, "start", lambda: None)
    pending = stored()
    for _ in range(3):
        task("run", str(pending.pk))
    assert (runs(), AsyncTask.objects.get().attempt) == (1, 1)


def test_old_connection_is_closed_before_the_next_run():
    connection.ensure_connection()
    connection.close_at = 0
    executors.perform("run", str(uuid.uuid4()))
    assert connection.close_at != 0


def test_process_starts_one_maintenance_thread_and_a_fork_another(monkeypatch):
    begun = []
    monkeypatch.setattr(maintenance.threading, "Thread", lambda **given: begun.append(given) or threading.Event())
    monkeypatch.setattr(threading.Event, "start", lambda self: None, raising=False)
    monkeypatch.setattr(maintenance, "_pid", os.getppid())
    maintenance.start()
    maintenance.start()
    assert len(begun) == 1


# Names that queues and settings have stored ---------------------------------------------------------------------------


def test_queued_function_names_are_stable():
    assert executors.ENTRY_POINTS == {
        "run": "django_asyncexchange.worker.run",
        "deliver": "django_asyncexchange.delivery.run",
    }
    assert [import_string(name) for name in executors.ENTRY_POINTS.values()] == [runner.run, delivery.run]


@pytest.mark.parametrize(
    "name",
    [
        "executors.django_q.DjangoQ",
        "executors.celery.Celery",
        "executors.django_tasks.DjangoTasks",
        "executors.inline.Inline",
        "executors.django_q_broker.WakingBroker",
        "executors.django_q_redis.WakingRedis",
        "dialects.prefer.Prefer",
        "dialects.moysklad.MoySklad",
        "dialects.kladana.Kladana",
        "dialects.mailru.MailRu",
        "dialects.cisco.Cisco",
        "dialects.solitude.Solitude",
        "identity.snapshot_auth",
        "identity.restore_auth",
        "identity.owner_of",
        "identity.administers",
        "middleware.AsyncExchangeMiddleware",
    ],
)
def test_dotted_path_of_a_setting_is_importable(name):
    assert callable(import_string(f"django_asyncexchange.{name}"))


@pytest.mark.parametrize("name", ["celery.Celery", "django_q.DjangoQ", "inline.Inline"])
def test_executors_class_is_importable_before_the_apps_are_loaded(name):
    module, _, kind = name.partition(".")
    program = f"from django_asyncexchange.executors.{module} import {kind}"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=Path(__file__).parents[2], check=True)


# Celery ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def application(url, **settings):
    """The project's Celery application with the broker at ``url``."""
    before = celery_package.current_app._get_current_object()
    app = Celery("tests", broker=url, set_as_current=True)
    app.conf.update(settings)
    try:
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=CELERY, QUEUES=QUEUES)):
            yield app
    finally:
        app.close()
        before.set_current()


@pytest.fixture
def app():
    with application("memory://", broker_transport_options={"polling_interval": 0}) as app:
        yield app
        with app.connection() as connection:
            for name in "celery", "letters":
                connection.SimpleQueue(name).clear()


def taken(app, queue="celery"):
    """The next message of ``queue``."""
    with app.connection() as connection, contextlib.closing(connection.SimpleQueue(queue)) as messages:
        message = messages.get(block=False)
        message.ack()
        return message


def test_celery_message_has_the_job_and_one_id_and_ignores_the_result(app):
    task = submitted([b"a secret body"], to="/ran/secret/")
    message = taken(app)
    assert message.headers["task"] == "asyncexchange.perform"
    assert message.headers["ignore_result"] is True
    assert message.payload[:2] == [["run", str(task.pk)], {}]
    assert "secret" not in f"{message.headers} {message.payload}"


def test_celery_task_has_the_name_of_its_messages_and_acks_late(app):
    assert app.tasks["asyncexchange.perform"].run is celery.perform.run
    assert celery.perform.acks_late


def test_celery_sends_each_job_to_its_queue(app):
    executors.load().send("1", "deliver")
    assert taken(app, "letters").payload[0] == ["deliver", "1"]


def test_celery_is_not_transactional(app):
    executor = executors.load()
    assert not executor.is_transactional("default")
    submitted()
    assert executor.waiting() == 1


def test_celery_counts_the_messages_in_its_queue_of_runs(app):
    executor = executors.load()
    assert executor.waiting() == 0
    for job in "run", "run", "deliver":
        executor.send("1", job)
    assert executor.waiting() == 2


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"], ids=["Redis", "RabbitMQ"])
def test_celery_broker_outage_leaves_the_call_pending(url):
    with application(url):
        with pytest.raises(OperationalError):
            executors.load().send("1")
        assert executors.load().waiting() is None
        submitted()
    assert AsyncTask.objects.values_list("state", "sent").get() == (State.PENDING, None)


@pytest.mark.parametrize(("limit", "mistakes"), [(None, 0), (300, 1), (360, 0)])
def test_celery_time_limit_below_the_run_limit_fails_the_check(limit, mistakes):
    with application("memory://", task_time_limit=limit):
        assert len(list(executors.load().check())) == mistakes


@pytest.mark.service
@pytest.mark.parametrize("variable", list(cells.SERVERS))
def test_dropped_celery_connection_loses_no_message(variable):
    server, name = cells.address(variable), f"executors_{uuid.uuid4().hex[:12]}"
    options = {} if server.startswith("redis") else {"confirm_publish": True}
    with (
        cells.wired(server) as (url, wire),
        application(url, task_default_queue=name, broker_transport_options=options),
    ):
        try:
            executors.load().send("1")
            wire.cut()
            wire.mend()
            executors.load().send("2")
            assert executors.load().waiting() == 2
        finally:
            cells.clear(server, name)


@pytest.mark.parametrize(("pool", "keeps"), [("prefork", 0), ("threads", 1), ("solo", 1)])
def test_celery_main_process_does_maintenance_without_prefork(monkeypatch, pool, keeps):
    begun = []
    monkeypatch.setattr(maintenance, "start", lambda: begun.append(pool))
    consumer = type("Consumer", (), {"pool": concurrency.get_implementation(pool)(1)})
    begun.clear()  # a solo pool runs in the main process
    celery.worker_ready.send(sender=consumer())
    assert len(begun) == keeps


def test_celery_child_process_does_maintenance(monkeypatch):
    begun = []
    monkeypatch.setattr(maintenance, "start", lambda: begun.append(True))
    celery.worker_process_init.send(sender="worker@host")
    assert begun == [True]


# Django Tasks ---------------------------------------------------------------------------------------------------------

PACKAGE = django_tasks.task.__module__.rpartition(".")[0]
"""``django.tasks``, or the backport."""


@pytest.fixture
def kept(settings):
    """The messages that the dummy backend has kept."""
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=TASKS, QUEUES=QUEUES)
    settings.TASKS = {
        "default": {"BACKEND": f"{PACKAGE}.backends.dummy.DummyBackend", "QUEUES": ["default", "letters"]}
    }
    return django_tasks.perform.get_backend().results


def test_django_tasks_message_has_the_job_and_one_id(kept):
    task = submitted([b"a secret body"], to="/ran/secret/")
    [message] = kept
    assert (message.args, message.kwargs) == (["run", str(task.pk)], {})
    assert message.task.module_path == "django_asyncexchange.executors.django_tasks.perform"


def test_django_tasks_sends_each_job_to_its_queue(kept):
    executor = executors.load()
    executor.send("1", "deliver")
    executor.send("2")
    assert [message.task.queue_name for message in kept] == ["letters", "default"]


def test_unknown_backend_is_neither_transactional_nor_counted(kept):
    executor = executors.load()
    assert (executor.is_transactional("default"), executor.waiting()) == (False, None)


def test_known_queues_of_django_tasks_pass_the_check(kept):
    assert list(executors.load().check()) == []


def test_require_worker_with_django_tasks_fails_the_check(kept, settings):
    settings.ASYNC_EXCHANGE = exchange(REQUIRE_WORKER=True)
    [(wrong, hint)] = executors.load().check()
    assert "REQUIRE_WORKER" in wrong


def test_unknown_django_tasks_queue_leaves_the_call_pending(kept, settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=TASKS, QUEUES={"run": "nowhere"})
    submitted()
    assert AsyncTask.objects.values_list("state", "sent").get() == (State.PENDING, None)
    settings.ASYNC_EXCHANGE = exchange(QUEUES={})
    assert (dispatch.sweep(), len(kept)) == (1, 1)


def test_immediate_backend_does_no_maintenance(settings, monkeypatch):
    begun = []
    monkeypatch.setattr(maintenance, "start", lambda: begun.append(True))
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=TASKS)
    settings.TASKS = {"default": {"BACKEND": f"{PACKAGE}.backends.immediate.ImmediateBackend"}}
    submitted()
    assert (AsyncTask.objects.get().state, runs(), begun) == (State.DONE, 1, [])


def test_django_tasks_worker_does_maintenance(monkeypatch):
    begun = []
    monkeypatch.setattr(maintenance, "start", lambda: begun.append(True))
    django_tasks.perform.call("run", str(uuid.uuid4()))
    assert begun == [True]


IN_THE_DATABASE = """
import django
django.setup()
from django.core.management import call_command
from django.db import transaction
from django_asyncexchange import executors
from django_asyncexchange.models import AsyncTask
from django_tasks_db.models import DBTaskResult
from tests.services import submitted

call_command("migrate", run_syncdb=True, verbosity=0)
executor = executors.load()
assert executor.is_transactional("default") and not executor.is_transactional("other")
with transaction.atomic():
    submitted(dialect="prefer")
    assert (AsyncTask.objects.count(), DBTaskResult.objects.count()) == (1, 1)
    transaction.set_rollback(True)
assert (AsyncTask.objects.count(), DBTaskResult.objects.count()) == (0, 0)
task = submitted(dialect="prefer")
executor.send("1", "deliver")
messages = [row.args_kwargs["args"] for row in DBTaskResult.objects.order_by("enqueued_at")]
assert messages == [["run", str(task.pk)], ["deliver", "1"]]
assert executor.waiting() == 1
"""


def test_django_tasks_in_our_database_are_transactional(tmp_path):
    cast = cells.Cast(tmp_path, f"sqlite:///{tmp_path / 'db.sqlite3'}", cells.BROKERS["Django Tasks"], "tasks")
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_DATABASE],
        cwd=Path(__file__).parents[2],
        env=cast.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
