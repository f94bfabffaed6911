"""The supervisor and its command: real clusters on the test database, and the pauses between restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django_q.models import OrmQ

from django_asyncexchange.executors.django_q import supervisor
from django_asyncexchange.executors.django_q.supervisor import Supervisor
from django_asyncexchange.models import AsyncTask, Worker
from django_asyncexchange.protocol import process_id
from django_asyncexchange.protocol.states import Reason, State

from ...services import exchange, submitted, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

EXECUTOR = "django_asyncexchange.executors.django_q.DjangoQ"
WAKING = "django_asyncexchange.executors.django_q_broker.WakingBroker"
STARTING = 60
"""Seconds that two interpreters and a cluster may take to start on a busy machine."""
SETTINGS = """
from tests.settings import *

DATABASES["default"]["NAME"] = {name!r}
STORAGES["asyncexchange"]["OPTIONS"] = {{"location": {location!r}}}
ROOT_URLCONF = "tests.services"
Q_CLUSTER |= {{"workers": 1, "broker_class": {broker!r}, "ALT_CLUSTERS": {{"letters": {{}}}}}}
ASYNC_EXCHANGE = {{
    **ASYNC_EXCHANGE,
    "EXECUTOR": {executor!r},
    "SWEEP_SECONDS": 0.5,
    "REQUIRE_WORKER": True,
    "QUEUES": {queues!r},
    "DIALECTS": {{**ASYNC_EXCHANGE["DIALECTS"], "kladana": {{"PREFIX": "/kladana", "RUN_LIMIT": 2}}}},
}}
"""


@pytest.fixture(autouse=True)
def django_q():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=EXECUTOR)):
        yield


class Command:
    """``asyncexchange_worker`` in a project of its own, on the test database."""

    def __init__(self, home: Path, **queues: str) -> None:
        self.home = home
        name = str(connection.settings_dict["NAME"])
        text = SETTINGS.format(
            name=name, location=str(home / "bodies"), broker=WAKING, executor=EXECUTOR, queues=queues
        )
        (home / "worker_settings.py").write_text(text)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "worker_settings",
            "PYTHONPATH": os.pathsep.join([str(home), str(Path(__file__).parents[3])]),
            "TMPDIR": str(home),
        }
        self.words = [sys.executable, "-m", "django", "asyncexchange_worker"]

    @contextlib.contextmanager
    def running(self, *words: str):
        with (
            (self.home / "log").open("ab") as log,
            subprocess.Popen(
                [*self.words, *words], cwd=self.home, env=self.environment, stdout=log, stderr=log
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()  # its clusters notice and exit

    def is_well(self, *words: str) -> bool:
        done = subprocess.run(
            [*self.words, *words, "--check"], cwd=self.home, env=self.environment, capture_output=True
        )
        return done.returncode == 0

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()


def heads(pid: int) -> list[int]:
    """The children of ``pid`` that lead a process group; on Python 3.14, importing django-q2 starts another child."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [child for child in children if os.getpgid(child) == child]
    except OSError:
        return []


def group_of(head: int) -> list[int]:
    """The living processes in the process group of ``head``."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == head and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def named(pid: int) -> str:
    """The cluster name in the environment of ``pid``."""
    variables = dict(item.split("=", 1) for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in item)
    return variables.get("Q_CLUSTER_NAME", "")


def begun(dialect="moysklad"):
    """A call that a worker has started; it takes twenty seconds, or two in Kladana's dialect."""
    task = submitted(to="/waits/", dialect=dialect)
    until(lambda: AsyncTask.objects.filter(pk=task.pk, state=State.PROCESSING).exists(), STARTING)
    return task


# Real clusters --------------------------------------------------------------------------------------------------------


def test_each_queue_has_a_cluster_and_check_reports_them_healthy(tmp_path):
    command = Command(tmp_path, deliver="letters")
    with command.running() as process:
        found = until(lambda: len(found := heads(process.pid)) == 2 and found, STARTING)
        until(lambda: {named(head) for head in found} == {"", "letters"})  # heads start with their parent's environment
        until(command.is_well, STARTING)
        process.terminate()
        assert process.wait(STARTING) == 0
    assert [group_of(head) for head in found] == [[], []]


