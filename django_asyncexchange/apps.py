"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from . import (
    checks,  # noqa: F401  (registers the system checks)
    executors,
)
from .responses import http_caches


class AsyncExchangeConfig(AppConfig):
    name = "django_asyncexchange"
    label = "asyncexchange"
    verbose_name = _("Asynchronous exchange")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from .tasks import personal_data

        personal_data.connect()
        http_caches.keep_apart_from_runs()
        executors.connect()
