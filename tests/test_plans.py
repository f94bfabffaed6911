"""No operation reads the whole table of tasks, as PostgreSQL plans it. At a million rows: ``tests/benchmarks``."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import override_settings

from django_asyncexchange import delivery, lifecycle, recovery, retention, turns
from django_asyncexchange.models import AsyncTask

from .benchmarks import tables
from .benchmarks.plans import sequential_scans
from .services import IDLE, exchange, submitted

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans of PostgreSQL; test_races brings one"),
    pytest.mark.urls("tests.services"),
]

ROWS, ACCOUNTS = 20_000, 500


@pytest.fixture
def caller(client):
    """One of many accounts, in a table as it grows in use."""
    tables.fill("default", ROWS, ACCOUNTS)
    client.force_login(User.objects.get(pk=7))
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield client


def test_a_scan_of_the_whole_table_would_be_seen(caller):
    assert sequential_scans("default", lambda: list(AsyncTask.objects.filter(worker="nobody")))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?offset=20",
        "?state=API_ERROR",
        "?state__not=DONE",
        "?request__contains=/stock/",
        "?deletion_date__isnull=false",
        "?order_by=-deletion_date",
        "?order_by=url",
        "?state=DONE&method=GET&order_by=finished",
    ],
)
def test_a_page_does_not(caller, query):
    def page():
        assert caller.get(f"/async/tasks{query}").json()["count"] > 0

    assert sequential_scans("default", page) == []


def test_a_task_of_ones_own_is_found_without(caller):
    task = AsyncTask.objects.filter(account="7").first()
    assert sequential_scans("default", lambda: caller.get(f"/async/tasks/{task.pk}")) == []


def test_a_submit_a_claim_and_an_end_do_not(caller):
    task = submitted(dialect="prefer", account="7")
    assert sequential_scans("default", lambda: submitted(dialect="prefer", account="7")) == []
    assert sequential_scans("default", lambda: lifecycle.claim(task.pk)) == []
    claimed = lifecycle.claim(submitted(dialect="prefer", account="7").pk)
    assert sequential_scans("default", lambda: lifecycle.fail(claimed, "exception")) == []


@pytest.mark.parametrize("work", [recovery.recover, turns.sweep, delivery.sweep, retention.prune])
def test_housekeeping_does_not(caller, work):
    assert sequential_scans("default", work) == []
