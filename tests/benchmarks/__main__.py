"""``python -m tests.benchmarks``: see the package."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import django
import pytest

from . import page, table
from .figures import Figure
from .servers import POSTGRES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "performance.rst"


def measured(only: list[str]) -> Iterator[list[Figure]]:
    """All figures by group, or those of groups and cells that contain one of the words."""
    from .plan import PLAN  # imports the journeys, which need a configured project
    from .stage import stage

    for part in PLAN:
        if only and not any(word.lower() in str(part).lower() for word in only):
            continue
        try:
            with stage(part.broker, part.database, twice=part.is_large) as ready:
                yield list(shown(ready.figures(part.group)))
        except pytest.skip.Exception as missing:  # a developer's machine without that server
            print(f"{part}: {missing}", flush=True)


def shown(figures: Iterable[Figure]) -> Iterator[Figure]:
    for figure in figures:
        print(table.line(figure), flush=True)
        yield figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure how fast it is.")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="groups, brokers or databases")
    parser.add_argument("--rounds", type=int, help="of each comparison; the median counts (5, or 1 with --short)")
    parser.add_argument("--short", action="store_true", help="small counts: shows that all of it runs, measures little")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {PAGE.name}")
    given = parser.parse_args()
    if given.short and given.write:
        parser.error("--short measures too little to be written down")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ["BENCH_ROUNDS"] = str(given.rounds or (1 if given.short else 5))
    os.environ["BENCH_SHORT"] = "yes" if given.short else ""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # cleans up first
    django.setup()

    keep = bool(given.only)
    print(table.head(), flush=True)
    for figures in measured(given.only):
        if given.write:
            PAGE.write_text(
                page.updated(PAGE.read_text(encoding="utf-8"), figures, POSTGRES, keep=keep), encoding="utf-8"
            )
            keep = True


if __name__ == "__main__":
    main()
