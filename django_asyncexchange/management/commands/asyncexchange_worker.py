"""Run workers and restart those that die or hang: ``manage.py asyncexchange_worker``."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ... import executors


class Command(BaseCommand):
    help = "Run the workers of django-q2: one cluster for each queue, restarted when it dies or hangs."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queues", nargs="*", help="only these queues (default: all that QUEUES names)")
        parser.add_argument(
            "--grace", type=float, default=25, help="seconds that running calls get after SIGTERM (default: 25)"
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="start nothing: exit with 0 if the workers on this machine are well, else with 1",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            executor = executors.load()
            if options["check"]:
                if not executor.is_supervised(options["queues"]):
                    raise CommandError("No worker of this project is well on this machine.")
                return
            run = executor.supervisor(options["queues"], options["grace"])
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        self.check()
        run()
