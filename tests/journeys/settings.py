"""Settings of a cell: the environment says which database, executor and broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests import settings as base
from tests.settings import *  # noqa: F403

HOME = Path(os.environ["JOURNEY_HOME"])
NAME = os.environ["JOURNEY_NAME"]
BROKER_URL = os.environ.get("BROKER_URL") or ""

EXECUTOR_PATH = os.environ["JOURNEY_EXECUTOR"]
APP_OF = {"DjangoQ": "django_q", "Dying": "django_q", "Doomed": "django_q", "DjangoTasks": "django_tasks_db"}
STRANGERS = {"django.contrib.admin", "django_q", "oauth2_provider", "tests.project"}

INSTALLED_APPS = [app for app in base.INSTALLED_APPS if app not in STRANGERS]
INSTALLED_APPS += [app for name, app in APP_OF.items() if EXECUTOR_PATH.endswith(f".{name}")]

DATA_UPLOAD_MAX_MEMORY_SIZE = None
ROOT_URLCONF = os.environ.get("JOURNEY_URLS", "tests.journeys.site")
STORAGES = {
    **base.STORAGES,
    "asyncexchange": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": HOME / "bodies"},
    },
}
DATABASES = {"default": {**base.database, "CONN_MAX_AGE": None}}
if base.database["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 5}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

Q_CLUSTER: dict[str, Any] = {**base.Q_CLUSTER, "name": NAME}
if BROKER_URL:
    del Q_CLUSTER["orm"]
    Q_CLUSTER["redis"] = BROKER_URL
    Q_CLUSTER["broker_class"] = "django_asyncexchange.executors.django_q_redis.WakingRedis"
else:
    Q_CLUSTER["broker_class"] = "django_asyncexchange.executors.django_q_broker.WakingBroker"

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"global_keyprefix": f"{NAME}:"} if BROKER_URL.startswith("redis") else {"confirm_publish": True}
)
CELERY_EVENT_EXCHANGE = f"{NAME}.events"
CELERY_TASK_DEFAULT_QUEUE = NAME
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

ASYNC_EXCHANGE = {
    "DIALECTS": {"prefer": {"PREFIX": "/async", "SHARE": 2}},
    "EXECUTOR": EXECUTOR_PATH,
    "SWEEP_SECONDS": 0.5,
    "ALLOW_ANONYMOUS": "JOURNEY_ANONYMOUS" in os.environ,
    "LEASE_SECONDS": float(os.environ.get("JOURNEY_LEASE") or 30),
}
