"""``python -m tests.journeys.prepare``: tables and two users, in one process. Deletes leftovers of earlier calls."""

from __future__ import annotations

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)

    from django.apps import apps
    from django.contrib.auth.models import Group, User
    from rest_framework.authtoken.models import Token

    from django_asyncexchange.models import AsyncTask, Webhook

    AsyncTask.objects.all().delete()
    Webhook.objects.all().delete()
    Group.objects.all().delete()
    if apps.is_installed("django_q"):
        apps.get_model("django_q", "OrmQ").objects.all().delete()
    for name in ("anna", "boris"):
        user, _ = User.objects.get_or_create(username=name)
        Token.objects.get_or_create(user=user, key=f"token-{name}")
