"""Columns of an older database with limited character sets (latin1, utf8mb3)."""

from __future__ import annotations

import contextlib

import pytest
from django.contrib.auth.models import User
from django.db import DataError, OperationalError, connection
from django.test import Client

from django_asyncexchange.models import Webhook

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/api/remap/1.2/entity/webhook"
TABLE = Webhook._meta.db_table
old_columns = pytest.mark.skipif(
    connection.vendor != "mysql", reason="only there has a column a character set; test_databases brings one"
)


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(User.objects.create(username="anna", is_staff=True))
    return client


@contextlib.contextmanager
def kept_in(characters):
    """The URLs of webhooks are stored in ``characters``."""
    change = f"ALTER TABLE {TABLE} MODIFY url LONGTEXT CHARACTER SET"
    with connection.cursor() as cursor:
        cursor.execute(f"{change} {characters} NOT NULL")
        try:
            yield
        finally:
            cursor.execute(f"DELETE FROM {TABLE}")
            cursor.execute(f"{change} utf8mb4 NOT NULL")


def make(client, url):
    document = {"url": url, "action": "PROCESSED", "entityType": "async"}
    return client.post(ADDRESS, document, content_type="application/json")


def refusal(client):
    """The response to a URL that must not be called."""
    refused = make(client, "http://10.0.0.1/")
    return refused.status_code, refused.json()


@old_columns
@pytest.mark.parametrize(
    ("characters", "url"),
    [("latin1", "https://example.com/путь"), ("latin1", "https://пример.рф/"), ("utf8mb3", "https://example.com/😀")],
)
def test_url_outside_the_columns_character_set_is_refused(client, characters, url):
    with kept_in(characters):
        refused = make(client, url)
        assert (refused.status_code, refused.json()) == refusal(client)
        assert make(client, "https://example.com/path").status_code == 200


@pytest.mark.parametrize("error", [DataError("no"), OperationalError(1366, "Incorrect string value")])
def test_driver_error_about_characters_is_a_refusal(client, monkeypatch, error):
    def refuse(self, **kwargs):
        raise error

    monkeypatch.setattr(Webhook, "save", refuse)
    refused = make(client, "https://example.com/путь")
    assert (refused.status_code, refused.json()) == refusal(client)
    assert refused.status_code == 412
    assert not Webhook.objects.exists()
