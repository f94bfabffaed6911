from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "tests.project"
    label = "project_under_test"
    default_auto_field = "django.db.models.BigAutoField"
