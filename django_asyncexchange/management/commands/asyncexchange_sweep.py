"""Recover what dead workers and lost messages left behind, send what waits or is due: for cron, or the like."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ...tasks import dispatch, recovery
from ...webhooks import delivery


class Command(BaseCommand):
    help = "Recover lost runs, send forgotten and waiting calls and deliveries to the workers again."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = {**recovery.recover(), "sent": dispatch.sweep(), "reminded": delivery.sweep()}
        self.stdout.write(", ".join(f"{count} {what}" for what, count in counts.items()))