def test_one_queue_can_be_selected(tmp_path):
    command = Command(tmp_path, deliver="letters")
    with command.running("letters") as process:
        [head] = until(lambda: heads(process.pid), STARTING)
        until(lambda: command.is_well("letters"), STARTING)
        assert (named(head), heads(process.pid)) == ("letters", [head])
        assert not command.is_well()


def test_calls_may_end_within_the_grace_and_are_ended_after_it(tmp_path):
    command = Command(tmp_path)
    with command.running("--grace", "1") as process:
        task = begun()
        [head] = heads(process.pid)
        process.terminate()
        assert process.wait(STARTING) == 0
    assert group_of(head) == []
    assert "the calls that still run are ended" in command.log
    assert AsyncTask.objects.get(pk=task.pk).state == State.PROCESSING  # whoever sweeps next sees that it is lost


def test_second_signal_ends_it_at_once(tmp_path):
    command = Command(tmp_path)
    with command.running("--grace", "600") as process:
        task = begun()
        [head] = heads(process.pid)
        process.terminate()
        until(lambda: "pushing" in command.log and "stop" in command.log.lower())
        process.send_signal(signal.SIGINT)
        assert process.wait(STARTING) == 0
    assert group_of(head) == []
    assert AsyncTask.objects.get(pk=task.pk).state == State.PROCESSING


def test_running_call_finishes_within_the_grace_period(tmp_path):
    command = Command(tmp_path)
    with command.running() as process:
        begun("kladana")
        [head] = heads(process.pid)
        process.terminate()
        assert process.wait(STARTING) == 0
    assert AsyncTask.objects.values_list("state", "reason").get() == (State.ERROR, Reason.RUN_TIMEOUT)
    assert (OrmQ.objects.count(), group_of(head)) == (0, [])


def test_dead_cluster_is_restarted(tmp_path):
    command = Command(tmp_path)
    with command.running() as process:
        [head] = until(lambda: heads(process.pid), STARTING)
        until(command.is_well, STARTING)
        os.kill(head, signal.SIGKILL)
        [other] = until(lambda: (found := heads(process.pid)) and head not in found and found, STARTING)
        assert group_of(head) == []
        until(command.is_well, STARTING)
        assert heads(process.pid) == [other]
    assert "the cluster tests has died" in command.log


def test_clusters_announce_a_worker(tmp_path):
    with Command(tmp_path).running() as process:
        assert until(Worker.objects.first, STARTING).name == process_id.machine()
        process.terminate()
        process.wait(STARTING)


def test_killed_supervisor_leaves_no_process(tmp_path):
    command = Command(tmp_path)
    with command.running() as process:
        task = begun()
        [head] = heads(process.pid)
        process.kill()
        process.wait()
        until(lambda: not group_of(head))
    assert AsyncTask.objects.get(pk=task.pk).state == State.PROCESSING


# Without a supervisor -------------------------------------------------------------------------------------------------


def test_broker_without_a_guard_is_refused():
    with override_settings(Q_CLUSTER={"orm": "default"}), pytest.raises(CommandError) as refusal:
        call_command("asyncexchange_worker")
    assert WAKING in str(refusal.value)


def test_missing_broker_class_is_named():
    nowhere = override_settings(Q_CLUSTER={"broker_class": "tests.nowhere.Nothing"})
    with nowhere, pytest.raises(CommandError, match=r"tests\.nowhere"):
        call_command("asyncexchange_worker")


