"""Recovery: what dead workers and lost messages leave behind ends or runs again."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol import process_id, runtime_dir
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.store import bodies
from django_asyncexchange.store.values import Claim
from django_asyncexchange.tasks import cancel_file, dispatch, lifecycle, recovery, run_file
from django_asyncexchange.worker import handlers, runner, watchdog

from ..services import IDLE, PATIENCE, Idle, captured, exchange, runs, stored, submitted, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture(autouse=True)
def idle():
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield Idle.sent


def ago(**span):
    return timezone.now() - dt.timedelta(**span)


def running(method="GET", *, minutes=7, **fields):
    """A task started so many minutes ago; the run limit is five minutes."""
    from_then = {"started": ago(minutes=minutes), "sent": ago(minutes=minutes), **fields}
    return stored(State.PROCESSING, method=method, **from_then)


def fresh(task):
    task.refresh_from_db()
    return task


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_lost_run_of_a_safe_method_is_pending_again(method):
    task = running(method)
    assert recovery.recover()["again"] == 1
    assert (fresh(task).state, task.attempt, task.sent) == (State.PENDING, 1, None)


def test_lost_run_is_dispatched_again_after_a_pause(idle):
    task = running()
    recovery.recover()
    assert (dispatch.sweep(), runner.run(str(task.pk)), idle) == (0, None, [])
    assert fresh(task).state == State.PENDING
    AsyncTask.objects.update(not_before=ago(seconds=1))
    assert (dispatch.sweep(), idle) == (1, [str(task.pk)])
    runner.run(idle[0])
    assert (fresh(task).state, task.attempt, runs()) == (State.DONE, 2, 1)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_lost_run_of_an_unsafe_method_ends_as_lost(method):
    task = running(method)
    assert recovery.recover()["lost"] == 1
    assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)


def test_call_lost_three_times_ends_as_lost():
    task = running(attempt=3)
    recovery.recover()
    assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)


@pytest.mark.seed("S000-35")
def test_mailru_never_runs_a_lost_call_again():
    task = running(dialect="mailru")
    recovery.recover()
    assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)


@pytest.mark.parametrize("minutes", [0, 4, 5.5])
def test_run_within_its_limit_is_left_alone(minutes):
    task = running(minutes=minutes)
    assert recovery.recover() == {"again": 0, "lost": 0, "resent": 0}
    assert fresh(task).state == State.PROCESSING


def test_run_limit_of_the_mount_counts():
    given = {**exchange()["DIALECTS"], "moysklad": {"PREFIX": "/api/remap/1.2", "RUN_LIMIT": 3600}}
    task = running()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, DIALECTS=given)):
        recovery.recover()
    assert fresh(task).state == State.PROCESSING


def test_late_result_of_a_lost_run_is_dropped():
    late = AsyncTask.objects.get(pk=running().pk)
    recovery.recover()
    draft = bodies.write([b"late"], limit=100)
    assert not lifecycle.finish(Claim(task=late), status=200, reason_phrase="OK", headers=(), draft=draft)
    assert fresh(late).state == State.PENDING


def test_lost_run_frees_the_capacity_of_its_account():
    for _ in range(4):
        running("POST", account="one")
    recovery.recover()
    assert submitted(account="one").pk


def test_lost_message_is_sent_again(idle):
    task = stored(sent=ago(minutes=6))
    assert recovery.recover()["resent"] == 1
    dispatch.sweep()
    assert idle == [str(task.pk)]


def test_recent_message_is_not_sent_again(idle):
    stored(sent=ago(seconds=25))
    recovery.recover()
    assert (dispatch.sweep(), idle) == (0, [])


def test_sweep_command_prints_the_counts(capsys):
    running(), running("POST"), stored(sent=ago(minutes=6))
    call_command("asyncexchange_sweep")
    assert capsys.readouterr().out == "1 again, 1 lost, 1 resent, 1 sent, 0 reminded\n"


class TestLeases:
    def leased(self, method="GET", **span):
        return running(method, minutes=0, lease_until=timezone.now() + dt.timedelta(**span), worker="elsewhere//1/2")

    def test_run_with_an_expired_lease_is_lost(self):
        task = self.leased(seconds=-1)
        assert recovery.recover()["again"] == 1
        assert (fresh(task).lease_until, task.state) == (None, State.PENDING)

    def test_run_with_a_valid_lease_is_not_lost(self):
        task = self.leased(seconds=5)
        AsyncTask.objects.update(started=ago(days=1))
        recovery.recover()
        assert fresh(task).state == State.PROCESSING

    def test_run_of_a_dead_process_is_lost_at_once(self):
        task = self.leased("POST", hours=1)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            name = f"{process_id.me().rsplit('/', 2)[0]}/{child.pid}/{process_id._start(child.pid)}"
            AsyncTask.objects.filter(pk=task.pk).update(worker=name)
            recovery.recover()
            assert fresh(task).state == State.PROCESSING
            child.kill()
        assert recovery.recover()["lost"] == 1
        assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)

    def test_process_of_another_machine_is_never_considered_dead(self):
        assert not process_id.is_gone("elsewhere/boot/pid:[1]/1/1")
        assert not process_id.is_gone("")

    def test_reused_process_id_is_another_process(self):
        machine = process_id.me().rsplit("/", 2)[0]
        assert process_id.is_gone(f"{machine}/{os.getpid()}/1")
        assert not process_id.is_gone(process_id.me())

    def test_claim_records_the_worker_and_the_lease(self):
        claim = lifecycle.claim(stored().pk)
        assert (fresh(claim.task).worker, claim.task.lease_until > timezone.now()) == (process_id.me(), True)

    def test_repeatable_call_runs_again(self):
        task = running("POST", is_repeatable=True)
        assert recovery.recover()["again"] == 1
        assert fresh(task).state == State.PENDING


class TestAttempts:
    """A worker that was paused beyond its lease comes back to a call that was recovered meanwhile."""

    @pytest.fixture
    def late(self):
        """The call as that worker knows it; its next attempt has not begun."""
        late = AsyncTask.objects.get(pk=running().pk)
        assert recovery.recover()["again"] == 1
        return late

    @pytest.mark.parametrize(
        "end",
        [lifecycle.confirm_cancel, lambda late: lifecycle.fail(late, Reason.RUN_TIMEOUT), lifecycle.release],
        ids=["cancelled", "failed", "released"],
    )
    def test_late_attempt_ends_nothing(self, late, end):
        assert not end(Claim(task=late))
        assert (fresh(late).state, late.attempt) == (State.PENDING, 1)

    def test_next_attempt_runs(self, late):
        lifecycle.confirm_cancel(Claim(task=late))
        AsyncTask.objects.update(not_before=ago(seconds=1))
        runner.run(str(late.pk))
        assert (fresh(late).state, late.attempt) == (State.DONE, 2)


def alive(**span):
    """A run of a living process of this machine, whose lease ends then."""
    return running(minutes=1, worker=process_id.me(), lease_until=timezone.now() + dt.timedelta(**span))


class TestInterpretersThatAreHeld:
    """Code in C holds the GIL, so that no thread of the process can renew the lease."""

    @pytest.fixture(autouse=True)
    def leased(self, monkeypatch):
        monkeypatch.setattr(cancel_file, "is_used", lambda: False)

    def test_run_of_a_living_process_is_not_lost(self):
        task = alive(seconds=-5)
        assert recovery.recover()["again"] == 0
        assert fresh(task).state == State.PROCESSING

    def test_lease_is_renewed_by_the_sweep(self):
        task = alive(seconds=5)
        recovery.recover()
        assert fresh(task).lease_until > timezone.now() + dt.timedelta(seconds=20)

    def test_long_lease_is_left_unchanged(self):
        until = fresh(alive(seconds=29)).lease_until
        with CaptureQueriesContext(connection) as queries:
            recovery.recover()
        assert (len(queries), AsyncTask.objects.get().lease_until) == (2, until)

    def test_run_of_a_stopped_process_is_lost_with_its_lease(self):
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            os.kill(child.pid, signal.SIGSTOP)
            until(lambda: process_id._stat(child.pid)[0] == "T")
            machine = process_id.me().rsplit("/", 2)[0]
            alive(seconds=-5)
            AsyncTask.objects.update(worker=f"{machine}/{child.pid}/{process_id._start(child.pid)}")
            assert recovery.recover()["again"] == 1
            child.kill()

    def test_run_of_a_living_process_is_lost_after_its_limit(self):
        task = alive(seconds=-5)
        AsyncTask.objects.update(started=ago(minutes=7))
        assert recovery.recover()["again"] == 1
        assert fresh(task).state == State.PENDING


HELD = """
import sys
import django
django.setup()
from django.conf import settings
from django.db import connection
settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = sys.argv[2]
settings.ROOT_URLCONF = "tests.project.held"
settings.ASYNC_EXCHANGE["DIALECTS"]["cisco"] = {"PREFIX": "/unifiedconfig/config", "RUN_LIMIT": 0.2}
from django_asyncexchange.worker import handlers, runner, watchdog
from django.urls import resolve
resolve("/holds/")
handlers.handler()
watchdog.CEILING = 0.3
watchdog.mark_worker()
runner.run(sys.argv[1])
"""


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the child finds the test database by its file")
def test_run_killed_at_the_ceiling_has_timed_out_and_is_not_retried(caplog):
    task = stored(to="/holds/", dialect="cisco")
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(task.pk), str(connection.settings_dict["NAME"])],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=PATIENCE,
    )
    assert (done.returncode, fresh(task).state) == (1, State.PROCESSING)
    recovery.recover()
    assert (fresh(task).state, task.reason, task.attempt) == (State.ERROR, Reason.RUN_TIMEOUT, 1)
    assert "in holds" in caplog.text


def test_finished_run_leaves_no_trace_file(monkeypatch):
    monkeypatch.setattr(watchdog, "_worker", [os.getpid()])
    task = stored()
    runner.run(str(task.pk))
    assert fresh(task).state == State.DONE
    assert not list(runtime_dir.directory().glob(f"run-{task.pk}*"))


class TestBeginnings:
    """A worker may die after the claim and before the view: nothing has happened yet."""

    @pytest.fixture(autouse=True)
    def ours(self, monkeypatch):
        monkeypatch.setattr(watchdog, "_worker", [os.getpid()])

    def killed(self, monkeypatch, *, at):
        """A POST whose worker dies there: its trace file stays, and its process is gone."""

        def die(*args, **kwargs):
            raise MemoryError  # nothing after this is recorded either

        task = stored(to=captured(method="POST"))
        with monkeypatch.context() as patch:
            patch.setattr(*at, die)
            patch.setattr(lifecycle, "fail", die)
            patch.setattr(recovery, "handle_lost", die)
            patch.setattr(run_file, "_unlink", lambda path: None)
            runner.run(str(task.pk))
        machine = process_id.me().rsplit("/", 2)[0]
        AsyncTask.objects.update(worker=f"{machine}/{os.getpid()}/1")
        assert fresh(task).state == State.PROCESSING
        return task

    def test_call_that_never_began_is_pending_again(self, monkeypatch):
        task = self.killed(monkeypatch, at=(runner.run_request, "begin"))
        assert recovery.recover()["again"] == 1
        AsyncTask.objects.update(not_before=ago(seconds=1))
        runner.run(str(task.pk))
        assert (fresh(task).state, task.attempt, runs()) == (State.DONE, 2, 1)

    def test_call_that_had_begun_is_lost(self, monkeypatch):
        task = self.killed(monkeypatch, at=(handlers.Handler, "__call__"))
        assert recovery.recover()["lost"] == 1
        assert (fresh(task).state, task.reason) == (State.ERROR, Reason.LOST)

    def test_call_without_a_trace_file_is_lost(self, monkeypatch):
        monkeypatch.setattr(run_file, "_mark_started", lambda file, path: os.unlink(path))
        self.killed(monkeypatch, at=(handlers.Handler, "__call__"))
        assert recovery.recover()["lost"] == 1

    def test_call_of_a_living_process_that_has_not_begun_is_lost(self, monkeypatch):
        self.killed(monkeypatch, at=(runner.run_request, "begin"))
        AsyncTask.objects.update(worker=process_id.me(), started=ago(minutes=7), lease_until=ago(minutes=1))
        assert recovery.recover()["lost"] == 1

    def test_call_runs_without_a_directory_for_trace_files(self, monkeypatch):
        def refuse(name):
            raise PermissionError

        monkeypatch.setattr(runtime_dir, "file", refuse)
        task = stored()
        runner.run(str(task.pk))
        assert fresh(task).state == State.DONE

    def test_call_that_never_begins_is_lost_after_the_last_attempt(self, monkeypatch):
        task = self.killed(monkeypatch, at=(runner.run_request, "begin"))
        AsyncTask.objects.update(attempt=recovery.MIN_CLAIMS)
        os.rename(run_file._file(task), run_file._file(AsyncTask.objects.get()))
        assert recovery.recover()["lost"] == 1


def test_unclaimed_task_is_not_resent_where_workers_read_the_table(monkeypatch):
    monkeypatch.setattr(Idle, "reads_tasks", lambda self, queue="": True)
    task = stored(sent=ago(minutes=7))
    assert (recovery.recover()["resent"], fresh(task).sent is not None) == (0, True)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no locks of rows")
def test_locked_row_is_skipped():
    """The lock is not waited for: its holder is another session, which ends only after the sweep."""
    old = {"sent": ago(minutes=7)}
    held, others = [running(), stored(**old), stored()], [running(), stored(**old), stored()]
    holder = connections.create_connection("default")
    try:
        holder.set_autocommit(False)
        with holder.cursor() as cursor:
            for task in held:
                key = AsyncTask._meta.pk.get_db_prep_value(task.pk, holder)
                cursor.execute(f"SELECT id FROM {AsyncTask._meta.db_table} WHERE id = %s FOR UPDATE", [key])
        assert (recovery.recover(), dispatch.sweep()) == ({"again": 1, "lost": 0, "resent": 1}, 2)
    finally:
        holder.rollback()
        holder.close()
    assert [fresh(task).state for task in (held[0], others[0])] == [State.PROCESSING, State.PENDING]
    assert recovery.recover() == {"again": 1, "lost": 0, "resent": 1}


class Counting(Idle):
    """A queue that counts its waiting messages."""

    inside = 0

    def waiting(self):
        return self.inside


class TestBacklog:
    @pytest.fixture(autouse=True)
    def counted(self):
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=f"{__name__}.Counting")):
            yield

    @pytest.mark.parametrize(("inside", "resent"), [(0, 3), (1, 2), (3, 0), (9, 0)])
    def test_messages_still_in_the_queue_are_not_sent_again(self, monkeypatch, inside, resent):
        monkeypatch.setattr(Counting, "inside", inside)
        for minutes in (3, 2, 1):
            stored(sent=ago(minutes=minutes))
        assert recovery.recover()["resent"] == resent


def test_idle_sweep_takes_two_statements(django_assert_num_queries):
    stored(State.DONE)
    with django_assert_num_queries(2):
        recovery.recover()
