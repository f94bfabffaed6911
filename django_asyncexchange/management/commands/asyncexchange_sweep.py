"""Recover what dead workers and lost messages left behind, and send what waits: for cron, or any other scheduler."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ... import recovery, turns


class Command(BaseCommand):
    help = "Recover lost runs, send forgotten and waiting calls to the workers again."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = {**recovery.recover(), "sent": turns.sweep()}
        self.stdout.write(", ".join(f"{count} {what}" for what, count in counts.items()))
