"""Notifications of a database queue: PostgreSQL's NOTIFY, or pipes beside the SQLite file or in the runtime directory.

The tests run on the database of the test run; ``test_databases`` runs them again on PostgreSQL and on MariaDB.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction

from django_asyncexchange.executors import wakeup
from django_asyncexchange.protocol import runtime_dir

from ..services import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

PIPES = pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL has NOTIFY")
NOTIFY = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has NOTIFY")
LITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="about the file of the database")
MOMENT = 0.1


@pytest.fixture(autouse=True)
def _own_runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def listener():
    listener = wakeup.listen("default", "calls")
    yield listener
    listener.close()


def pipes(queue="calls"):
    return list(wakeup._pipe_directory("default").glob(f"{wakeup._label('default', queue)}-*"))


def test_notification_before_the_wait_is_received(listener):
    wakeup.notify("default", "calls")
    assert listener.wait(PATIENCE)


def test_wait_without_a_notification_times_out(listener):
    assert not listener.wait(MOMENT)


def test_notification_is_received_once(listener):
    wakeup.notify("default", "calls")
    assert [listener.wait(PATIENCE), listener.wait(MOMENT)] == [True, False]


def test_notification_of_another_queue_is_not_received(listener):
    wakeup.notify("default", "letters")
    assert not listener.wait(MOMENT)


def test_notification_is_sent_by_the_commit(listener):
    with transaction.atomic():
        wakeup.notify("default", "calls")
        assert not listener.wait(MOMENT)
    assert listener.wait(PATIENCE)


def test_rollback_sends_no_notification(listener):
    with transaction.atomic():
        wakeup.notify("default", "calls")
        transaction.set_rollback(True)
    assert not listener.wait(MOMENT)


def test_every_listener_is_notified(listener):
    other = wakeup.listen("default", "calls")
    wakeup.notify("default", "calls")
    assert (listener.wait(PATIENCE), other.wait(PATIENCE)) == (True, True)
    other.close()


@PIPES
class TestPipes:
    def test_closed_listener_removes_its_pipe(self):
        wakeup.listen("default", "calls").close()
        assert pipes() == []

    def test_pipe_of_a_dead_process_is_removed(self, listener):
        dead = wakeup.listen("default", "calls")
        os.close(dead._fd)
        assert len(pipes()) == 2
        wakeup.notify("default", "calls")
        assert pipes() == [listener._path]
        assert listener.wait(PATIENCE)

    def test_full_pipe_blocks_nobody(self, listener):
        both = {one._path: one for one in (listener, wakeup.listen("default", "calls"))}
        first, second = (both[path] for path in pipes())
        with pytest.raises(BlockingIOError):
            while True:
                os.write(first._fd, b".")
        wakeup.notify("default", "calls")
        assert (first.wait(PATIENCE), second.wait(PATIENCE)) == (True, True)
        (second if first is listener else first).close()

    def test_pipe_gets_its_name_when_it_has_a_reader(self, listener, monkeypatch):
        """Otherwise a notification in between would remove it."""

        def refuse(*args):
            raise OSError("no file is left to open")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="no file is left"):
            patch.setattr(wakeup.os, "open", refuse)
            wakeup.PipeListener(wakeup._pipe_directory("default"), wakeup._label("default", "calls"))
        assert pipes() == [listener._path]


@LITE
class TestPipeDirectory:
    @pytest.fixture
    def file(self, tmp_path, monkeypatch):
        """The database lies somewhere else."""
        directory = tmp_path / "data"
        directory.mkdir()
        monkeypatch.setitem(connection.settings_dict, "NAME", str(directory / "db.sqlite3"))
        return directory / "db.sqlite3"

    @pytest.mark.parametrize(("mode", "pipe"), [(0o700, 0o600), (0o770, 0o660), (0o755, 0o644)])
    def test_pipe_is_writable_for_whoever_may_enter_the_directory_of_the_file(self, file, mode, pipe):
        file.parent.chmod(mode)
        listener = wakeup.listen("default", "calls")
        directory = file.with_name("db.sqlite3-wake")
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())]
        listener.close()
        assert modes == [mode, pipe]

    def test_database_in_memory_uses_the_runtime_directory(self, monkeypatch, tmp_path):
        monkeypatch.setitem(connection.settings_dict, "NAME", ":memory:")
        listener = wakeup.listen("default", "calls")
        assert listener._path.parent == tmp_path / f"asyncexchange-{os.getuid()}"
        wakeup.notify("default", "calls")
        assert listener.wait(PATIENCE)
        listener.close()

    def test_listener_without_a_directory_times_out(self, file):
        file.with_name("db.sqlite3-wake").write_text("something else")
        listener = wakeup.listen("default", "calls")
        wakeup.notify("default", "calls")
        assert not listener.wait(MOMENT)
        listener.close()


@NOTIFY
class TestNotification:
    def test_lost_connection_raises(self, listener):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [listener._connection.connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            listener.wait(PATIENCE)

    def test_listener_has_a_connection_of_its_own(self, listener):
        assert listener._connection.connection is not connection.connection


class TestRuntimeDirectory:
    def test_only_its_user_may_enter(self):
        assert stat.S_IMODE(runtime_dir.directory().stat().st_mode) == 0o700
        assert runtime_dir.directory() == runtime_dir.directory()

    def test_directory_that_others_may_enter_is_refused(self):
        runtime_dir.directory().chmod(0o755)
        with pytest.raises(PermissionError):
            runtime_dir.directory()

    def test_symbolic_link_is_refused(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        Path(tempfile.gettempdir(), f"asyncexchange-{os.getuid()}").symlink_to(elsewhere)
        with pytest.raises(PermissionError):
            runtime_dir.directory()
