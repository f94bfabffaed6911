"""Print the OpenAPI document of the task addresses: ``manage.py asyncexchange_openapi --server https://example.com``."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ...openapi.document import document


class Command(BaseCommand):
    help = "Print the OpenAPI document of the task and webhook addresses as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--server", default="/", help="URL of the site, / unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(document(options["server"]), indent=2, ensure_ascii=False))
