"""A report of a million rows: built whole by a worker and then fetched, beside page after page of the same view."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from django.db import connection

from . import memory, people
from .crew import Crew
from .figures import ROUNDS, Figure, figure, scale
from .models import Item
from .site import PAGE
from .visitor import Visitor

ROWS = scale(1_000_000, 20_000)
PAGED = f"the same rows, {PAGE:,} a page, at once"
AT_ONCE = "the same report at once, unpaged, by REST framework alone"
FILL = f"""
INSERT INTO {Item._meta.db_table} (name, article, quantity, price, updated)
SELECT 'item number ' || n, 'A-' || n, n %% 1000, n %% 100000 / 100.0, now() - interval '1 second' * n
FROM generate_series(1, %s) n
"""
MARK = b'"article":'


def rows_in(chunks: Iterable[bytes]) -> int:
    """The number of rows in JSON, counted by a key that each of them has."""
    count, rest = 0, b""
    for chunk in chunks:
        rest += chunk
        count += rest.count(MARK)
        rest = rest[rest.rfind(MARK) + len(MARK) :][-len(MARK) + 1 :] if MARK in rest else rest[-len(MARK) + 1 :]
    return count


def paged(visitor: Visitor) -> int:
    pages = (visitor.chunks(f"/report/?offset={offset}") for offset in range(0, ROWS, PAGE))
    return sum(map(rows_in, pages))


def later(visitor: Visitor) -> int:
    return rows_in(visitor.chunks(visitor.later("/report/")))


def measure() -> Iterator[Figure]:
    people.anna()
    with connection.cursor() as cursor:
        cursor.execute(FILL, [ROWS])
        cursor.execute(f"VACUUM ANALYZE {Item._meta.db_table}")
    crew = Crew()
    with crew.serving() as visitor, crew.at_work() as workers:
        for _ in range(10):
            visitor.later("/works/")
        rounds = []
        with memory.growth(workers) as grown:
            for _ in range(ROUNDS):
                took = {}
                for name, work in {"ours": later, PAGED: paged}.items():
                    began = time.monotonic()
                    assert work(visitor) == ROWS, name
                    took[name] = time.monotonic() - began
                rounds.append(took)
        with memory.growth([visitor.pid]) as twin:
            assert rows_in(visitor.chunks("/report/all/")) == ROWS
    yield figure(rounds, PAGED, name=f"A report of {ROWS:,} rows, fetched", unit="s", target=0.5)
    yield memory.figure(f"the worker that writes a report of {ROWS:,} rows", grown, twin, AT_ONCE)
