"""The table in the documentation, and the machine it was measured on."""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import psycopg

from . import table
from .figures import Figure

BEGIN = ".. What follows is written by: python -m tests.benchmarks --write\n"
END = ".. Here ends what is written by it.\n"
HEADER = ["Figure", "Ours", "Beside it", "What stands beside it", "Ratio", "Target", "Met"]
WIDTHS = "28 11 11 24 8 10 8"
PACKAGES = ("Django", "djangorestframework", "django-q2", "celery", "django-tasks-db", "psycopg")
INDENT = "   "


def updated(text: str, figures: Iterable[Figure], server: str, *, keep: bool) -> str:
    """The page ``text`` with these figures; with ``keep``, the others stay."""
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    rows = {(row[0], row[3]): row for row in _rows(old)} if keep else {}
    rows |= {(figure.name, figure.what): _row(figure) for figure in figures}
    return "\n".join([before + BEGIN, *_machine(server), "", *_table(rows.values()), "", END]) + after


def _rows(written: str) -> Iterator[list[str]]:
    lines = [line[len(INDENT) :] for line in written.splitlines() if line.startswith(f'{INDENT}"')]
    return (row for row in csv.reader(lines) if row != HEADER)


def _row(figure: Figure) -> list[str]:
    numbers = table.ours(figure), table.beside(figure)
    met = table.verdict(figure) + (f": {figure.fault}" if figure.fault else "")
    return [figure.name, *numbers, figure.what, table.ratio(figure), table.target(figure), met]


def _table(rows: Iterable[list[str]]) -> Iterator[str]:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([HEADER, *rows])
    yield from (".. csv-table::", f"{INDENT}:header-rows: 1", f"{INDENT}:widths: {WIDTHS}", "")
    yield from (INDENT + line for line in text.getvalue().splitlines())


def _machine(server: str) -> Iterator[str]:
    """In general words."""
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = next(int(row.split()[1]) for row in meminfo if row.startswith("MemTotal"))
    with psycopg.connect(server) as connection:
        number = connection.info.server_version
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield f"A virtual machine with {os.cpu_count()} cores and {kilobytes / 1024**2:.0f} GiB of memory that also runs"
    yield f"the databases and brokers: {platform.system()}, Python {platform.python_version()},"
    yield f"PostgreSQL {number // 10000}, {packages}."
