"""Dates are instants, whatever time zone the project and its database use."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_asyncexchange import encryption
from django_asyncexchange.executors.django_q.orm_broker import WakingBroker
from django_asyncexchange.models import AsyncTask, Delivery, Webhook
from django_asyncexchange.models.timestamps import utc_now
from django_asyncexchange.protocol.states import State
from django_asyncexchange.rest.serializers import AsyncTaskSerializer
from django_asyncexchange.tasks import dispatch, lifecycle, pruning, recovery
from django_asyncexchange.webhooks import attempts

from ..services import IDLE, PATIENCE, exchange, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

FAR = "Asia/Tokyo"
NAIVE = {"USE_TZ": False, "TIME_ZONE": FAR}
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def session(monkeypatch):
    """A database whose sessions have a time zone other than UTC."""
    if connection.vendor != "mysql":
        pytest.skip("NOW() knows no zone but UTC there, or gives an instant")
    connection.close()
    options = {**connection.settings_dict["OPTIONS"], "init_command": "SET time_zone = '+09:00'"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    yield
    connection.close()


@pytest.fixture
def naive():
    with override_settings(**NAIVE):
        yield
    connection.close()


@pytest.fixture(params=["naive", "session"])
def far(request):
    """A project with ``USE_TZ = False`` far from UTC, or a database session with another time zone."""
    request.getfixturevalue(request.param)


def is_now(moment):
    return abs(moment - utc_now()) < MINUTE


@pytest.fixture
def anna(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("anna"))
    return client


def test_dates_of_a_call_are_right_from_submit_to_result(far, anna):
    response = anna.post("/ran/", b"x", content_type="text/plain", headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    document = anna.get(response["Location"].replace("/operations/", "/tasks/")).json()
    task = AsyncTask.objects.get()
    assert task.state == "DONE"
    assert all(is_now(moment) for moment in (task.created, task.sent, task.started, task.finished))
    assert task.deletion_date > utc_now() + MINUTE
    dates = [parse_datetime(text) for name, text in document.items() if name in ("created", "started", "finished")]
    assert dates and all(is_now(date) for date in dates)


@pytest.mark.parametrize("dialect", ["moysklad", "mailru", "cisco", "solitude", "kladana"])
def test_every_dialect_accepts(far, dialect):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        task = submitted([b"x" * 100_000], dialect=dialect)
    task.refresh_from_db()
    assert is_now(task.created)


def test_list_is_filtered_by_date(far, anna):
    anna.post("/ran/", b"", content_type="text/plain", headers={"Prefer": "respond-async"})
    found = []
    for moment in (utc_now() - MINUTE, utc_now() + MINUTE):
        text = moment.isoformat().replace("+00:00", "Z")
        found.append(anna.get("/async/tasks", {"created__gte": text}).json())
    assert [str(AsyncTask.objects.get().pk) in str(page) for page in found] == [True, False]


def test_only_due_work_is_recovered_and_pruned(far):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        running, expired = stored(), stored(State.DONE, answer=b"{}", deletion_date=utc_now() - MINUTE)
        fresh = stored(State.DONE, answer=b"{}", deletion_date=utc_now() + MINUTE)
        lifecycle.claim(running.pk)
        assert recovery.recover() == {"again": 0, "lost": 0, "resent": 0}
        assert dispatch.sweep() == 0
        assert pruning.prune()["bodies"] == 1
    assert (expired.bodies.count(), fresh.bodies.count()) == (0, 1)


def test_webhook_deliveries_are_due_now_and_old_secrets_expire(far):
    webhook = Webhook.objects.create(dialect="prefer", account="one", action="CREATE", url="https://there.example/")
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        submitted(dialect="prefer")
    row = Delivery.objects.select_related("webhook", "task").get(webhook=webhook)
    assert is_now(row.due)
    webhook.secret = webhook.former_secret = encryption.seal_secret("whsec_" + "A" * 32)
    webhook.former_until = utc_now() - MINUTE
    webhook.save()
    row.webhook.refresh_from_db()
    assert row.webhook.former_until < utc_now() < row.webhook.former_until + 2 * MINUTE
    assert len(attempts.signing_secrets(row)) == 1


@pytest.fixture
def broker():
    broker = WakingBroker("tests")
    yield broker
    broker.reconnect()  # closes its connection for notifications


def test_broker_hands_out_a_message_immediately_and_once(far, broker):
    number = broker.enqueue("message")
    assert [taken for taken, _ in broker.take(PATIENCE)] == [number]
    assert broker._claim() == []
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)


def test_message_of_a_host_with_a_fast_clock_is_handed_out_immediately(monkeypatch, broker):
    """A web server's clock may be hours ahead of the clock by which messages are handed out."""
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: ahead)
        number = broker.enqueue("message")
    assert [taken for taken, _ in broker.take(PATIENCE)] == [number]


@pytest.mark.parametrize("text", ["2026-10-25T00:30:00.123456+00:00", "2026-10-25T01:30:00.123456+00:00"])
def test_repeated_hour_of_daylight_saving_time_is_two_instants(naive, text):
    moment = dt.datetime.fromisoformat(text)
    with override_settings(TIME_ZONE="Europe/Berlin"):
        task = stored(not_before=moment)
        assert task.not_before == moment
        assert AsyncTask.objects.get(not_before=moment) == task


def test_naive_datetime_is_local_time_of_the_project(naive):
    task = stored(not_before=dt.datetime(2026, 1, 1, 9))
    assert task.not_before == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_serialized_date_is_marked_as_utc(naive):
    text = AsyncTaskSerializer(stored()).data["created"]
    assert text.endswith("Z")
    assert is_now(parse_datetime(text))


def test_use_tz_false_needs_no_migration():
    out = io.StringIO()
    call_command("makemigrations", "asyncexchange", check=True, dry_run=True, stdout=out)
    assert "No changes" in out.getvalue()
