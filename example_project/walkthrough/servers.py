"""A web server and a worker process with a temporary database."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent.parent
START_TIMEOUT = 60.0


@contextlib.contextmanager
def servers(*, port: int, delay: float, products: int) -> Iterator[str]:
    """Migrate, load the sample data, start both processes; yield the base URL, and stop them at the end."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="asyncexchange-demo-") as scratch:
        environ = {
            **os.environ,
            "DATABASE_URL": os.environ.get("DATABASE_URL") or f"sqlite:///{scratch}/db.sqlite3",
            "RESULTS_DIR": f"{scratch}/results",
            "EXAMPLE_DELAY": str(delay),
            "PYTHONUNBUFFERED": "1",
        }
        manage(environ, "migrate", "--verbosity", "0")
        manage(environ, "load_sample", "--products", str(products))
        log = Path(scratch, "log")
        with log.open("wb") as output, contextlib.ExitStack() as stack:
            server = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "project.wsgi:application"]
            for command in (server, [sys.executable, "manage.py", "asyncexchange_worker"]):
                stack.enter_context(running(command, environ, output))
            base = f"http://127.0.0.1:{port}"
            wait_until_up(f"{base}/", log)
            yield base


def manage(environ: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=HERE, env=environ, check=True)


@contextlib.contextmanager
def running(command: list[str], environ: dict[str, str], output: object) -> Iterator[None]:
    """Run ``command`` in a process group of its own, which is killed at the end."""
    process = subprocess.Popen(
        command,
        cwd=HERE,
        env=environ,
        stdout=output,
        stderr=output,
        start_new_session=True,  # type: ignore[call-overload]
    )
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_up(url: str, log: Path) -> None:
    """Return as soon as ``url`` responds."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise SystemExit(f"the server does not respond:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
