"""How much memory processes take during something."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..faults.rig import children
from .figures import Figure

MB = 1024 * 1024
LIMIT = 32.0


@dataclasses.dataclass
class Growth:
    megabytes: float = 0.0
    """By how much the one that grew most did, at its peak."""


@contextlib.contextmanager
def growth(pids: Iterable[int]) -> Iterator[Growth]:
    """Watch these processes and all their descendants."""
    watched = list(family(pids))
    before = {pid: _of(pid, "VmRSS") for pid in watched}
    for pid in watched:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # reset the peak
    found = Growth()
    yield found
    found.megabytes = max((_of(pid, "VmHWM") - before[pid]) / MB for pid in watched)


def family(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        yield pid
        yield from family(children(pid))


def _of(pid: int, name: str) -> int:
    rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith(name))


def figure(name: str, ours: Growth, twin: Growth, what: str) -> Figure:
    """The growth of ours, beside its twin's."""
    ratio = ours.megabytes / max(twin.megabytes, 0.1)
    grown = {"ours": ours.megabytes, "beside": twin.megabytes}
    return Figure(name=f"Memory, {name}", unit="MB", what=what, ratio=ratio, limit=LIMIT, **grown)
