"""Figures: ours beside another, as medians over rounds in which the two take turns."""

from __future__ import annotations

import dataclasses
import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
IS_SHORT = bool(os.environ.get("BENCH_SHORT"))

Rounds = Sequence[Mapping[str, float]]
"""For each round, what each contestant needed."""


def scale(long: int, short: int) -> int:
    """A count of the full run, or of the short one, which only shows that the command works."""
    return short if IS_SHORT else long


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    unit: str
    ours: float
    beside: float
    what: str
    """What it stands beside."""
    ratio: float
    """Ours to the other: the median of the ratios of the rounds."""
    target: float | None = None
    """Of the ratio."""
    more_is_better: bool = False
    limit: float | None = None
    """Of our own figure."""
    fault: str = ""
    """Why it is missed, whatever the numbers say."""

    @property
    def is_met(self) -> bool | None:
        """Whether it meets its target; None without one."""
        if self.fault:
            return False
        if self.target is None and self.limit is None:
            return None
        is_far = self.target is not None and (
            self.ratio < self.target if self.more_is_better else self.ratio > self.target
        )
        return not is_far and (self.limit is None or self.ours <= self.limit)


def figure(rounds: Rounds, what: str, *, ours: str = "ours", name: str, unit: str = "ms", **target: object) -> Figure:
    """The figure of ``ours`` beside the contestant ``what``."""
    return Figure(
        name=name,
        unit=unit,
        ours=statistics.median(each[ours] for each in rounds),
        beside=statistics.median(each[what] for each in rounds),
        what=what,
        ratio=statistics.median(each[ours] / each[what] for each in rounds),
        **target,  # type: ignore[arg-type]
    )


class Several(int):
    """The number of calls done at once."""


def interleaved(contestants: Mapping[str, Callable[[], object]], calls: int, rounds: int = ROUNDS) -> Rounds:
    """Milliseconds of a call, the median of each round. The contestants take turns, and the first changes.

    A function that does ``Several`` calls at once returns that.
    """
    for call in contestants.values():
        for _ in range(max(5, calls // 10)):
            call()
    gc.collect()
    return [_round(contestants, calls) for _ in range(rounds)]


def _round(contestants: Mapping[str, Callable[[], object]], calls: int) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants.items())
    for _ in range(calls):
        order.append(order.pop(0))
        for name, call in order:
            began = time.perf_counter()
            done = call()
            took[name].append((time.perf_counter() - began) / (done if isinstance(done, Several) else 1))
    return {name: 1000 * statistics.median(times) for name, times in took.items()}
