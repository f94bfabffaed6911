"""The example project, running, and npm packages; both only for ``tox -e openapi``."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from walkthrough.servers import servers

from ...conftest import unavailable

FOLDER = os.environ.get("TEST_OPENAPI", "")
"""Where the npm packages are installed."""
ROOT = Path(__file__).parents[3]
PROGRAMS = Path(__file__).parent / "programs"

collect_ignore_glob = [] if FOLDER else ["test_*.py"]


@contextlib.contextmanager
def example(delay: float) -> Iterator[str]:
    """The URL of the example project, whose reports take ``delay`` seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "tests.openapi.tools.settings")
        patch.setenv("PYTHONPATH", str(ROOT))
        for name in ("DATABASE_URL", "BROKER_URL"):
            patch.delenv(name, raising=False)
        with servers(port=0, delay=delay, products=60) as base:
            yield base


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    with example(0) as base:
        yield base


@pytest.fixture(scope="session")
def slow_site() -> Iterator[str]:
    """Calls take long enough to be cancelled."""
    with example(1) as base:
        yield base


@pytest.fixture(scope="session")
def document(site: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the document."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(requests.get(f"{site}/openapi.json", timeout=60).content)
    return path


class Node:
    """A directory with the npm packages."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *command: str) -> str:
        """The output of ``command``; it fails if its exit code is not 0."""
        program, *arguments = command
        path = self.home / "node_modules" / ".bin" / program
        called = [str(path) if path.exists() else program, *arguments]
        done = subprocess.run(called, cwd=self.home, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def node() -> Node:
    """The packages of ``package-lock.json``, and the programs."""
    npm = shutil.which("npm") or unavailable("npm is not installed")
    home = Path(FOLDER, "node")
    home.mkdir(parents=True, exist_ok=True)
    lock, installed = PROGRAMS / "package-lock.json", home / "installed.json"
    for program in PROGRAMS.iterdir():
        if program.is_file():
            shutil.copy(program, home)
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        install = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(install, cwd=home, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            unavailable(f"npm has not installed the packages: {done.stderr}")
        shutil.copy(lock, installed)
    return Node(home)
