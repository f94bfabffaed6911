"""Makes reports as slow as real ones, where the setting EXAMPLE_DELAY asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

PORTION = 250


def portions(rows: Sequence[Any], of: int) -> Iterator[Sequence[Any]]:
    """``rows`` in portions, and between them the share of the delay that they have among ``of`` rows.

    Slow work that can be watched and interrupted.
    """
    for start in range(0, len(rows), PORTION):
        portion = rows[start : start + PORTION]
        yield portion
        time.sleep(settings.EXAMPLE_DELAY * len(portion) / of)


def linger() -> None:
    """The same for a report that is a single figure."""
    time.sleep(settings.EXAMPLE_DELAY)
