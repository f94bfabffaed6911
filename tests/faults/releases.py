"""The last release of this app, to run beside this tree."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ..journeys.cells import ROOT

NEW_IN_THIS_RELEASE = "django_asyncexchange/migrations/0007_ready.py"
"""The last release is the commit before this file."""


def unpack_last(home: Path) -> str:
    """A PYTHONPATH on which the app is the last release, and all else this tree."""
    added = git("log", "-1", "--format=%H", "--diff-filter=A", "--", NEW_IN_THIS_RELEASE).decode().strip()
    if not added:
        pytest.skip("The last release is not in this clone, which has no history")
    with tarfile.open(fileobj=io.BytesIO(git("archive", f"{added}^", "django_asyncexchange"))) as files:
        files.extractall(home, filter="data")
    path = f"{home}:{ROOT}"
    words = [sys.executable, "-P", "-c", "import django_asyncexchange as app; print(app.__file__)"]
    where = subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, check=True, stdout=subprocess.PIPE, text=True)
    assert Path(where.stdout).is_relative_to(home)
    assert not (home / NEW_IN_THIS_RELEASE).exists()
    return path


def git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"No git history: {error}")
