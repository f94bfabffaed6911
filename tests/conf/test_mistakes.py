"""Fifty mistakes in settings: ``manage.py check`` names each, and no call is accepted that could not be kept."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings
from django.urls import clear_url_caches

from django_asyncexchange import configuration
from django_asyncexchange.checks import CheckId
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.worker import runner

from ..mistakes import MISTAKES, option
from ..services import exchange, runs, stored

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


def test_there_are_fifty_mistakes():
    assert len(MISTAKES) >= 50


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_reported_with_a_hint(name):
    id, _, word = MISTAKES[name]
    with mistaken(name):
        found = checks.run_checks()
    [message] = [message for message in found if message.id == id]
    assert word in message.hint


ASKING = pytest.mark.parametrize("headers", [{"Prefer": "respond-async"}, {"Solitude-Async": "wait"}])


@pytest.mark.urls("tests.services")
@ASKING
def test_call_is_accepted_without_a_mistake(headers, admin_user):
    assert submit(headers, admin_user) == 202


@pytest.mark.urls("tests.services")
@pytest.mark.parametrize("name", [name for name, (id, _, _) in MISTAKES.items() if id not in HARMLESS])
@ASKING
def test_call_is_not_accepted_with_a_mistake(name, headers, admin_user):
    with mistaken(name):
        status = None
        with contextlib.suppress(ImproperlyConfigured):
            status = submit(headers, admin_user)
        assert status in (None, 200, 503)
    assert not AsyncTask.objects.exists()


def test_server_does_not_start_with_a_mistake():
    with mistaken("a duration in words"), pytest.raises(ImproperlyConfigured) as error:
        WSGIHandler()
    assert "['RETENTION']: '1h' is no duration. Write seconds, like 3600" in str(error.value)


def test_all_mistakes_are_reported_at_once():
    wrong = option(RETENTION="1h", CAPACITY="4")["ASYNC_EXCHANGE"]
    with override_settings(ASYNC_EXCHANGE={**wrong, "VIEWS": "/x/"}), pytest.raises(ImproperlyConfigured) as error:
        configuration.require_usable()
    assert [name for name in ("RETENTION", "CAPACITY", "VIEWS") if name not in str(error.value)] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.services")
def test_worker_with_a_mistake_runs_nothing_and_loses_nothing():
    task = stored()
    with mistaken("bytes below nothing"):
        runner.run(str(task.pk))
    task.refresh_from_db()
    assert (task.state, runs()) == (State.PENDING, 0)
    runner.run(str(task.pk))
    task.refresh_from_db()
    assert (task.state, runs()) == (State.DONE, 1)


RIGHT = {
    "VIEWS": {"/ran/*", "report-doors:unmarked"},
    "WEBHOOK_PORTS": range(1, 65536),
    "WEBHOOK_ALLOWED_NETWORKS": ("10.1.0.0/16", "::1", "127.0.0.1"),
    "WEBHOOK_SCHEDULE": [0, 1.5],
    "WEBHOOK_PROXY": "http://user:password@proxy.example:3128",
    "ENCRYPTION_KEYS": [
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    ],
    "SECRET_NAMES": ["X-Company-*", "sid"],
    "PRUNE_SECONDS": 0,
    "INLINE_BYTES": 0,
    "OWNER": "tests.services.company",
    "QUEUES": {"deliver": "webhooks"},
}


@pytest.mark.parametrize("key", RIGHT)
def test_valid_setting_is_accepted(key):
    with override_settings(ASYNC_EXCHANGE=exchange(**{key: RIGHT[key]})):
        assert list(configuration.problems()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"RETENTION": dt.timedelta(days=1)},
        {"RETENTION": 0.5},
        {"CAPACITY": None},
        {"PREFIX": "/"},
        {"PREFIX": "/api/remap/1.2/"},
        {"TIME_ZONE": "Asia/Yekaterinburg"},
        {"LANGUAGE": "pt-BR"},
        {"TEXTS": {"61002": "Wait."}},
        {"WEBHOOKS": 0},
    ],
    ids=str,
)
def test_valid_mount_option_is_accepted(options):
    with override_settings(**option(**options)):
        assert list(configuration.problems()) == []
