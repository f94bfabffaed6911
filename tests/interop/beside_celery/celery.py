"""The project's application."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.interop.beside_celery.settings")

app = Celery("beside_celery")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
