"""The Celery application of the journeys, as Celery's own documentation makes it for Django."""

from __future__ import annotations

from celery import Celery

app = Celery("journeys")
app.config_from_object("django.conf:settings", namespace="CELERY")
