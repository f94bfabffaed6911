"""A worker or a web server in a process of its own, on the test's database: ``python -m tests.project.apart JSON``.

It reports by lines of output; a line of input lets it go on, and the end of its input ends it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection

# In the test ----------------------------------------------------------------------------------------------------------


@contextmanager
def apart(work: str, storage: dict[str, Any], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """The process that does ``work`` with ``storage`` for bodies. It is killed at the end, unless it has ended."""
    order = json.dumps({"work": work, "storage": storage, **more}, default=str)
    with subprocess.Popen(
        [sys.executable, "-m", __name__, order],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def database_url() -> str:
    """The URL of the database that the test uses."""
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    who = f"{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}"
    return f"{'postgres' if connection.vendor == 'postgresql' else 'mysql'}://{who}/{given['NAME']}"


def next_line(process: subprocess.Popen[str]) -> str:
    """The next line of its output."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"it has ended with {process.wait()}"
    return line.strip()


def resume(process: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


# In the process -------------------------------------------------------------------------------------------------------


def peak() -> int:
    """The peak memory of this process, in bytes. (``ru_maxrss`` starts with that of its parent.)"""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM"))


def completed(storage: dict[str, Any]) -> dict[str, Any]:
    """``storage`` with the values that JSON cannot have."""
    if not storage["BACKEND"].startswith("storages.backends.s3"):
        return storage
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    config = Config(s3={"addressing_style": "path"}, signature_version="s3v4")
    given = {"client_config": config, "transfer_config": TransferConfig(use_threads=False)}
    return {**storage, "OPTIONS": {**storage["OPTIONS"], **given}}


def run(order: dict[str, Any]) -> None:
    """Run tasks as a worker does; then print the peak of memory."""
    from django_asyncexchange.worker import runner

    for task in order["tasks"]:
        runner.run(task)
    print(peak(), flush=True)


def serve(order: dict[str, Any]) -> None:
    """Print the port; then, for each line of input, the peak of memory."""
    from . import serving

    with getattr(serving, f"{order['server']}_server")() as port:
        print(port, flush=True)
        for _ in sys.stdin:
            print(peak(), flush=True)


def main(order: dict[str, Any]) -> None:
    settings.STORAGES = {**settings.STORAGES, "asyncexchange": completed(order["storage"])}
    settings.ROOT_URLCONF = "tests.project.streams"
    django.setup()
    {"run": run, "serve": serve}[order["work"]](order)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
