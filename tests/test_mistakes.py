"""Fifty mistakes, one by one: each is named by ``manage.py check``, and no call is accepted that cannot be kept."""

from __future__ import annotations

import contextlib

import pytest
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings
from django.urls import clear_url_caches

from django_asyncexchange.checks import CheckId
from django_asyncexchange.models import AsyncTask

from .mistakes import MISTAKES

HARMLESS = {CheckId.VIEW_UNKNOWN, CheckId.DIALECTS_COLLIDE, CheckId.STORAGE_WRONG}
"""With these everything that is accepted can be run and read."""

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:Overriding setting"),
]


@contextlib.contextmanager
def mistaken(name):
    wrong = dict(MISTAKES[name][1])
    with override_settings(**wrong):
        if wrong.get("ASYNC_EXCHANGE", ...) is None:
            del settings.ASYNC_EXCHANGE
        yield
    clear_url_caches()


def submit(headers, user):
    """The status of an asynchronous call."""
    client = Client(headers=headers)
    client.force_login(user)
    return client.post("/ran/").status_code


def test_there_are_fifty():
    assert len(MISTAKES) >= 50


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_cure(name):
    id, _, word = MISTAKES[name]
    with mistaken(name):
        found = checks.run_checks()
    [message] = [message for message in found if message.id == id]
    assert word in message.hint


ASKING = pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, {"Solitude-Async": "wait"}])


@pytest.mark.urls("tests.services")
@ASKING
def test_without_a_mistake_the_call_is_accepted(headers, admin_user):
    assert submit(headers, admin_user) == 202


@pytest.mark.urls("tests.services")
@pytest.mark.parametrize("name", [name for name, (id, _, _) in MISTAKES.items() if id not in HARMLESS])
@ASKING
def test_a_mistake_has_no_call_accepted(name, headers, admin_user):
    with mistaken(name):
        status = None
        with contextlib.suppress(ImproperlyConfigured):
            status = submit(headers, admin_user)
        assert status in (None, 200, 503)
    assert not AsyncTask.objects.exists()
