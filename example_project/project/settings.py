"""Settings of the example project. Values that differ between machines come from environment variables.

=================  ====================================================================================
``DATABASE_URL``   any database that dj-database-url supports; default: SQLite in this directory
``BROKER_URL``     URL of a Redis server for django-q2; default: the ORM broker
``RESULTS_DIR``    directory of large results; default: ``results/`` in this directory
``EXAMPLE_DELAY``  seconds that every report is delayed; default: 0
``DEBUG``          ``0`` switches Django's debug mode off
``ALLOWED_HOSTS``  comma-separated host names; default: this computer only
``SECRET_KEY``     required for anything but trying it out
=================  ====================================================================================
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url

from django_asyncexchange.defaults import q_cluster

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SECRET_KEY", "example-project-only-never-in-production")
DEBUG = os.environ.get("DEBUG", "1").lower() not in {"", "0", "false", "no", "off"}
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

EXAMPLE_DELAY = float(os.environ.get("EXAMPLE_DELAY") or 0)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "django_asyncexchange",
    "inventory",
    "buyers",
    "campaigns",
    "calltypes",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "project.unknown.UnknownAddressMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_asyncexchange.middleware.AsyncExchangeMiddleware",  # last: after all checks of the other middleware
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "project" / "templates"],
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

# WAL: readers never wait. IMMEDIATE: writers queue for the lock. synchronous=FULL: commits survive a power failure.
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}


def database() -> dict[str, Any]:
    """Database configuration from DATABASE_URL, with persistent connections."""
    if os.environ.get("DATABASE_URL"):
        config: dict[str, Any] = dict(dj_database_url.config(conn_max_age=None))
    else:
        config = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3", "CONN_MAX_AGE": None}
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = SQLITE_OPTIONS | config.get("OPTIONS", {})
    else:
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "asyncexchange": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": os.environ.get("RESULTS_DIR") or BASE_DIR / "results",
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}

STATIC_URL = "static/"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Europe/Moscow"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "inventory.access.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "inventory.errors.exception_handler",
    "DEFAULT_THROTTLE_RATES": {"campaigns": "20/minute"},
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "django-asyncexchange: example project",
    "DESCRIPTION": "APIs of five vendors, whose calls may be answered later.",
    "VERSION": "1.0.0",
    "CONTACT": {"name": "django-asyncexchange", "url": "https://github.com/django-asyncexchange/django-asyncexchange"},
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": "/", "description": "This server"}],
    "TAGS": [
        {"name": "moysklad", "description": "MoySklad's inventory, in Russian."},
        {"name": "kladana", "description": "Kladana's inventory, in English."},
        {"name": "solitude", "description": "Solitude's buyers."},
        {"name": "mailru", "description": "Target@Mail.Ru's advertising campaigns."},
        {"name": "cisco", "description": "Cisco's call types, in JSON and XML."},
    ],
    "SCHEMA_PATH_PREFIX": r"/(kladana/)?api/remap/1\.2/|/generic/|/api/v2/|/unifiedconfig/config/",
    "COMPONENT_SPLIT_REQUEST": True,  # a client does not send what is read-only
    "ENFORCE_NON_BLANK_FIELDS": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "django_asyncexchange.openapi.spectacular.postprocess",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

QUEUE = {"redis": os.environ["BROKER_URL"]} if os.environ.get("BROKER_URL") else {}
Q_CLUSTER = q_cluster(name="asyncexchange", recycle=5000, max_rss=300_000, **QUEUE)

ASYNC_EXCHANGE = {
    "DIALECTS": {
        "solitude": {},
        "moysklad": {"PREFIX": "/api/remap/1.2"},
        "kladana": {"PREFIX": "/kladana/api/remap/1.2"},
        "mailru": {"PREFIX": "/async_api"},
        "cisco": {"PREFIX": "/unifiedconfig/config"},
        "prefer": {"PREFIX": "/async"},
        "tickets": {"CLASS": "tickets.dialect.Ticket", "PREFIX": "/api"},
    },
    "OWNER": "inventory.access.owner_of",
    "WEBHOOK_ADMIN": "inventory.access.administers",
    "KEEP_REQUESTS": True,  # so that the admin can rerun a task
    # Development only: webhook receivers on this machine, on any port, without TLS.
    "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8", "::1/128"],
    "WEBHOOK_PORTS": range(1, 65536),
    "WEBHOOK_REQUIRE_HTTPS": False,
}
