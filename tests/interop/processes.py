"""The project as deployed: a web server and workers, each a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from ..example.conftest import stop
from ..services import until

ROOT = Path(__file__).parents[2]
PATIENCE = 90
"""Seconds after which something awaited will not come any more, on a machine that has much else to do."""
WORKER = "django asyncexchange_worker --grace 5"
OURS = frozenset({"asyncresult", "sunset", "accept-ranges", "etag", "last-modified", "cache-control", "content-length"})
"""Those that the result's address has of its own."""
PASSING = frozenset({"connection", "content-encoding", "date", "server", "set-cookie", "vary"})
"""Headers of one answer on its way."""


class Project:
    def __init__(self, home: Path, settings: str, **environment: str) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings,
            "INTEROP_FOLDER": str(home),
            "INTEROP_NAME": uuid.uuid4().hex,
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",  # REST framework writes the Allow header in the order of a set
            **environment,
        }

    def run(self, words: str) -> None:
        """Run a Python command to its end."""
        command = [sys.executable, "-m", *words.split()]
        done = subprocess.run(command, cwd=self.home, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def running(self, words: str) -> Iterator[None]:
        """Run a command in the background, with a log."""
        command = [sys.executable, "-m", *words.split()]
        with (
            (self.home / f"{words.split()[1]}.log").open("wb") as log,
            subprocess.Popen(
                command, cwd=self.home, env=self.environment, stdout=log, stderr=log, start_new_session=True
            ) as process,
        ):
            try:
                yield
            finally:
                stop(process)

    def prepare(self) -> Project:
        self.run("django migrate --run-syncdb --verbosity 0")
        self.run("django collectstatic --noinput --verbosity 0")
        self.run("tests.interop.seeds")
        return self

    def copied(self, home: Path, settings: str, **environment: str) -> Project:
        """A copy of a prepared project, with other settings."""
        shutil.copytree(self.home, home, dirs_exist_ok=True)
        return Project(home, settings, **environment)

    @contextlib.contextmanager
    def deployed(self, worker: str) -> Iterator[Site]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with self.running(f"django runserver --noreload 127.0.0.1:{port}"), self.running(worker):
            site = Site(f"http://127.0.0.1:{port}", self.home)
            until(site.is_up, PATIENCE, pause=0.2)
            yield site


class Site:
    """The running web server."""

    def __init__(self, address: str, home: Path) -> None:
        self.address, self.home = address, home

    def is_up(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return self.client().get(f"{self.address}/api/open/", timeout=PATIENCE).status_code == 200
        return False

    def client(self, **headers: str) -> requests.Session:
        client = requests.Session()
        client.headers.update(headers)
        return client

    def staff(self) -> requests.Session:
        """Otto, logged in through the admin's form."""
        client, form = self.client(), f"{self.address}/admin/login/"
        client.get(form)
        given = {"username": "otto", "password": "secret", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post(form, given, allow_redirects=False).status_code == 302
        return client

    def twice(self, client: requests.Session, method: str, path: str, **options: Any) -> tuple[Any, Any, str]:
        """The immediate response, the deferred one, and the task's URL."""
        at_once = client.request(method, self.address + path, **options)
        accepted = client.request(method, self.address + path, headers={"Prefer": "respond-async"}, **options)
        assert accepted.status_code == 202, accepted.text
        task = accepted.headers["Location"]
        later = until(lambda: self._result(client, task), PATIENCE, pause=0.2)
        return at_once, later, task

    def _result(self, client: requests.Session, task: str) -> requests.Response | None:
        polled = client.get(task, allow_redirects=False)
        assert polled.status_code in (202, 303), polled.text
        return client.get(polled.headers["Location"]) if polled.status_code == 303 else None

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.home.glob("*.log")))


def seen(response: requests.Response) -> tuple[int, str, dict[str, str], bytes]:
    headers = {name.lower(): text for name, text in response.headers.items()}
    kept = {name: text for name, text in headers.items() if name not in OURS | PASSING}
    return response.status_code, response.reason, kept, response.content
