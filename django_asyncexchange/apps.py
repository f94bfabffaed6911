"""App configuration."""

from __future__ import annotations

from contextlib import suppress

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from . import checks  # noqa: F401  (registers the system checks)
from .conf import conf
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
        # The executor's module connects to its workers' signals when imported. The system checks report a wrong one.
        with suppress(ImproperlyConfigured):
            import_string(conf.EXECUTOR)
