"""The Celery application of the journeys, as Celery's documentation for Django shows it."""

from __future__ import annotations

from celery import Celery

app = Celery("journeys")
app.config_from_object("django.conf:settings", namespace="CELERY")
