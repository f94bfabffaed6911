"""Names for processes, by which it can be seen on their own machine whether they still live."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

PROC = Path("/proc")


def me() -> str:
    """This process: machine, boot, process namespace, id and moment of its start. Not the same after a fork."""
    return _name(os.getpid())


@functools.lru_cache(maxsize=1)
def _name(pid: int) -> str:
    return f"{machine()}/{pid}/{_start(pid)}"


@functools.cache
def machine() -> str:
    """This machine, since it was booted, as processes in this container see it."""
    boot = _read(PROC / "sys/kernel/random/boot_id")
    try:
        namespace = os.readlink(PROC / "self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()[:100]}/{boot}/{namespace}"


def is_gone(name: str) -> bool:
    """Whether the process called ``name`` is known to be dead; False where this machine cannot know."""
    return _lives(name) is False


def is_alive(name: str) -> bool:
    """Whether the process called ``name`` is known to live; False where this machine cannot know."""
    return _lives(name) is True


def _lives(name: str) -> bool | None:
    home, _, rest = name.rpartition("/")
    home, _, pid = home.rpartition("/")
    if home != machine() or not pid.isdigit() or not rest:
        return None
    return _start(int(pid)) == rest


def _start(pid: int) -> str:
    """When ``pid`` started, in the kernel's ticks: an id is used again, with its moment never. ``""`` = there is none.

    A zombie counts as dead: it runs nothing any more.
    """
    fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
