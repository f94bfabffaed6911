"""pytest plugin, registered by entry point. Imports neither Django nor settings until a test uses the fixture."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import Worker


@pytest.fixture
def async_worker(settings: Any) -> Worker:
    """Run accepted calls in the test's own process and collect webhooks: a ``django_asyncexchange.testing.Worker``.

    The test itself needs database access: ``django_db``, ``db`` or ``transactional_db``. Uses pytest-django's
    ``settings`` fixture, which restores the settings after the test.
    """
    testing = import_module("django_asyncexchange.testing")
    setattr(settings, testing.NAME, testing.settings_for_tests())
    worker: Worker = testing.Worker()
    return worker
