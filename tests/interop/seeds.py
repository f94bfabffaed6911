"""The users of ``test_processes``: ``python -m tests.interop.seeds``."""

from __future__ import annotations

import datetime as dt

import django

django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402  (not before setup)
from django.utils import timezone  # noqa: E402
from oauth2_provider.models import AccessToken, Application  # noqa: E402

otto = User.objects.create_superuser("otto", "otto@example.com", "secret")
Group.objects.create(name="a shop's key")
application = Application.objects.create(
    name="a browser", client_type=Application.CLIENT_PUBLIC, authorization_grant_type=Application.GRANT_PASSWORD
)
AccessToken.objects.create(
    token="an-access-token",
    user=otto,
    application=application,
    scope="read write",
    expires=timezone.now() + dt.timedelta(hours=1),
)
