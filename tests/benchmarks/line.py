"""A pipe from all workers to the measuring process: which message was done, and when by the monotonic clock."""

from __future__ import annotations

import os
import select
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "BENCH_LINE"
WORD = struct.Struct("=16sd")
PATIENCE = 120.0

_end: tuple[int, int] | None = None


def report(id: str) -> None:
    """In a worker: report that ``id`` is done."""
    global _end
    path = os.environ.get(VARIABLE)
    if path:
        if _end is None or _end[0] != os.getpid():
            _end = os.getpid(), os.open(path, os.O_WRONLY)
        os.write(_end[1], WORD.pack(uuid.UUID(id).bytes, time.monotonic()))


class Line:
    """The reading end."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        os.environ[VARIABLE] = str(path)
        self._end = os.open(path, os.O_RDWR)

    def received(self, seconds: float) -> Iterator[tuple[str, float]]:
        """What is reported within ``seconds``."""
        if select.select([self._end], [], [], seconds)[0]:
            for key, moment in WORD.iter_unpack(os.read(self._end, WORD.size * 2000)):
                yield str(uuid.UUID(bytes=key)), moment

    def of(self, id: str) -> float:
        """When ``id`` was done."""
        return self.of_all({id})[id]

    def of_all(self, wanted: set[str]) -> dict[str, float]:
        """When each of ``wanted`` was done."""
        found: dict[str, float] = {}
        deadline = time.monotonic() + PATIENCE
        while len(found) < len(wanted):
            for key, moment in self.received(1.0):
                if key in wanted:
                    found[key] = moment
                    deadline = time.monotonic() + PATIENCE
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(wanted) - len(found)} of {len(wanted)} were not done")
        return found
