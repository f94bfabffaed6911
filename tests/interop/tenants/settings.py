"""As the documentation of django-tenants says. Our app is shared: one queue and its workers serve all tenants."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

from django_asyncexchange.defaults import q_cluster

SECRET_KEY = "a key for tests, long enough that no check complains about its length"
DEBUG = False
ALLOWED_HOSTS = ["*"]

SHARED_APPS = [
    "django_tenants",
    "tests.interop.tenants",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "django_filters",
    "django_q",
    "django_asyncexchange",
]
TENANT_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
INSTALLED_APPS = [*SHARED_APPS, *(app for app in TENANT_APPS if app not in SHARED_APPS)]
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]

URL = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(URL),
        "ENGINE": "django_tenants.postgresql_backend",
        "TEST": {"NAME": f"asyncexchange_tenants_{os.getpid()}"},
    }
}

MIDDLEWARE = [
    "django_tenants.middleware.main.TenantMainMiddleware",  # first
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_asyncexchange.middleware.AsyncExchangeMiddleware",
]
ROOT_URLCONF = "tests.interop.tenants.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, for tests
USE_TZ = True

Q_CLUSTER = q_cluster()
