"""The project with Celery, as Celery's documentation for Django has it."""

from __future__ import annotations

from .celery import app as celery_app

__all__ = ("celery_app",)
