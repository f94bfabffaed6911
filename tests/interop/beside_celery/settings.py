"""The project with Celery, which also runs our calls: docs/howto/executors.rst."""

from __future__ import annotations

import os

from ..settings import *  # noqa: F403
from ..settings import ASYNC_EXCHANGE, INSTALLED_APPS

INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "django_q"]
ASYNC_EXCHANGE = {**ASYNC_EXCHANGE, "EXECUTOR": "django_asyncexchange.executors.celery.Celery"}

CELERY_BROKER_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/11")
CELERY_DB_REUSE_MAX = 1000
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": os.environ.get("INTEROP_NAME", "interop")
}  # other test runs use the same server
