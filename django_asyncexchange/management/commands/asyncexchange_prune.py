"""Delete expired results and old tasks, for example from cron: ``manage.py asyncexchange_prune``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ...tasks import pruning


class Command(BaseCommand):
    help = "Delete results past their deletion date, and tasks that are listed no longer."

    def handle(self, *args: Any, **options: Any) -> None:
        gone = {"bodies": 0, "tasks": 0}
        while any((done := pruning.prune()).values()):
            gone = {key: gone[key] + done[key] for key in gone}
        self.stdout.write(f"{gone['bodies']} bodies and {gone['tasks']} tasks deleted")
