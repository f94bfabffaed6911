"""Recover lost calls, and send waiting ones, for example from cron: ``manage.py asyncexchange_sweep``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ...tasks import dispatch, recovery
from ...webhooks import delivery


class Command(BaseCommand):
    help = "Recover calls whose worker has died, and send waiting calls and deliveries to the workers again."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = {**recovery.recover(), "sent": dispatch.sweep(), "reminded": delivery.sweep()}
        self.stdout.write(", ".join(f"{count} {what}" for what, count in counts.items()))
