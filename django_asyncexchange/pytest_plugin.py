"""The plugin of pytest, found by its entry point. It touches neither Django nor settings before a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import Worker


@pytest.fixture
def async_worker() -> Iterator[Worker]:
    """Runs accepted calls in the test itself, and keeps webhooks: a ``django_asyncexchange.testing.Worker``.

    The test says itself which database it has: by ``django_db``, ``db`` or ``transactional_db``.
    """
    with import_module("django_asyncexchange.testing").worker() as worker:
        yield worker
