"""The directory in which processes of one user on one machine share files that need not survive a reboot."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def directory() -> Path:
    """The directory, made if missing; only this user can enter it. Raises OSError if another one has its name."""
    return Path(file(""))


def file(name: str) -> str:
    """The path of the file ``name`` in it."""
    path = f"{tempfile.gettempdir()}/asyncexchange-{os.getuid()}"
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        Path(path).mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} can be entered by other users")
    return f"{path}/{name}"
