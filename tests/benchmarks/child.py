"""``python -m tests.benchmarks.child GROUP``: measures one group in a project of its own; one figure a line."""

from __future__ import annotations

import importlib
import signal
import sys

import django
from django.conf import settings
from django.core.management import call_command


def main(group: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops its processes first
    django.setup()
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=0)
        call_command("migrate", database=alias, verbosity=0, run_syncdb=True)  # the benchmarks' tables refer to ours

    from .stage import as_json

    for figure in importlib.import_module(f"{__package__}.{group}").measure():
        print(as_json(figure), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
