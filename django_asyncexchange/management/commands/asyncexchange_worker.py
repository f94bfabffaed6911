"""``manage.py asyncexchange_worker``: runs calls, and sees to it that they go on being run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...executors.django_q import clusters, supervisor
from ...protocol import process_id


class Command(BaseCommand):
    help = "Keep django-q2's clusters at work: one for each queue, started again when they die or hang."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queues", nargs="*", help="only these (default: all that QUEUES names)")
        parser.add_argument(
            "--grace", type=float, default=25, help="seconds that running calls get when it is told to stop (25)"
        )
        parser.add_argument(
            "--check", action="store_true", help="say whether the one on this machine is well: exit status 0 or 1"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        queues = options["queues"] or clusters.queues()
        if options["check"]:
            if not supervisor.is_well(queues):
                raise CommandError("No worker of this project is well on this machine.")
            return
        try:
            is_guarded = supervisor.has_guarded_broker()
        except ImportError as error:
            raise CommandError(f"Q_CLUSTER['broker_class'] cannot be imported: {error}") from error
        if not is_guarded:
            raise CommandError(
                "Q_CLUSTER['broker_class'] has to be 'django_asyncexchange.executors.django_q_broker.WakingBroker', or "
                "'…django_q_redis.WakingRedis' with Redis: others do not tell when their cluster hangs. "
                "(Calls of Celery and Django Tasks are run by workers of theirs.)"
            )
        if why := process_id.without_locks():
            raise CommandError(f"This machine gives processes no locks to share: {why}. Mount a writable /dev/shm.")
        self.check()
        supervisor.Supervisor(queues, options["grace"]).run()
