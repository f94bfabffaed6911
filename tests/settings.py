"""Settings of the tests. ``DATABASE_URL`` chooses another database than SQLite."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url

# Files of one test process: database and stored bodies.
SCRATCH = Path(tempfile.mkdtemp(prefix="asyncexchange-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

DATABASE_URL = os.environ.get("DATABASE_URL", f"sqlite:///{SCRATCH / 'db.sqlite3'}")

if DATABASE_URL.startswith("mysql") and importlib.util.find_spec("MySQLdb") is None:
    import pymysql

    pymysql.install_as_MySQLdb()

database: dict[str, Any] = {**dj_database_url.parse(DATABASE_URL)}
if database["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: threads and processes share it as in production.
    database["TEST"] = {"NAME": SCRATCH / "test.sqlite3"}
    database["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
    }
else:  # one server may have several test processes at a time
    database["TEST"] = {"NAME": f"asyncexchange_{os.getpid()}"}
DATABASES = {"default": database}

SECRET_KEY = "a key for tests, long enough that no check complains about its length"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Russian")]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
MEDIA_ROOT = SCRATCH / "media"
STATIC_URL = "static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "asyncexchange": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": SCRATCH / "bodies"},
    },
}
ROOT_URLCONF = "tests.urls"
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "django_q",
    "oauth2_provider",
    "knox",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_asyncexchange",
    "tests.project",
]

# Tables of other apps are created without their migrations, which would take half of the setup.
MIGRATION_MODULES = dict.fromkeys(
    ("admin", "auth", "authtoken", "contenttypes", "django_q", "knox", "oauth2_provider", "otp_static", "sessions")
)

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_asyncexchange.middleware.AsyncExchangeMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The documented settings, but with a shorter poll.
Q_CLUSTER = {
    "name": "tests",
    "orm": "default",
    "workers": 2,
    "poll": 0.02,
    "queue_limit": 4,
    "bulk": 4,
    "save_limit": -1,
    "ack_failures": True,
    "max_attempts": 1,
    "timeout": 330,
    "retry": 390,
    "catch_up": False,
    "recycle": 5000,
    "guard_cycle": 0.5,
}

ASYNC_EXCHANGE = {
    "DIALECTS": {
        "solitude": {},
        "moysklad": {"PREFIX": "/api/remap/1.2"},
        "kladana": {"PREFIX": "/kladana/api/remap/1.2"},
        "mailru": {"PREFIX": "/async_api"},
        "cisco": {"PREFIX": "/unifiedconfig/config"},
        "prefer": {"PREFIX": "/async"},
    },
    "EXECUTOR": "django_asyncexchange.executors.inline.Inline",
}
