"""Transient database errors are retried, others are raised."""

from __future__ import annotations

import signal
import sqlite3
import threading
from concurrent.futures import Future

import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection, transaction

from django_asyncexchange.store import db_retry

from ..services import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


class Work:
    """Raises each of ``errors`` in turn, and then returns."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self):
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(db_retry, "PAUSE", 0.01)


@pytest.mark.parametrize("error", [OperationalError("broken"), InterfaceError("closed")])
def test_work_on_a_broken_connection_is_retried_on_another(error):
    assert db_retry.retry_while_unavailable(Work(error), PATIENCE) == "done"


def test_permanent_error_is_raised_after_the_last_retry():
    errors = [OperationalError(f"the packet is too large ({number})") for number in range(9)]
    with pytest.raises(OperationalError, match=str(db_retry.RETRIES_WHILE_UP)):
        db_retry.retry_while_unavailable(Work(*errors), PATIENCE)


@pytest.mark.parametrize("error", [IntegrityError, DataError, RuntimeError])
def test_error_that_is_not_transient_is_raised_at_once(error):
    work = Work(error("wrong"), error("again"))
    with pytest.raises(error, match="wrong"):
        db_retry.retry_while_unavailable(work, PATIENCE)


def test_error_inside_the_callers_transaction_is_not_retried():
    with transaction.atomic(), pytest.raises(OperationalError):
        db_retry.retry_while_unavailable(Work(OperationalError("broken")), PATIENCE)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="another process's lock on the file")
def test_locked_sqlite_database_is_retried():
    with sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        tries = []

        def write():
            tries.append(1)
            if len(tries) == db_retry.RETRIES_WHILE_UP + 3:
                other.execute("ROLLBACK")
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 10")
                cursor.execute("CREATE TABLE IF NOT EXISTS held (n)")
                cursor.execute("DROP TABLE held")
            return "written"

        assert db_retry.retry_while_unavailable(write, PATIENCE) == "written"
    other.close()


def test_retries_end_after_the_patience(monkeypatch):
    monkeypatch.setattr(db_retry, "_is_unavailable", lambda connection: True)
    with pytest.raises(OperationalError):
        db_retry.retry_while_unavailable(Work(*[OperationalError("away")] * 999), 0.05)


def test_unreachable_database_is_retried(monkeypatch):
    away = threading.Semaphore(db_retry.RETRIES_WHILE_UP + 5)
    monkeypatch.setattr(db_retry, "_is_unavailable", lambda connection: away.acquire(blocking=False))
    assert (
        db_retry.retry_while_unavailable(Work(*[OperationalError("away")] * (db_retry.RETRIES_WHILE_UP + 5)), PATIENCE)
        == "done"
    )


# In another thread ----------------------------------------------------------------------------------------------------


def test_retry_in_another_thread_keeps_this_threads_connection():
    connection.ensure_connection()
    mine = connection.connection
    assert db_retry.retry_in_thread(Work(OperationalError("broken")), PATIENCE) == "done"
    assert connection.connection is mine
    assert connection.is_usable()


def test_error_in_another_thread_is_raised_here():
    with pytest.raises(RuntimeError, match="wrong"):
        db_retry.retry_in_thread(Work(RuntimeError("wrong")), PATIENCE)


def test_interruption_does_not_wait_for_the_other_thread(monkeypatch):
    waiting, interrupted, quiet, released, over = (threading.Event() for _ in range(5))
    result = Future.result
    monkeypatch.setattr(Future, "result", lambda self: waiting.set() or result(self))

    def work():
        assert waiting.wait(PATIENCE)
        while not interrupted.wait(0.05):  # repeated, as the watchdog does: one signal may come a moment too early
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        quiet.set()
        released.wait(PATIENCE)
        over.set()

    def interrupt(*_):
        if not interrupted.is_set():
            interrupted.set()
            raise InterruptedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(InterruptedError):
            db_retry.retry_in_thread(work, PATIENCE)
    finally:
        assert quiet.wait(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
    assert not over.is_set()
    released.set()
    assert over.wait(PATIENCE)


# Deadlocks ------------------------------------------------------------------------------------------------------------


def deadlock():
    """MySQL's error."""
    error = OperationalError("Deadlock found")
    error.__cause__ = Exception(1213, "Deadlock found")
    return error


def test_deadlocked_transaction_is_retried():
    assert db_retry.retry_deadlocks(Work(*[deadlock() for _ in range(db_retry.DEADLOCK_ATTEMPTS - 1)]))() == "done"


@pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
def test_deadlock_is_detected_with_psycopg_2_and_3(name):
    error = OperationalError("deadlock detected")
    error.__cause__ = Exception("deadlock detected")
    setattr(error.__cause__, name, "40P01")
    assert db_retry.retry_deadlocks(Work(error))() == "done"


def test_permanent_deadlock_is_raised_after_the_last_retry():
    work = Work(*[deadlock() for _ in range(db_retry.DEADLOCK_ATTEMPTS + 1)])
    with pytest.raises(OperationalError, match="Deadlock"):
        db_retry.retry_deadlocks(work)()
    assert len(work.errors) == 1


def test_other_error_of_a_transaction_is_raised_at_once():
    work = Work(OperationalError("broken"), OperationalError("again"))
    with pytest.raises(OperationalError, match="broken"):
        db_retry.retry_deadlocks(work)()


def test_deadlock_inside_the_callers_transaction_is_raised():
    with transaction.atomic(), pytest.raises(OperationalError, match="Deadlock"):
        db_retry.retry_deadlocks(Work(deadlock()))()
