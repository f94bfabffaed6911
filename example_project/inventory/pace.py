"""Makes reports as slow as real ones, where the setting EXAMPLE_DELAY asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

PORTION = 250


def portions(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``rows`` in portions, with the delay spread between them: slow work that can be watched and interrupted."""
    starts = range(0, len(rows), PORTION)
    for start in starts:
        yield rows[start : start + PORTION]
        time.sleep(settings.EXAMPLE_DELAY / len(starts))


def linger() -> None:
    """The same for a report that is a single figure."""
    time.sleep(settings.EXAMPLE_DELAY)
