"""What the tests of django-q2's clusters share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from django_asyncexchange.executors.django_q import guard


@pytest.fixture
def reports_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """The pipe through which the processes of a cluster report."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    monkeypatch.setattr(guard, "_pipe", ends)
    yield ends
    for end in ends:
        os.close(end)
