"""Where processes of one user on one machine leave things for each other that need not outlive a reboot."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def directory() -> Path:
    """A directory that nobody else can enter, made when it is missing. Raises OSError where its name is taken."""
    path = Path(tempfile.gettempdir()) / f"asyncexchange-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not ours alone")
    return path
