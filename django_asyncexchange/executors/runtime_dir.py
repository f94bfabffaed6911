"""The directory in which processes of one user on one machine share files that need not survive a reboot."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def directory() -> Path:
    """The directory, made if missing; only this user can enter it. Raises OSError if another one has its name."""
    path = Path(tempfile.gettempdir()) / f"asyncexchange-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} can be entered by other users")
    return path
