"""Unique names for processes, by which other processes on the machine can check whether they are alive."""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
from pathlib import Path

PROC = Path("/proc")
STOPPED = frozenset({"T", "t", ""})
"""States of a process that does not run: stopped by a signal or a debugger, or gone."""


def me() -> str:
    """The name of this process: machine, boot, process namespace, id and start time. A fork has another name."""
    return _name(os.getpid())


@functools.lru_cache(maxsize=1)
def _name(pid: int) -> str:
    return f"{machine()}/{pid}/{_start(pid)}"


@functools.cache
def machine() -> str:
    """The name of this machine since its boot, and of the container's process namespace."""
    boot = _read(PROC / "sys/kernel/random/boot_id")
    try:
        namespace = os.readlink(PROC / "self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()[:100]}/{boot}/{namespace}"


def is_gone(name: str) -> bool:
    """Whether the process called ``name`` is dead; False where this machine cannot know."""
    return _lives(name) is False


def is_at_work(name: str) -> bool:
    """Whether the process called ``name`` is alive and not stopped; False where this machine cannot know."""
    return _lives(name) is True and _stat(_pid(name))[0] not in STOPPED


def _lives(name: str) -> bool | None:
    pid, start = _pid(name), name.rpartition("/")[2]
    if not pid or not start or name != f"{machine()}/{pid}/{start}":
        return None
    return _start(pid) == start


def _pid(name: str) -> int:
    """The process id in ``name``; 0 where there is none."""
    pid = name.rpartition("/")[0].rpartition("/")[2]
    return int(pid) if pid.isdigit() else 0


def _start(pid: int) -> str:
    """When ``pid`` started, in clock ticks since boot, because ids are reused; ``""`` = there is no such process.

    A zombie counts as dead.
    """
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on (proc_pid_stat(5)); ``[""]`` where there is no process."""
    return _read(PROC / str(pid) / "stat").rpartition(")")[2].split() or [""]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def without_locks() -> str:
    """Why processes of this machine cannot share locks, which need a writable ``/dev/shm``; ``""`` where they can."""
    try:
        multiprocessing.get_context("fork").Lock()
    except (ImportError, OSError) as error:
        return str(error)
    return ""
