"""The example project while no worker runs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .conftest import Project, Site, answers


@contextlib.contextmanager
def idle_copy(project: Project, home: Path, port: int) -> Iterator[tuple[Project, Site]]:
    """A copy of ``project`` in ``home`` with a web server but without workers."""
    copy = Project(home)
    with (
        contextlib.closing(sqlite3.connect(project.database)) as source,
        contextlib.closing(sqlite3.connect(copy.database)) as target,
    ):
        source.backup(target)
    site = Site(f"http://127.0.0.1:{port}")
    with copy.running("runserver", "--noreload", str(port)) as process:
        site.until(lambda: process.poll() is not None or answers(port), bool)
        yield copy, site
