"""Receivers T1 to T12, each a real server: what a sender has to cope with.

T4 and T8 alone: ``webhooks.test_transport``; T5 with many good receivers: ``tests/faults``.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from email.utils import format_datetime
from pathlib import Path

import pytest
from django.conf import settings as project
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook as Verifier

from django_asyncexchange.dialects.base import DeliveryRules, Dialect
from django_asyncexchange.models import Delivery, DeliveryAttempt, Webhook
from django_asyncexchange.webhooks import attempts, subscriptions

from .. import receivers
from ..receivers import LOOPBACK, misbehaving, receiving
from ..services import IDLE, PATIENCE, exchange, until
from .test_delivery import deliver, finished, later, subscribed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture(autouse=True)
def loopback(settings):
    settings.ASYNC_EXCHANGE = exchange(
        EXECUTOR=IDLE, WEBHOOK_ALLOWED_NETWORKS=LOOPBACK, WEBHOOK_PORTS=range(1, 65536), WEBHOOK_REQUIRE_HTTPS=False
    )


@pytest.fixture
def impatient(monkeypatch):
    """A second of patience with receivers, where all of them use it up: a good one may need more on a busy machine."""
    rules = DeliveryRules(connect_timeout=1, read_timeout=0.5, total_timeout=1)
    monkeypatch.setattr(Dialect, "DELIVERY_RULES", {"signed": rules})


def waits_for():
    """Seconds until the only delivery is retried."""
    row = Delivery.objects.get()
    assert row.state == Delivery.WAITING
    tried = DeliveryAttempt.objects.latest("pk").at
    return (row.due - tried).total_seconds()


def ids(receiver):
    return [seen.headers["webhook-id"] for seen in receiver.seen]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_t1_any_2xx_is_delivered(status):
    with receiving((status, {"Content-Length": "0"}, b"")) as receiver:
        subscribed(receiver.url())
        finished()
        deliver()
    assert Delivery.objects.get().state == Delivery.DELIVERED


def test_t2_two_500_are_retried_with_the_same_id_and_a_new_signature(monkeypatch):
    now = timezone.now
    with receiving(500, 500, 200) as receiver:
        webhook, secret = subscribed(receiver.url())
        finished()
        times = []
        for _ in range(3):
            deliver()
            later(hours=1)
            times.append(receiver.seen[-1].headers["webhook-timestamp"])
            passed = dt.timedelta(seconds=len(times))
            monkeypatch.setattr(attempts, "utc_now", lambda passed=passed: now() + passed)
    assert len(set(ids(receiver))) == len({seen.body for seen in receiver.seen}) == 1
    assert len(set(times)) == 3
    assert all(Verifier(secret).verify(seen.body, seen.headers) for seen in receiver.seen)
    assert Delivery.objects.get().state == Delivery.DELIVERED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_t3_redirect_is_a_failure_and_not_followed(status):
    with receiving() as canary, receiving((status, {"Location": canary.url(), "Content-Length": "0"}, b"")) as receiver:
        subscribed(receiver.url())
        finished()
        deliver()
    assert not canary.seen
    assert (Delivery.objects.get().state, DeliveryAttempt.objects.get().status_code) == (Delivery.WAITING, status)


@pytest.mark.parametrize(
    "misbehave", [receivers.drip_header, receivers.drip_body, receivers.black_hole, receivers.go_on]
)
def test_t4_timeout_is_retried_later(impatient, misbehave):
    with misbehaving(misbehave) as port:
        subscribed(f"http://127.0.0.1:{port}/")
        finished()
        deliver()
    assert DeliveryAttempt.objects.get().error == "timeout"
    assert 0.8 * 60 - 1 <= waits_for() <= 1.2 * 60 + 1


def test_t4_connection_reset_is_retried_later():
    with misbehaving(receivers.reset) as port:
        subscribed(f"http://127.0.0.1:{port}/")
        finished()
        deliver()
    assert DeliveryAttempt.objects.get().error == "protocol"
    assert 0.8 * 30 - 1 <= waits_for() <= 1.2 * 30 + 1


def test_t5_one_hanging_receiver_does_not_delay_50_others(settings, monkeypatch):
    rules = DeliveryRules(read_timeout=PATIENCE, total_timeout=PATIENCE)
    monkeypatch.setattr(Dialect, "DELIVERY_RULES", {"signed": rules})
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "DIALECTS": {"prefer": {"WEBHOOKS": 51}}}

    def hang(seen):
        until(lambda: DeliveryAttempt.objects.count() == 50)
        connection.close()

    with receiving(500) as hanging, receiving() as receiver:
        hanging.before = hang
        subscribed(hanging.url())
        for number in range(50):
            subscribed(receiver.url(f"/{number}"))
        finished()
        deliver()
    order = list(DeliveryAttempt.objects.order_by("pk").values_list("status_code", flat=True))
    assert order == [200] * 50 + [500]


def test_t6_410_disables_the_webhook():
    with receiving(410) as receiver:
        webhook, _ = subscribed(receiver.url())
        finished()
        deliver()
        finished()
        later(days=1)
        deliver()
    webhook.refresh_from_db()
    assert (len(receiver.seen), webhook.enabled) == (1, False)
    assert Delivery.objects.get().state == Delivery.FAILED


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("90", 90, 90),
        ("86400", 120, 120),
        ("9" * 400, 120, 120),
        ("-5", 48, 72),
        ("0", 60, 60),
        ("soon", 48, 72),
        ("Thu, 31 Feb 2026 00:00:00 GMT", 48, 72),
        ("Feb 31 23:59:59 9999999999931", 48, 72),
    ],
)
def test_t7_retry_after_in_seconds_is_limited(said, least, most):
    with receiving((429, {"Retry-After": said}, b"")) as receiver:
        subscribed(receiver.url())
        finished()
        deliver()
    assert least - 1 <= waits_for() <= most + 1


def test_t7_retry_after_may_be_a_date():
    moment = timezone.now().replace(microsecond=0) + dt.timedelta(seconds=90)
    with receiving((429, {"Retry-After": format_datetime(moment, usegmt=True)}, b"")) as receiver:
        subscribed(receiver.url())
        finished()
        deliver()
    assert abs(Delivery.objects.get().due - moment) <= dt.timedelta(seconds=1)


@pytest.mark.parametrize("misbehave", [receivers.bomb, receivers.flood])
def test_t8_large_response_is_neither_read_nor_stored_whole(misbehave):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with misbehaving(misbehave) as port:
        subscribed(f"http://127.0.0.1:{port}/")
        finished()
        deliver()
    assert Delivery.objects.get().state == Delivery.DELIVERED
    assert len(DeliveryAttempt.objects.get().answer) <= 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB; see also test_transport


def test_t9_connection_lost_after_the_request_is_retried_with_the_same_id():
    with receiving(200) as receiver:
        receiver.before = lambda seen: len(receiver.seen) == 1 and receiver.hang_up(seen)
        subscribed(receiver.url())
        finished()
        deliver()
        later(hours=1)
        deliver()
    assert len(receiver.seen) == 2
    assert len({(seen.headers["webhook-id"], seen.body) for seen in receiver.seen}) == 1
    assert Delivery.objects.get().state == Delivery.DELIVERED


def test_t10_delivery_of_a_killed_sender_is_sent_again():
    with receiving() as receiver:
        taken, killed = threading.Event(), threading.Event()

        def hold(seen):
            taken.set()
            killed.wait(PATIENCE)

        receiver.before = hold
        subscribed(receiver.url())
        finished()
        with sending(receiver.port) as sender:
            assert taken.wait(PATIENCE)
            sender.send_signal(signal.SIGKILL)
            sender.wait()
        killed.set()
        assert not DeliveryAttempt.objects.exists()
        deliver()
    assert len(receiver.seen) == 2
    assert len({(seen.headers["webhook-id"], seen.body) for seen in receiver.seen}) == 1
    assert Delivery.objects.get().state == Delivery.DELIVERED


def test_t11_secret_rotated_between_attempts_signs_beside_the_old():
    with receiving(500, 500, 200) as receiver:
        webhook, old = subscribed(receiver.url())
        finished()
        deliver()
        new = subscriptions.rotate(webhook).secret
        later(hours=1)
        deliver()
        Webhook.objects.update(former_until=timezone.now() - dt.timedelta(seconds=1))
        later(hours=1)
        deliver()
    assert [accepts(old, seen) for seen in receiver.seen] == [True, True, False]
    assert [accepts(new, seen) for seen in receiver.seen] == [False, True, True]


def test_t12_webhook_deleted_between_attempts_gets_nothing():
    with receiving(500) as receiver:
        webhook, _ = subscribed(receiver.url())
        finished()
        deliver()
        subscriptions.remove(webhook)
        later(hours=1)
        deliver()
    assert len(receiver.seen) == 1
    assert not Delivery.objects.exists()


def test_t12_webhook_deleted_during_an_attempt_leaves_nothing():
    with receiving(500) as receiver:
        webhook, _ = subscribed(receiver.url())
        receiver.before = lambda seen: (Webhook.objects.get().delete(), connection.close())
        finished()
        deliver()
    assert not Delivery.objects.exists()
    assert not DeliveryAttempt.objects.exists()


def test_all_twelve_receivers_are_tested():
    found = {int(number) for number in re.findall(r"^def test_t(\d+)_", Path(__file__).read_text(), re.MULTILINE)}
    assert found == set(range(1, 13))


def accepts(secret, seen):
    try:
        return Verifier(secret).verify(seen.body, seen.headers) == json.loads(seen.body)
    except Exception:
        return False


def sending(port):
    """A process that sends what is due in the test database, to ``port`` only."""
    told = {
        "database": {name: value for name, value in connection.settings_dict.items() if name != "TEST"},
        "exchange": {**project.ASYNC_EXCHANGE, "WEBHOOK_PORTS": [port]},
    }
    return subprocess.Popen(
        [sys.executable, "-c", SENDER, json.dumps(told, default=str)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


SENDER = """
import json, sys
told = json.loads(sys.argv[1])
from tests import settings
settings.DATABASES = {"default": told["database"]}
settings.ASYNC_EXCHANGE = told["exchange"]
import django
django.setup()
from django_asyncexchange.webhooks import delivery
delivery.run("")
"""
