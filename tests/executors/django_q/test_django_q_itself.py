"""What we assume of django-q2, tested with the real package and a real cluster beside the tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.signing import dumps
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signing import PickleSerializer, SignedPackage

from django_asyncexchange.executors import ENTRY_POINTS
from django_asyncexchange.executors.django_q.executor import DjangoQ
from django_asyncexchange.executors.maintenance import LOOP
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import runner

from ...services import exchange, runs, soon, stored, submitted, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

EXECUTOR = "django_asyncexchange.executors.django_q.DjangoQ"
CREATE_GROUP = "django.contrib.auth.models.Group.objects.create"

SETTINGS = """
from tests.settings import *

DATABASES["default"]["NAME"] = {name!r}
STORAGES["asyncexchange"]["OPTIONS"] = {{"location": {location!r}}}
ROOT_URLCONF = "tests.services"
Q_CLUSTER["workers"] = 1
ASYNC_EXCHANGE = {{
    **ASYNC_EXCHANGE,
    "EXECUTOR": {executor!r},
    "PRUNE_SECONDS": 1,
    "SWEEP_SECONDS": 0.2,
    "DIALECTS": {{**ASYNC_EXCHANGE["DIALECTS"], "kladana": {{"PREFIX": "/kladana", "RUN_LIMIT": 0.5}}}},
}}
"""


@pytest.fixture(autouse=True)
def django_q():
    """Calls are dispatched through django-q2."""
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=EXECUTOR)):
        yield


@pytest.fixture(scope="module")
def cluster(django_db_setup, tmp_path_factory):
    """A ``qcluster`` with one worker on the test database; its process."""
    home = tmp_path_factory.mktemp("cluster")
    values = {"name": str(connection.settings_dict["NAME"]), "location": str(home / "bodies"), "executor": EXECUTOR}
    (home / "cluster_settings.py").write_text(SETTINGS.format(**values))
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "cluster_settings",
        "PYTHONPATH": os.pathsep.join([str(home), str(Path(__file__).parents[3])]),
        "TMPDIR": str(home),
    }
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "django", "qcluster"],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            until(lambda: process.poll() is not None or b"running" in (home / "log").read_bytes())
            assert process.poll() is None, (home / "log").read_text()
            yield process
        finally:
            # The whole process group, which is ours alone: workers outlive a parent that is stopped gently.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ended(task):
    """``task`` as soon as the cluster has finished it."""
    return until(lambda: AsyncTask.objects.finished().filter(pk=task.pk).first())


def acknowledged():
    """Wait until the cluster has deleted every message from the queue."""
    until(lambda: not OrmQ.objects.exists())


def enqueue(payload):
    OrmQ.objects.create(key=get_broker().list_key, payload=payload, lock=timezone.now())


def package_of(task_id):
    """The message for ``task_id`` as it would be queued, without queueing it."""
    with transaction.atomic():
        DjangoQ().send(str(task_id))
        payload = OrmQ.objects.latest("pk").payload
        transaction.set_rollback(True)
    return payload


def pid_of(task):
    return json.loads(bodies.read(task.response_body()))["pid"]


# Messages -------------------------------------------------------------------------------------------------------------


def test_entry_point_is_the_runner():
    assert import_string(ENTRY_POINTS["run"]) is runner.run


def test_maintenance_function_is_importable_by_its_name():
    assert import_string(LOOP) is runner.run_maintenance


def test_message_names_the_entry_point_and_one_id():
    id = str(uuid.uuid4())
    message = SignedPackage.loads(package_of(id))
    assert (message["func"], message["args"], message["kwargs"]) == (ENTRY_POINTS["run"], (id,), {})


def test_message_holds_nothing_of_the_call():
    with transaction.atomic():
        submitted([b"a secret body"], to="/ran/secret/")
        message = SignedPackage.loads(OrmQ.objects.get().payload)
        transaction.set_rollback(True)
    assert "secret" not in repr(message)
    assert message.keys() == {"id", "name", "func", "args", "save", "ack_failure", "kwargs", "started"}


def test_message_asks_for_no_result_and_no_retry():
    message = SignedPackage.loads(package_of("x"))
    assert (message["save"], message["ack_failure"]) == (False, True)


def test_message_is_transactional_when_the_broker_uses_our_database():
    assert Conf.ORM == "default"
    assert [DjangoQ().is_transactional(alias) for alias in ("default", "other")] == [True, False]


def test_row_and_message_are_rolled_back_together():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        submitted()
        assert (AsyncTask.objects.count(), OrmQ.objects.count()) == (1, 1)
        raise ZeroDivisionError
    assert (AsyncTask.objects.count(), OrmQ.objects.count()) == (0, 0)


def test_row_and_message_are_committed_together():
    task = submitted()
    [message] = OrmQ.objects.all()
    assert SignedPackage.loads(message.payload)["args"] == (str(task.pk),)
    message.delete()


def test_thread_has_one_broker():
    executor = DjangoQ()
    assert executor._broker("run") is executor._broker("deliver")


# A cluster ------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S004-8")
def test_submitted_task_runs_in_a_worker_process(cluster, client, admin_user):
    client.force_login(admin_user)
    accepted = client.post("/ran/", b"x", content_type="text/plain", headers={"Solitude-Async": "yes"})
    result = until(lambda: (answer := client.get(accepted.json()["result"])).status_code == 200 and answer.json())
    content = json.loads(result["content"])
    assert content["body"] == "x"
    assert content["pid"] not in (os.getpid(), cluster.pid)


@pytest.mark.usefixtures("cluster")
def test_no_result_row_is_left():
    ended(submitted())
    acknowledged()
    assert Task.objects.count() == 0


@pytest.mark.usefixtures("cluster")
def test_failed_run_is_no_failure_of_the_queue():
    assert ended(submitted(to="/raises/")).state == State.ERROR
    acknowledged()
    assert Task.objects.count() == 0


@pytest.mark.usefixtures("cluster")
def test_forged_message_is_dropped():
    def package(name):
        message = SignedPackage.loads(package_of("x"))
        return SignedPackage.dumps({**message, "func": CREATE_GROUP, "args": (), "kwargs": {"name": name}})

    forged = package("forged")
    enqueue(forged[:-1] + ("A" if forged[-1] != "A" else "B"))
    enqueue(dumps(SignedPackage.loads(forged), key="another key", salt=Conf.PREFIX, serializer=PickleSerializer))
    enqueue(package("real"))
    acknowledged()
    assert list(Group.objects.values_list("name", flat=True)) == ["real"]


@pytest.mark.usefixtures("cluster")
def test_repeated_message_does_not_run_the_task_again():
    task = stored()
    for _ in range(3):
        enqueue(package_of(task.pk))
    ended(task)
    acknowledged()
    enqueue(package_of(task.pk))
    acknowledged()
    assert (runs(), AsyncTask.objects.get().attempt, Task.objects.count()) == (1, 1, 0)


@pytest.mark.usefixtures("cluster")
def test_message_about_an_unknown_task_is_deleted():
    enqueue(package_of(uuid.uuid4()))
    enqueue(package_of("no id"))
    acknowledged()
    assert Task.objects.count() == 0


@pytest.mark.usefixtures("cluster")
def test_run_timeout_leaves_the_worker_process_alive():
    before = pid_of(ended(submitted()))
    task = ended(submitted(to="/waits/", dialect="kladana"))
    assert (task.state, task.reason) == (State.ERROR, "run_timeout")
    assert pid_of(ended(submitted())) == before


@pytest.mark.usefixtures("cluster")
@pytest.mark.seed("S002-64")
def test_run_in_another_process_can_be_cancelled():
    task = submitted(to="/waits/", dialect="kladana")
    until(lambda: AsyncTask.objects.filter(state=State.PROCESSING).exists())
    lifecycle.cancel(task)
    ended(submitted())
    assert AsyncTask.objects.get(pk=task.pk).state == State.CANCEL


@pytest.mark.usefixtures("cluster")
@pytest.mark.seed("S002-61")
def test_cluster_prunes_expired_tasks():
    stored(State.DONE, answer=b"{}", deletion_date=soon(days=-6), purge_date=soon(seconds=-1))
    until(lambda: not AsyncTask.objects.exists())
