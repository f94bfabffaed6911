"""Delete what is stored of a user: ``manage.py asyncexchange_forget``."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...tasks import personal_data


class Command(BaseCommand):
    help = "Cancel the calls of a user, and delete their tasks, requests, results, deliveries and webhooks now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of the user, as for the login; with --pk, the primary key")
        parser.add_argument("--pk", action="store_true", help="USER is a primary key, also of a deleted user")

    def handle(self, *args: Any, **options: Any) -> None:
        counts = personal_data.forget(whose(options["user"], is_key=options["pk"]))
        self.stdout.write("{tasks} tasks and {webhooks} webhooks were deleted".format(**counts))
        if counts["left"]:
            raise CommandError(f"{counts['left']} tasks have files that could not be deleted; pruning tries it again")


def whose(text: str, *, is_key: bool) -> personal_data.Person:
    users = get_user_model()
    try:
        rows = users._default_manager.filter(**{"pk" if is_key else users.USERNAME_FIELD: text})
        user = rows.first()
        if user is None and is_key:
            return personal_data.deleted_person(users._meta.pk.to_python(text))
    except (ValueError, ValidationError):
        user = None
    if user is None:
        raise CommandError(f"there is no user {text!r}; for a deleted one, give the primary key with --pk")
    return personal_data.person(user)
