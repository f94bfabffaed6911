"""The servers of the databases and queues of a run: those of the tests."""

from __future__ import annotations

import os

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = "TEST_REDIS_URL"
"""The variable; its default is that of the journeys."""
