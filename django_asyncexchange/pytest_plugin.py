"""The plugin of pytest, found by its entry point. It touches neither Django nor settings before a test asks for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import Worker


@pytest.fixture
def async_worker(settings: Any) -> Worker:
    """Runs accepted calls in the test itself, and keeps webhooks: a ``django_asyncexchange.testing.Worker``.

    The test says itself which database it has: by ``django_db``, ``db`` or ``transactional_db``. ``settings`` is
    pytest-django's fixture: what a test changes there later is undone first.
    """
    testing = import_module("django_asyncexchange.testing")
    setattr(settings, testing.NAME, testing.held())
    worker: Worker = testing.Worker()
    return worker