def test_missing_shared_memory_is_named_before_anything_starts(monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", refuse)
    guarded = override_settings(Q_CLUSTER={"orm": "default", "broker_class": WAKING})
    with guarded, pytest.raises(CommandError, match=r"Permission denied.*/dev/shm"):
        call_command("asyncexchange_worker")


@pytest.mark.parametrize("path", ["django_q.brokers.orm.ORM", "django_q.brokers.redis_broker.Redis"])
def test_brokers_of_django_q2_are_unguarded(path):
    with override_settings(Q_CLUSTER={"broker_class": path}):
        assert not supervisor.has_guarded_broker()


@pytest.mark.parametrize("path", [WAKING, "django_asyncexchange.executors.django_q_redis.WakingRedis"])
def test_our_brokers_are_guarded(path):
    with override_settings(Q_CLUSTER={"broker_class": path}):
        assert supervisor.has_guarded_broker()


class TestHeartbeat:
    @pytest.fixture(autouse=True)
    def scratch(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def check(self, *names):
        call_command("asyncexchange_worker", *names, "--check")

    def test_check_fails_without_a_supervisor(self):
        with pytest.raises(CommandError, match="No worker"):
            self.check()

    def test_supervisor_with_a_heartbeat_is_well(self):
        with supervisor.heartbeat(["tests"]) as beat:
            with pytest.raises(CommandError):
                self.check()
            beat()
            self.check()
        with pytest.raises(CommandError):
            self.check()

    def test_order_of_the_queues_does_not_matter(self):
        with supervisor.heartbeat(["one", "two"]) as beat:
            beat()
            self.check("two", "one")

    def test_old_heartbeat_does_not_count(self, monkeypatch):
        with supervisor.heartbeat(["tests"]) as beat:
            beat()
            monkeypatch.setattr(supervisor, "HEARTBEAT_SECONDS", 0)
            with pytest.raises(CommandError):
                self.check()

    def test_heartbeat_of_a_killed_supervisor_does_not_count(self):
        with subprocess.Popen([sys.executable, "-c", ""]) as dead:
            dead.wait()
        with supervisor.heartbeat(["tests"]) as beat:
            beat()
            supervisor._heartbeat_file(["tests"]).write_text(f"{process_id.machine()}/{dead.pid}/1")
            with pytest.raises(CommandError):
                self.check()


# Pauses between restarts ----------------------------------------------------------------------------------------------


class Double:
    """A cluster started at ``began``, in the state that a test sets."""

    is_dead = is_silent = is_well = is_stalled = is_drained = False
    deadline = None

    def __init__(self, began):
        self.queue, self.began, self.ended = "tests", began, False

    def kill(self):
        self.ended = True


class Clock:
    """A supervisor without processes and with a movable clock."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(supervisor.time, "monotonic", lambda: self.now)
        self.supervisor = Supervisor(["tests"], grace=1)

    def start(self):
        self.supervisor._clusters.append(one := Double(self.now))
        return one

    def look(self, one, **changes):
        """Set the cluster's state and let the supervisor look; whether it has ended the cluster."""
        for name, value in changes.items():
            setattr(one, name, value)
        self.supervisor._check(one)
        return one.ended

    def pause(self):
        return self.supervisor._due["tests"] - self.now


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_cluster_that_keeps_dying_is_restarted_after_increasing_pauses(clock):
    pauses = []
    for _ in range(7):
        clock.look(clock.start(), is_dead=True)
        pauses.append(clock.pause())
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_stable_cluster_is_restarted_at_once(clock):
    for lived, pause in (1, 1), (31, 0), (1, 1):
        one = clock.start()
        clock.now += lived
        assert clock.look(one, is_dead=True)
        assert clock.pause() == pause


def test_silent_cluster_is_killed(clock):
    one = clock.start()
    assert not clock.look(one)
    assert clock.look(one, is_silent=True)


def test_stalled_cluster_is_killed_when_no_call_runs_any_more(clock):
    one = clock.start()
    assert not clock.look(one, is_stalled=True)
    assert clock.supervisor._serving("tests") == []
    clock.now += 60
    assert not clock.look(one)
    assert clock.look(one, is_drained=True)
    assert clock.supervisor._due["tests"] == 0  # another is there already


def test_stalled_cluster_is_killed_after_the_longest_run(clock):
    one = clock.start()
    clock.look(one, is_stalled=True)
    clock.now += 300 + supervisor.STALLED_GRACE
    assert not clock.look(one)
    clock.now += 1
    assert clock.look(one)
