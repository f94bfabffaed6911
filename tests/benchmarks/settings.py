"""Settings as the documentation recommends them; the environment names the database and the broker."""

from __future__ import annotations

import os

from tests.journeys import settings as journeys
from tests.journeys.settings import *  # noqa: F403

INSTALLED_APPS = list(
    dict.fromkeys(
        [
            *journeys.INSTALLED_APPS,
            "django_q",
            "django_celery_results",
            "django_tasks_db",
            "tests.benchmarks.apps.Benchmarks",
        ]
    )
)
MIGRATION_MODULES = {}  # tables as in a project: those of the benchmarks come after ours, which they refer to
ROOT_URLCONF = "tests.benchmarks.site"
CONN_MAX_AGE = 0 if "BENCH_ASGI" in os.environ else None  # as Django recommends
DATABASES = {alias: {**given, "CONN_MAX_AGE": CONN_MAX_AGE} for alias, given in journeys.DATABASES.items()}
if "init_command" in DATABASES["default"].get("OPTIONS", {}):
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"]["OPTIONS"],
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
if os.environ.get("BENCH_LARGE"):  # a second database like the first, with many more rows
    DATABASES["large"] = {**DATABASES["default"], "NAME": os.environ["BENCH_LARGE"]}
DATABASE_ROUTERS = ["tests.benchmarks.tables.Router"]

Q_CLUSTER = {**journeys.Q_CLUSTER, "poll": 0.2}
if not journeys.BROKER_URL:  # for the figures beside ours
    CELERY_BROKER_URL = os.environ["BENCH_REDIS"]
    CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{journeys.NAME}:"}
CELERY_IMPORTS = ["tests.benchmarks.peers"]
CELERY_DB_REUSE_MAX = 1000
CELERY_RESULT_BACKEND = "django-db"
ASYNC_EXCHANGE = {
    "DIALECTS": {"prefer": {"PREFIX": "/async", "WEBHOOKS": 100}},
    "EXECUTOR": journeys.EXECUTOR_PATH,
    "VIEWS": ["/works/*"],
    "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"],
    "WEBHOOK_PORTS": range(1, 65536),
    "WEBHOOK_REQUIRE_HTTPS": False,
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
