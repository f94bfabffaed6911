"""Send webhook deliveries again, after a receiver was down for too long: ``manage.py asyncexchange_resend``."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...models import Delivery
from ...rest import iso8601
from ...webhooks import delivery


class Command(BaseCommand):
    help = "Send failed deliveries of webhooks again, with the same ids and bodies."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhook", help="only those of the webhook with this id")
        parser.add_argument("--since", help="only those created since then: 2026-11-24T00:00:00Z")
        parser.add_argument("--all", action="store_true", help="also those that have arrived")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Delivery.objects.all() if options["all"] else Delivery.objects.filter(state=Delivery.FAILED)
        if options["webhook"]:
            rows = rows.filter(webhook=key_of(options["webhook"]))
        if options["since"]:
            rows = rows.filter(created__gte=moment_of(options["since"]))
        self.stdout.write(f"{delivery.resend(rows)} deliveries are sent again")


def key_of(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise CommandError(f"{text!r} is not the id of a webhook") from None


def moment_of(text: str) -> dt.datetime:
    try:
        return iso8601.moment_of(text)
    except ValueError:
        raise CommandError(f"{text!r} is no date with a time and a time zone, like 2026-11-24T00:00:00Z") from None
