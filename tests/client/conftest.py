"""A user whose calls run at once, and a site behind a proxy that breaks connections."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_asyncexchange.client import exchange as rules

from ..project.serving import wsgi_server
from ..services import exchange
from .proxy import Proxy, proxy


@pytest.fixture
def cookie(db: None) -> dict[str, str]:
    """Headers of a user who is logged in."""
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    token = "a" * 32
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}", "X-CSRFToken": token}


@pytest.fixture
def line(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The site of ``tests.client.site``, whose calls run while they are submitted. Clients try again soon."""
    monkeypatch.setattr(rules, "backoff", lambda lost: 0.01)
    with override_settings(ASYNC_EXCHANGE=exchange()), wsgi_server() as port, proxy(port) as ours:
        yield ours


@pytest.fixture
def name() -> str:
    """Of a line in the ledger."""
    return uuid.uuid4().hex
