"""On SQLite the workers of one machine write one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from django_asyncexchange.protocol import runtime_dir
from django_asyncexchange.store import lock_file

pytestmark = pytest.mark.django_db(transaction=True)

SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="the lock file is for SQLite")

HOLDER = """
import sys
from types import SimpleNamespace
from django_asyncexchange.store import lock_file

database = SimpleNamespace(
    vendor="sqlite", in_atomic_block=False, is_in_memory_db=lambda: False, settings_dict={"NAME": sys.argv[1]}
)
lock_file.connections = {"default": database}
print("ready", flush=True)
for line in sys.stdin:
    with lock_file.held("default"):
        print("in", flush=True)
        sys.stdin.readline()
    print("out", flush=True)
"""
"""A process that locks the file of a database at a line of input, and releases it at the next."""
TAKER = """
import os
import sys
from types import SimpleNamespace
from django_asyncexchange.store import lock_file

database = SimpleNamespace(
    vendor="sqlite", in_atomic_block=False, is_in_memory_db=lambda: False, settings_dict={"NAME": sys.argv[1]}
)
lock_file.connections, lock_file.PATIENCE = {"default": database}, 600
for _ in range(200):
    with lock_file.held("default"):
        os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))  # fails while another process is here
        os.unlink(sys.argv[2])
"""
"""A process that locks the file many times, and fails if another one has it, too."""


@contextmanager
def process(code: str, *arguments: object, **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, cwd=root, text=True, **pipes) as started:
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the file of the test's database."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with process(HOLDER, connection.settings_dict["NAME"], **pipes) as other:
        assert other.stdout is not None and other.stdout.readline() == "ready\n"
        say(other)
        assert other.stdout.readline() == "in\n"
        yield other


def say(other: subprocess.Popen[str]) -> None:
    assert other.stdin is not None
    other.stdin.write("\n")
    other.stdin.flush()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens at each look that finds the file locked: functions, called once each."""
    steps: list[Any] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if steps:
            steps.pop(0)()

    waited: list[float] = []
    monkeypatch.setattr(lock_file, "PATIENCE", 600)
    monkeypatch.setattr(lock_file.time, "sleep", sleep)
    return steps


@SQLITE
def test_processes_never_hold_the_file_together(tmp_path: Path):
    with ExitStack() as stack:
        takers = [stack.enter_context(process(TAKER, "a.sqlite3", tmp_path / "in")) for _ in range(3)]
        assert [taker.wait() for taker in takers] == [0, 0, 0]


@SQLITE
def test_wait_ends_when_another_process_releases_the_file(waits: list[Any]):
    with holder() as other:
        assert other.stdout is not None
        waits.append(lambda: (say(other), other.stdout.readline()))
        with lock_file.held("default"):
            assert waits == []  # it had to wait, until the other one was told to end


@SQLITE
def test_killed_process_releases_the_file(waits: list[Any]):
    with holder() as other:
        waits.append(lambda: (os.kill(other.pid, signal.SIGKILL), other.wait()))
        with lock_file.held("default"):
            assert waits == []


@SQLITE
def test_worker_that_waits_too_long_goes_on(monkeypatch: pytest.MonkeyPatch):
    looks = iter(range(10**9))
    monkeypatch.setattr(lock_file.time, "monotonic", lambda: next(looks))
    monkeypatch.setattr(lock_file.time, "sleep", lambda seconds: None)
    with holder() as other, lock_file.held("default"):
        assert other.poll() is None
    assert next(looks) > lock_file.PATIENCE


@SQLITE
def test_file_of_another_database_is_free(waits: list[Any], monkeypatch: pytest.MonkeyPatch):
    with holder():
        waits.append(lambda: pytest.fail("it waited"))
        monkeypatch.setitem(connection.settings_dict, "NAME", "another.sqlite3")
        with lock_file.held("default"):
            pass


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were opened."""
    names: list[str] = []
    monkeypatch.setattr(runtime_dir, "file", lambda name: names.append(name) or "/nowhere/at/all")
    return names


@SQLITE
def test_each_database_has_a_file(opened: list[str]):
    with lock_file.held("default"):
        assert len(opened) == 1


@pytest.mark.skipif(connection.vendor == "sqlite", reason="other databases")
def test_other_databases_have_no_file(opened: list[str]):
    with lock_file.held("default"):
        assert opened == []


@SQLITE
def test_database_in_memory_has_no_file(opened: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(connection._connections["default"]), "is_in_memory_db", lambda self: True)
    with lock_file.held("default"):
        assert opened == []


@SQLITE
def test_transaction_that_has_begun_does_not_wait(opened: list[str]):
    """It may have the write lock, for which the holder of the file waits."""
    with transaction.atomic(), lock_file.held("default"):
        assert opened == []


@SQLITE
@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_worker_goes_on_without_a_directory_for_the_lock(monkeypatch: pytest.MonkeyPatch, error: type[OSError]):
    def refuse(name: str) -> str:
        raise error

    monkeypatch.setattr(runtime_dir, "file", refuse)
    with lock_file.held("default"):
        pass


@SQLITE
def test_error_in_the_block_releases_the_file_and_is_raised(waits: list[Any]):
    waits.append(lambda: pytest.fail("it waited"))
    with pytest.raises(OSError, match="disk full"), lock_file.held("default"):
        raise OSError("disk full")
    with lock_file.held("default"):
        pass
