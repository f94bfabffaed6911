"""What ``startproject`` writes, then each app as its own documentation says, then ours as README.rst says."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sentry_sdk

from django_asyncexchange.defaults import q_cluster

BASE_DIR = Path(os.environ.get("INTEROP_FOLDER") or tempfile.mkdtemp(prefix="asyncexchange-interop-"))
if "INTEROP_FOLDER" not in os.environ:  # set by tests that start processes
    atexit.register(shutil.rmtree, BASE_DIR, ignore_errors=True)

SECRET_KEY = "a key for tests, long enough that no check complains about its length"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "127.0.0.1"]

INSTALLED_APPS = [
    "django_prometheus",
    "unfold",  # before django.contrib.admin
    "unfold.contrib.simple_history",  # before simple_history
    "unfold.contrib.guardian",  # before guardian
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "oauth2_provider",
    "drf_spectacular",
    "corsheaders",
    "debug_toolbar",
    "axes",
    "rules",
    "guardian",
    "simple_history",
    "auditlog",
    "silk",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_filters",
    "django_q",
    "django_asyncexchange",
    "tests.interop.notes",
]

# Tables of other apps are created as they are today, not migration by migration.
MIGRATION_MODULES = dict.fromkeys(
    (
        "account",
        "admin",
        "auditlog",
        "auth",
        "axes",
        "contenttypes",
        "django_q",
        "guardian",
        "oauth2_provider",
        "otp_static",
        "otp_totp",
        "sessions",
        "silk",
        "token_blacklist",
    )
)

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",  # first
    "corsheaders.middleware.CorsMiddleware",  # before any middleware that responds
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",  # after SecurityMiddleware
    "debug_toolbar.middleware.DebugToolbarMiddleware",  # early, after any middleware that encodes
    "silk.middleware.SilkyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",  # after AuthenticationMiddleware
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "auditlog.middleware.AuditlogMiddleware",
    "axes.middleware.AxesMiddleware",  # last, says its documentation
    "django_prometheus.middleware.PrometheusAfterMiddleware",  # last, says its documentation
    "django_asyncexchange.middleware.AsyncExchangeMiddleware",  # last, and a check insists
]

ROOT_URLCONF = "tests.interop.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
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

DATABASES = {
    "default": {
        "ENGINE": "django_prometheus.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",  # a project has FULL
        },
    }
}

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first
    "rules.permissions.ObjectPermissionBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS: list[Any] = []
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, for tests

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ["js", "css", "svg", "txt", "woff2", "png", "map"]  # fast, for tests
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "asyncexchange": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": BASE_DIR / "bodies"},
    },
}

# Django REST framework, with Simple JWT, OAuth Toolkit and Spectacular
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "oauth2_provider.contrib.rest_framework.OAuth2Authentication",  # before JWT, which refuses other bearer tokens
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "allauth.headless.contrib.rest_framework.authentication.XSessionTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
OAUTH2_PROVIDER = {"SCOPES": {"read": "Read", "write": "Write", "introspection": "Ask about tokens"}}
SPECTACULAR_SETTINGS = {"TITLE": "Notes", "VERSION": "1.0.0"}

# CORS: what our clients send and have to read, as docs/howto/proxies-and-cors.rst says
CORS_ALLOWED_ORIGINS = ["https://app.example", "https://other.example"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "idempotency-key", "prefer", "x-csrftoken"]
CORS_EXPOSE_HEADERS = ["Location", "Retry-After", "Preference-Applied"]

# Debug Toolbar: shown where a test turns DEBUG on
INTERNAL_IPS = ["127.0.0.1"]
DEBUG_TOOLBAR_CONFIG = {"IS_RUNNING_TESTS": False}

SILKY_PYTHON_PROFILER = False
AXES_FAILURE_LIMIT = 3
HEADLESS_ONLY = False

# Ours
Q_CLUSTER = q_cluster()
ASYNC_EXCHANGE = {"VIEWS": ["/ninja/*", "/o/*", "schema"]}


class Recorder(sentry_sdk.Transport):
    """Keeps what would be sent."""

    events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.events.extend(item.payload.json for item in envelope.items if item.payload.json)


sentry_sdk.init(dsn="https://key@sentry.example/1", transport=Recorder, send_default_pii=True, traces_sample_rate=1.0)
