"""Fetches the source archive of an installed package in its installed version: most suites are in no wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path


def unpacked(package: str, where: Path) -> Path:
    """The folder in ``where`` with the source of ``package``, fetched unless present."""
    folder = where / f"{package}-{version(package)}"
    if not folder.exists():
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where) as scratch:
            with tarfile.open(fetched(package, scratch)) as archive:
                archive.extractall(f"{scratch}/unpacked", filter="data")
            (only,) = Path(scratch, "unpacked").iterdir()
            only.rename(folder)
    return folder


def fetched(package: str, where: str) -> Path:
    """The archive, from the index that pip is configured for."""
    options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", where)
    command = [sys.executable, "-m", "pip", "download", *options, f"{package}=={version(package)}"]
    subprocess.run(command, check=True)
    (archive,) = Path(where).glob("*.tar.gz")
    return archive
