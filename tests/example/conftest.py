"""The example project as its users run it: the plain commands, a real web server and real workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ..services import until

ROOT = Path(__file__).parents[2]
MANAGE = ROOT / "example_project" / "manage.py"
PATIENCE = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # one server and one worker for all of them
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("example"))


class Project:
    """The example project with its data in a directory of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "db.sqlite3"
        self.environment = {name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"} | {
            "DATABASE_URL": f"sqlite:///{self.database}",
            "RESULTS_DIR": str(home / "results"),
            "PYTHONPATH": str(ROOT),
            "EXAMPLE_DELAY": "0",
        }
        self.environment.pop("BROKER_URL", None)

    def manage(self, *arguments: str, **environment: str) -> str:
        """Run a command to its end, from a directory outside of the project."""
        done = subprocess.run(
            [sys.executable, str(MANAGE), *arguments],
            cwd=self.home,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command in the background; stopped, with all its children, at the end."""
        with (
            (self.home / f"{arguments[0]}.log").open("ab") as log,
            subprocess.Popen(
                [sys.executable, str(MANAGE), *arguments],
                cwd=self.home,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process by its id; then kill the rest of its group, which is ours alone."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Site:
    """A running web server and its clients."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, method: str, path: str, token: str | None = "token-anna", **options: Any) -> requests.Response:
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        address = path if path.startswith("http") else self.address + path
        return requests.request(method, address, headers=headers, timeout=PATIENCE, **options)

    def get(self, path: str, token: str | None = "token-anna", **options: Any) -> requests.Response:
        return self.call("GET", path, token, **options)

    def finished(self, path: str, token: str = "token-anna") -> dict[str, Any]:
        """Submit a remap call and wait for the end of its task."""
        accepted = self.get(path, token)
        assert accepted.status_code == 202, accepted.text
        return self.until(
            lambda: self.get(accepted.headers["Content-Location"], token).json(),
            lambda task: task["state"] not in ("PENDING", "PROCESSING"),
        )

    def until(self, look: Any, is_right: Any) -> Any:
        """What ``look`` returns as soon as it is right."""
        [seen] = until(lambda: [seen] if is_right(seen := look()) else [])
        return seen


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, migrated and loaded."""
    project = Project(tmp_path_factory.mktemp("example"))
    project.manage("migrate", "--verbosity", "0")
    project.manage("load_sample")
    return project


@pytest.fixture(scope="session")
def site(project: Project) -> Iterator[Site]:
    """A web server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = Site(f"http://127.0.0.1:{port}")
    with project.running("runserver", "--noreload", str(port)) as process:
        site.until(lambda: process.poll() is not None or answers(port), bool)
        yield site


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="session")
def worked(project: Project, site: Site) -> Iterator[Site]:
    """The same web server, with workers."""
    with project.running("asyncexchange_worker"):
        yield site
