"""Wakeups: NOTIFY on PostgreSQL, or pipes beside the SQLite file or in a directory of this user.

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

from django_asyncexchange.executors import runtime_dir, wakeup

from ..services import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

PIPES = pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL passes the calls on itself")
NOTIFY = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL passes them on itself")
LITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="about the file of the database")
MOMENT = 0.1


@pytest.fixture(autouse=True)
def scratches(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def bell():
    bell = wakeup.bell("default", "calls")
    yield bell
    bell.close()


def pipes(queue="calls"):
    return list(wakeup._home("default").glob(f"{wakeup._label('default', queue)}-*"))


def test_one_that_rang_before_anybody_waited_is_heard(bell):
    wakeup.ring("default", "calls")
    assert bell.wait(PATIENCE)


def test_one_that_did_not_ring_is_waited_for_as_long_as_asked(bell):
    assert not bell.wait(MOMENT)


def test_it_rings_once(bell):
    wakeup.ring("default", "calls")
    assert [bell.wait(PATIENCE), bell.wait(MOMENT)] == [True, False]


def test_that_of_another_queue_is_not_heard(bell):
    wakeup.ring("default", "letters")
    assert not bell.wait(MOMENT)


def test_it_rings_with_the_commit_and_not_before(bell):
    with transaction.atomic():
        wakeup.ring("default", "calls")
        assert not bell.wait(MOMENT)
    assert bell.wait(PATIENCE)


def test_it_does_not_ring_for_what_was_rolled_back(bell):
    with transaction.atomic():
        wakeup.ring("default", "calls")
        transaction.set_rollback(True)
    assert not bell.wait(MOMENT)


def test_whoever_waits_is_woken(bell):
    other = wakeup.bell("default", "calls")
    wakeup.ring("default", "calls")
    assert (bell.wait(PATIENCE), other.wait(PATIENCE)) == (True, True)
    other.close()


@PIPES
class TestPipes:
    def test_one_that_was_closed_leaves_nothing_behind(self):
        wakeup.bell("default", "calls").close()
        assert pipes() == []

    def test_one_whose_process_has_died_is_swept_away(self, bell):
        dead = wakeup.bell("default", "calls")
        os.close(dead._end)
        assert len(pipes()) == 2
        wakeup.ring("default", "calls")
        assert pipes() == [bell._path]
        assert bell.wait(PATIENCE)

    def test_one_that_is_full_holds_nobody_up_and_rings(self, bell):
        both = {one._path: one for one in (bell, wakeup.bell("default", "calls"))}
        first, second = (both[path] for path in pipes())
        with pytest.raises(BlockingIOError):
            while True:
                os.write(first._end, b".")
        wakeup.ring("default", "calls")
        assert (first.wait(PATIENCE), second.wait(PATIENCE)) == (True, True)
        (second if first is bell else first).close()

    def test_it_has_its_name_only_when_it_can_be_rung(self, bell, monkeypatch):
        """Otherwise a notification in between would delete it."""

        def refuse(*args):
            raise OSError("no file is left to open")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="no file is left"):
            patch.setattr(wakeup.os, "open", refuse)
            wakeup.Pipe(wakeup._home("default"), wakeup._label("default", "calls"))
        assert pipes() == [bell._path]


@LITE
class TestHome:
    @pytest.fixture
    def file(self, tmp_path, monkeypatch):
        """A database file in a directory of its own."""
        home = tmp_path / "data"
        home.mkdir()
        monkeypatch.setitem(connection.settings_dict, "NAME", str(home / "db.sqlite3"))
        return home / "db.sqlite3"

    @pytest.mark.parametrize(("mode", "pipe"), [(0o700, 0o600), (0o770, 0o660), (0o755, 0o644)])
    def test_who_may_enter_the_directory_of_the_file_may_ring(self, file, mode, pipe):
        file.parent.chmod(mode)
        bell = wakeup.bell("default", "calls")
        home = file.with_name("db.sqlite3-wake")
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (home, *home.iterdir())]
        bell.close()
        assert modes == [mode, pipe]

    def test_a_database_in_memory_has_them_in_a_directory_of_this_users(self, monkeypatch, tmp_path):
        monkeypatch.setitem(connection.settings_dict, "NAME", ":memory:")
        bell = wakeup.bell("default", "calls")
        assert bell._path.parent == tmp_path / f"asyncexchange-{os.getuid()}"
        wakeup.ring("default", "calls")
        assert bell.wait(PATIENCE)
        bell.close()

    def test_where_there_is_no_room_for_pipes_it_is_silent(self, file):
        file.with_name("db.sqlite3-wake").write_text("something else")
        bell = wakeup.bell("default", "calls")
        wakeup.ring("default", "calls")
        assert not bell.wait(MOMENT)
        bell.close()


@NOTIFY
class TestNotification:
    def test_a_connection_that_is_gone_is_told(self, bell):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [bell._connection.connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            bell.wait(PATIENCE)

    def test_it_waits_on_a_connection_of_its_own(self, bell):
        assert bell._connection.connection is not connection.connection


class TestScratch:
    def test_nobody_else_may_enter_it(self):
        assert stat.S_IMODE(runtime_dir.directory().stat().st_mode) == 0o700
        assert runtime_dir.directory() == runtime_dir.directory()

    def test_one_that_others_may_enter_is_refused(self):
        runtime_dir.directory().chmod(0o755)
        with pytest.raises(PermissionError):
            runtime_dir.directory()

    def test_one_that_leads_elsewhere_is_refused(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        Path(tempfile.gettempdir(), f"asyncexchange-{os.getuid()}").symlink_to(elsewhere)
        with pytest.raises(PermissionError):
            runtime_dir.directory()
