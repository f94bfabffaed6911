"""Slows reports down by the setting EXAMPLE_DELAY."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

BATCH = 250


def batches(rows: Sequence[Any], of: int) -> Iterator[Sequence[Any]]:
    """Yield ``rows`` in batches and sleep after each, EXAMPLE_DELAY in total for ``of`` rows.

    So a report shows progress and can be interrupted.
    """
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        yield batch
        time.sleep(settings.EXAMPLE_DELAY * len(batch) / of)


def delay() -> None:
    """Sleep for the whole EXAMPLE_DELAY."""
    time.sleep(settings.EXAMPLE_DELAY)
