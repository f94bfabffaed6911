"""What is sent, how often, and when it is given up: real receivers, and time that is moved in the rows."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import random
import threading
import time
import uuid
from email.utils import format_datetime

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from django_asyncexchange import encryption
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base import DeliveryRules, Dialect
from django_asyncexchange.dialects.base.webhooks import WebhookFields
from django_asyncexchange.exceptions import SubscriptionNotFound
from django_asyncexchange.models import AsyncTask, Delivery, DeliveryAttempt, Webhook
from django_asyncexchange.protocol import process_id
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.signals import webhook_delivered, webhook_disabled, webhook_failed
from django_asyncexchange.tasks import lifecycle, pruning
from django_asyncexchange.webhooks import attempts, delivery, outbox, retry_policy, subscriptions
from django_asyncexchange.webhooks.transport import Outcome
from django_asyncexchange.worker import runner

from .. import receivers
from ..receivers import LOOPBACK, misbehaving, receiving
from ..services import BROKEN, IDLE, PATIENCE, Idle, exchange, stored, submitted, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

ANY_PORT = range(1, 65536)
LONG = 1000.0
"""Longer than any test, in seconds."""


@pytest.fixture(autouse=True)
def settings_of_webhooks(settings):
    settings.ASYNC_EXCHANGE = exchange(
        EXECUTOR=IDLE,
        WEBHOOK_ALLOWED_NETWORKS=LOOPBACK,
        WEBHOOK_PORTS=ANY_PORT,
        WEBHOOK_REQUIRE_HTTPS=False,
    )


def subscribed(url, action="PROCESSED", *, dialect="prefer", account="one", **fields):
    """(the webhook, its secret)"""
    owner = Owner(account=account, kind="employee", id="7")
    made = subscriptions.create(conf.dialect(dialect), owner, None, WebhookFields(url=url, action=action, **fields))
    return Webhook.objects.get(pk=made.id), made.secret


def finished(dialect="prefer", **more):
    task = submitted(dialect=dialect, **more)
    runner.run(str(task.pk))
    return AsyncTask.objects.get(pk=task.pk)


def deliver():
    delivery.run("")


def later(**span):
    """Move all deliveries into the past, as if time had passed."""
    Delivery.objects.update(due=F("due") - dt.timedelta(**span))


class Clock:
    """The clock of the sender, which may be moved."""

    passed = 0.0

    def monotonic(self):
        return time.monotonic() + self.passed


@pytest.fixture
def clock(monkeypatch):
    """One call of the sender takes new deliveries until ``LONG`` has passed, and ends after twice that."""
    clock = Clock()
    monkeypatch.setattr(delivery, "time", clock)
    monkeypatch.setattr(delivery, "CLAIM_SECONDS", LONG)
    monkeypatch.setattr(delivery, "DRAIN_SECONDS", LONG)
    monkeypatch.setattr(delivery, "POLL_BACKOFF", 0)  # a look during which it is moved seems to take long
    return clock


def bodies(receiver):
    return [json.loads(seen.body) for seen in receiver.seen]


# Events --------------------------------------------------------------------------------------------------------------


class TestEvents:
    def test_processed_event_is_delivered_and_signed(self):
        with receiving() as receiver:
            _, secret = subscribed(receiver.url())
            task = finished()
            deliver()
        [seen] = receiver.seen
        told = Verifier(secret).verify(seen.body, seen.headers)
        assert told["type"] == "task.processed"
        assert (told["data"]["id"], told["data"]["state"]) == (str(task.pk), "DONE")
        assert told["data"]["links"]["result"] == f"{task.base}/tasks/{task.pk}/result"
        assert Delivery.objects.get().state == Delivery.DELIVERED

    @pytest.mark.parametrize(
        ("action", "states"), [("CREATE", ["PENDING"]), ("UPDATE", ["PROCESSING", "DONE"]), ("PROCESSED", ["DONE"])]
    )
    def test_each_action_sends_its_own_transitions(self, action, states):
        with receiving() as receiver:
            subscribed(receiver.url(), action)
            finished()
            deliver()
        assert sorted(told["data"]["state"] for told in bodies(receiver)) == sorted(states)

    @pytest.mark.parametrize("state", [State.ERROR, State.CANCEL])
    def test_each_final_state_sends_processed(self, state):
        with receiving() as receiver:
            subscribed(receiver.url())
            task = submitted(dialect="prefer", to="/raises/")
            lifecycle.cancel(task) if state is State.CANCEL else runner.run(str(task.pk))
            deliver()
        assert [told["data"]["state"] for told in bodies(receiver)] == [state]

    def test_webhook_of_another_account_gets_nothing(self):
        subscribed("http://127.0.0.1:9/", account="two")
        finished()
        assert not Delivery.objects.exists()

    def test_webhook_of_another_mount_gets_nothing(self):
        subscribed("http://127.0.0.1:9/", dialect="moysklad")
        finished()
        assert not Delivery.objects.exists()

    def test_disabled_webhook_gets_nothing(self):
        subscribed("http://127.0.0.1:9/", enabled=False)
        finished()
        assert not Delivery.objects.exists()

    def test_rolled_back_transition_sends_nothing(self):
        subscribed("http://127.0.0.1:9/", "CREATE")
        with pytest.raises(RuntimeError), transaction.atomic():
            submitted(dialect="prefer")
            raise RuntimeError
        assert not Delivery.objects.exists()

    def test_webhook_deleted_while_its_event_is_written_causes_no_error(self):
        """The event is written in the transaction that ends the call."""
        webhook, _ = subscribed("http://127.0.0.1:9/")
        task = stored(State.PROCESSING, dialect="prefer", account="one")
        errors = []

        def remove():
            try:
                subscriptions.remove(webhook)
            except Exception as error:
                errors.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=remove)
        with transaction.atomic():
            outbox.add(task, "PROCESSED", has_webhooks=True)
            thread.start()
            thread.join(0.5)  # blocks, or goes on
        thread.join()
        assert errors == []
        assert not Webhook.objects.exists()
        assert not Delivery.objects.exists()

    @pytest.mark.parametrize("outcome", [Outcome(status=200), Outcome(error="timeout")], ids=["arrived", "again"])
    def test_webhook_deleted_while_an_attempt_is_recorded_causes_no_error(self, outcome):
        webhook, _ = subscribed("http://127.0.0.1:9/")
        finished()
        [row] = delivery.claim(1)
        errors = []

        def remove():
            try:
                subscriptions.remove(webhook)
            except Exception as error:
                errors.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=remove)
        with transaction.atomic():
            attempts.record(row, DeliveryRules(), [outcome])
            thread.start()
            thread.join(0.5)
        thread.join()
        assert errors == []
        assert not Delivery.objects.exists()

    def test_dialect_without_webhooks_makes_no_query(self, django_assert_num_queries):
        task = stored(State.PROCESSING, dialect="solitude", account="one")
        with django_assert_num_queries(0):
            outbox.add(task, "PROCESSED", has_webhooks=True)


# Attempts ------------------------------------------------------------------------------------------------------------


class TestRetries:
    def test_each_attempt_has_the_same_id_and_body_and_a_new_signature(self):
        with receiving(500, 500, 200) as receiver:
            _, secret = subscribed(receiver.url())
            finished()
            for _ in range(3):
                deliver()
                later(hours=1)
        assert len(receiver.seen) == 3
        assert len({(seen.headers["webhook-id"], seen.body) for seen in receiver.seen}) == 1
        for seen in receiver.seen:
            Verifier(secret).verify(seen.body, seen.headers)
        assert Delivery.objects.get().state == Delivery.DELIVERED
        assert [attempt.status_code for attempt in DeliveryAttempt.objects.order_by("pk")] == [500, 500, 200]

    def test_failed_delivery_is_not_sent_before_it_is_due(self):
        with receiving(500) as receiver:
            subscribed(receiver.url())
            finished()
            deliver()
            deliver()
        assert len(receiver.seen) == 1

    def test_delivery_is_given_up_after_the_last_attempt(self):
        with receiving(500) as receiver:
            webhook, _ = subscribed(receiver.url())
            finished()
            for _ in range(12):
                deliver()
                later(days=1)
        assert len(receiver.seen) == 9
        assert Delivery.objects.get().state == Delivery.FAILED
        webhook.refresh_from_db()
        assert (webhook.failed, webhook.enabled) == (1, True)

    def test_410_disables_the_webhook(self):
        with receiving(410) as receiver:
            webhook, _ = subscribed(receiver.url())
            finished()
            deliver()
        webhook.refresh_from_db()
        assert not webhook.enabled
        assert webhook.disabled_reason
        assert Delivery.objects.get().state == Delivery.FAILED

    def test_redirect_is_a_failure_and_not_followed(self):
        with receiving() as canary, receiving((302, {"Location": canary.url()}, b"")) as receiver:
            subscribed(receiver.url())
            finished()
            deliver()
        assert not canary.seen
        assert Delivery.objects.get().state == Delivery.WAITING

    def test_url_that_became_forbidden_is_given_up_without_a_connection(self, settings):
        with receiving() as receiver:
            subscribed(receiver.url())
            finished()
            settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "WEBHOOK_ALLOWED_NETWORKS": ()}
            deliver()
        assert not receiver.seen
        assert DeliveryAttempt.objects.get().error == "refused"
        assert Delivery.objects.get().state == Delivery.FAILED

    def test_connection_reset_before_the_response_is_retried(self):
        with misbehaving(receivers.reset) as port:
            webhook, _ = subscribed(f"http://127.0.0.1:{port}/")
            finished()
            deliver()
        assert DeliveryAttempt.objects.get().error == "protocol"
        assert Delivery.objects.get().state == Delivery.WAITING

    def test_webhook_deleted_between_attempts_gets_nothing(self):
        with receiving(500) as receiver:
            webhook, _ = subscribed(receiver.url())
            finished()
            deliver()
            webhook.delete()
            later(hours=1)
            deliver()
        assert len(receiver.seen) == 1
        assert not Delivery.objects.exists()

    def test_webhook_disabled_between_attempts_gets_nothing(self):
        with receiving(500) as receiver:
            webhook, _ = subscribed(receiver.url())
            finished()
            deliver()
            Webhook.objects.update(enabled=False)
            later(hours=1)
            deliver()
        assert len(receiver.seen) == 1
        assert Delivery.objects.get().state == Delivery.FAILED

    def test_rotated_secret_and_its_predecessor_sign_for_a_day(self):
        with receiving(500, 200) as receiver:
            webhook, old = subscribed(receiver.url())
            finished()
            deliver()
            new = subscriptions.rotate(webhook).secret
            later(hours=1)
            deliver()
        seen = receiver.seen[-1]
        for secret in (old, new):
            assert Verifier(secret).verify(seen.body, seen.headers)

    def test_old_secret_does_not_sign_after_a_day(self):
        webhook, old = subscribed("http://127.0.0.1:9/")
        subscriptions.rotate(webhook)
        task = finished()
        Webhook.objects.update(former_until=timezone.now() - dt.timedelta(seconds=1))
        row = Delivery.objects.select_related("webhook", "task").get(task=task)
        assert old not in attempts.signing_secrets(row)
        assert len(attempts.signing_secrets(row)) == 1

    def test_failures_for_days_disable_the_webhook(self):
        with receiving(500) as receiver:
            webhook, _ = subscribed(receiver.url())
            Webhook.objects.update(failing_since=timezone.now() - dt.timedelta(days=5, minutes=1))
            finished()
            Delivery.objects.update(tries=8)
            deliver()
        webhook.refresh_from_db()
        assert not webhook.enabled
        assert webhook.disabled_reason

    def test_success_resets_failing_since(self):
        with receiving() as receiver:
            webhook, _ = subscribed(receiver.url())
            Webhook.objects.update(failing_since=timezone.now() - dt.timedelta(days=9))
            finished()
            deliver()
        webhook.refresh_from_db()
        assert (webhook.failing_since, webhook.delivered, webhook.enabled) == (None, 1, True)
        assert webhook.last_success


class TestChanges:
    """The owner changes a webhook while others change it as well."""

    def test_stale_change_keeps_counters_and_secret(self):
        stale, _ = subscribed("http://127.0.0.1:9/")
        Webhook.objects.update(delivered=7, last_success=timezone.now())
        secret = subscriptions.rotate(Webhook.objects.get()).secret
        told = subscriptions.change(stale, conf.dialect("prefer"), WebhookFields(url="http://127.0.0.1:9/other"))
        webhook = Webhook.objects.get()
        assert (webhook.url, webhook.delivered, told.delivered) == ("http://127.0.0.1:9/other", 7, 7)
        assert encryption.unseal_secret(webhook.secret) == secret

    def test_stale_change_does_not_recreate_a_deleted_webhook(self):
        stale, _ = subscribed("http://127.0.0.1:9/")
        subscriptions.remove(Webhook.objects.get())
        with pytest.raises(SubscriptionNotFound):
            subscriptions.change(stale, conf.dialect("prefer"), WebhookFields(enabled=False))
        assert not Webhook.objects.exists()


class TestKeys:
    """Secrets are encrypted at rest; keys may be rotated, and lost."""

    KEYS = [Fernet.generate_key().decode() for _ in range(2)]

    def arrives(self, *secrets):
        """Whether the next message verifies with each of ``secrets``."""
        with receiving() as receiver:
            Webhook.objects.update(url=receiver.url())
            finished()
            deliver()
        return [verifies(secret, receiver.seen[-1]) for secret in secrets] if receiver.seen else []

    @pytest.mark.parametrize("own", [False, True])
    def test_secret_sealed_with_a_former_key_signs(self, settings, own):
        first, second = self.KEYS
        if own:
            settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ENCRYPTION_KEYS": [first]}
        _, secret = subscribed("http://127.0.0.1:9/")
        if own:
            settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ENCRYPTION_KEYS": [second, first]}
        else:
            settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = second, [settings.SECRET_KEY]
        assert self.arrives(secret) == [True]

    def test_encryption_keys_can_be_introduced_later(self, settings):
        _, secret = subscribed("http://127.0.0.1:9/")
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ENCRYPTION_KEYS": self.KEYS[:1]}
        assert self.arrives(secret) == [True]

    def test_rotation_replaces_a_secret_whose_key_is_lost(self, settings):
        webhook, old = subscribed("http://127.0.0.1:9/")
        settings.SECRET_KEY = self.KEYS[0]
        assert self.arrives() == []
        new = subscriptions.rotate(webhook).secret
        assert self.arrives(old, new) == [False, True]

    def test_callback_secret_is_replaced_when_its_key_is_lost(self, settings):
        old = subscriptions.callback_secret("prefer", "one")
        settings.SECRET_KEY = self.KEYS[0]
        new = subscriptions.callback_secret("prefer", "one")
        assert new != old
        assert subscriptions.callback_secret("prefer", "one") == new

    def test_callback_is_signed_with_both_secrets_after_a_rotation(self):
        old = subscriptions.callback_secret("prefer", "one")
        new = subscriptions.rotate_callback_secret("prefer", "one")
        row = Delivery(task=stored(State.DONE, dialect="prefer", account="one"))
        assert attempts.signing_secrets(row) == [new, old]


def verifies(secret, seen):
    try:
        return Verifier(secret).verify(seen.body, seen.headers) == json.loads(seen.body)
    except WebhookVerificationError:
        return False


class TestPauses:
    NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)

    def pause(self, tries=1, **outcome):
        return retry_policy.pause(DeliveryRules(), Outcome(**outcome), tries, self.NOW)

    def test_pauses_follow_the_schedule_with_jitter(self):
        random.seed(1)
        for tries, step in enumerate([30, 120, 300, 900, 1800, 7200, 18000, 36000], 1):
            found = {self.pause(tries, status=500) for _ in range(50)}
            assert len(found) > 40
            assert all(0.8 * step <= pause <= 1.2 * step for pause in found)
        assert self.pause(9, status=500) is None

    @pytest.mark.parametrize("outcome", [{"status": 429}, {"status": 502}, {"status": 504}, {"error": "timeout"}])
    def test_overloaded_receiver_is_not_retried_for_a_minute(self, outcome):
        assert self.pause(1, **outcome) >= 48

    @pytest.mark.parametrize(
        ("said", "pause"),
        [("130", 130), ("1", 120), ("999999999999999999999", 240), ("-5", None), ("soon", None), ("", None)],
    )
    def test_retry_after_is_limited_to_one_to_two_steps(self, said, pause):
        found = self.pause(2, status=503, retry_after=said)
        assert found == pause if pause is not None else 96 <= found <= 144

    def test_retry_after_may_be_a_date(self):
        moment = format_datetime(self.NOW + dt.timedelta(seconds=200), usegmt=True)
        assert self.pause(2, status=503, retry_after=moment) == 200

    @given(
        st.text(max_size=60) | st.from_regex(r"Feb \d{1,3} \d\d:\d\d:\d\d [-+]?\d{1,20}( [-+]\d{4})?", fullmatch=True)
    )
    @example("Feb 31 23:59:59 9999999999931")
    def test_fuzzed_retry_after_raises_nothing(self, text):
        wanted = retry_policy.seconds_of(text, self.NOW)
        assert wanted is None or wanted >= 0

    def test_refused_connection_is_retried_once_at_once(self):
        rules = DeliveryRules()
        assert retry_policy.retries_at_once(rules, Outcome(error="connect", milliseconds=5), 1)
        assert not retry_policy.retries_at_once(rules, Outcome(error="connect", milliseconds=5), 2)
        assert not retry_policy.retries_at_once(rules, Outcome(error="connect", milliseconds=1500), 1)


class TestMoySklad:
    def test_error_status_is_retried_three_times_at_once(self):
        with receiving(500) as receiver:
            subscribed(receiver.url("/hook?a=1"), dialect="moysklad")
            finished("moysklad")
            deliver()
        assert len(receiver.seen) == 4
        assert len({seen.path for seen in receiver.seen}) == 1
        assert Delivery.objects.get().state == Delivery.FAILED

    @pytest.mark.parametrize(("status", "sends"), [(200, 1), (204, 1), (201, 4), (302, 4)])
    def test_only_200_and_204_are_success(self, status, sends):
        with receiving(status) as receiver:
            subscribed(receiver.url(), dialect="moysklad")
            finished("moysklad")
            deliver()
        assert len(receiver.seen) == sends

    def test_timeout_is_not_retried(self):
        with misbehaving(receivers.black_hole) as port:
            subscribed(f"http://127.0.0.1:{port}/", dialect="moysklad")
            finished("moysklad")
            deliver()
        assert DeliveryAttempt.objects.get().error == "timeout"
        assert Delivery.objects.get().state == Delivery.FAILED

    @pytest.mark.seed("S001-47", "S001-53", "S002-55", "S002-59", "S002-60")
    def test_message_follows_the_documentation(self):
        with receiving() as receiver:
            subscribed(receiver.url("/hook?own=1#part"), dialect="moysklad")
            task = finished("moysklad")
            deliver()
        [seen] = receiver.seen
        path, _, query = seen.path.partition("?")
        assert seen.method == "POST"
        assert query.startswith("own=1&requestId=")
        assert str(uuid.UUID(query.rpartition("=")[2])) == str(Delivery.objects.get().pk)
        assert seen.headers["content-type"] == "application/json;charset=utf-8"
        told = json.loads(seen.body)
        assert told == {
            "events": [
                {
                    "meta": {"type": "async", "href": f"{task.base}/async/{task.pk}"},
                    "action": "PROCESSED",
                    "accountId": told["events"][0]["accountId"],
                }
            ]
        }
        assert uuid.UUID(told["events"][0]["accountId"])

    @pytest.mark.seed("S002-56")
    def test_updated_fields_are_sent_on_request_only(self):
        with receiving() as receiver, receiving() as other:
            subscribed(receiver.url(), "UPDATE", dialect="moysklad", with_fields=True)
            subscribed(other.url(), "UPDATE", dialect="moysklad")
            finished("moysklad")
            deliver()
        assert [told["events"][0]["updatedFields"] for told in bodies(receiver)] == [["state"], ["state"]]
        assert all("updatedFields" not in told["events"][0] for told in bodies(other))


# Senders -------------------------------------------------------------------------------------------------------------


class TestSending:
    def test_hanging_receiver_does_not_delay_others(self):
        with misbehaving(receivers.black_hole) as port, receiving() as receiver:
            for number in range(5):
                subscribed(f"http://127.0.0.1:{port}/{number}", dialect="moysklad", action="PROCESSED")
            for number in range(5):
                subscribed(receiver.url(f"/{number}"), account="two")
            finished("moysklad")
            finished(account="two")
            deliver()
        assert len(receiver.seen) == 5
        order = list(DeliveryAttempt.objects.order_by("pk").values_list("error", flat=True))
        assert order == [""] * 5 + ["timeout"] * 5

    @pytest.mark.parametrize(("queues", "sent"), [({}, 0), ({"deliver": "webhooks"}, 1)], ids=["shared", "apart"])
    def test_one_process_delivers_when_calls_share_its_queue(self, settings, queues, sent):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "QUEUES": queues}
        with receiving() as receiver:
            subscribed("http://127.0.0.1:9/")
            finished()
            [_] = delivery.claim(1)  # as another process would
            subscribed(receiver.url(), account="two")
            finished(account="two")
            deliver()
            assert len(receiver.seen) == sent

    def test_ending_process_sends_a_message_for_deliveries_left(self, clock, monkeypatch):
        left, is_ending = [], threading.Event()

        def remind():
            left.append(delivery.due().count())
            is_ending.set()

        def look(seen):
            clock.passed = 2 * LONG
            is_ending.wait(PATIENCE)  # nothing more is claimed by then
            finished(account="two")
            connections.close_all()

        monkeypatch.setattr(delivery, "enqueue", remind)
        with receiving() as receiver:
            receiver.before = look
            subscribed(receiver.url())
            subscribed(receiver.url("/two"), account="two")
            finished()
            deliver()
        assert left == [0, 1]

    def test_concurrent_requests_to_one_host_are_limited(self):
        flying, most, lock = [0], [0], threading.Lock()
        meeting = threading.Barrier(2)

        def look(seen):
            with lock:
                flying[0] += 1
                most[0] = max(most[0], flying[0])
            meeting.wait(10)
            with lock:
                flying[0] -= 1

        with receiving() as receiver:
            receiver.before = look
            for number in range(4):
                subscribed(receiver.url(f"/{number}"))
            finished()
            deliver()
        assert len(receiver.seen) == 4
        assert most[0] <= 3  # two, and one that is just finishing

    def test_concurrent_senders_send_each_delivery_once(self):
        with receiving() as receiver:
            for number in range(8):
                subscribed(receiver.url(f"/{number}"))
            finished()
            threads = [threading.Thread(target=sender) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            deliver()
        assert len(receiver.seen) == 8

    def test_delivery_of_a_dead_sender_is_sent_again(self):
        with receiving() as receiver:
            subscribed(receiver.url())
            finished()
            [row] = delivery.claim(1)
            deliver()
            assert not receiver.seen
            Delivery.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
            deliver()
        assert [seen.headers["webhook-id"] for seen in receiver.seen] == [str(row.pk)]

    def test_sender_without_its_lease_changes_nothing(self):
        with receiving() as receiver:
            subscribed(receiver.url())
            finished()
            [row] = delivery.claim(1)
            Delivery.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
            deliver()
        for status in (500, 410, 200):
            attempts.record(row, DeliveryRules(), [Outcome(status=status)])
        assert Delivery.objects.get().state == Delivery.DELIVERED
        assert DeliveryAttempt.objects.count() == 1
        webhook = Webhook.objects.get()
        assert (webhook.delivered, webhook.failed, webhook.enabled) == (1, 0, True)

    def test_delivery_that_cannot_be_built_does_not_block_others(self):
        with receiving() as receiver:
            spoilt, _ = subscribed(receiver.url("/spoilt"))
            finished()
            Webhook.objects.filter(pk=spoilt.pk).update(secret=f"gAAAA{'x' * 80}")  # sealed with a key that is lost
            later(hours=1)  # due first
            subscribed(receiver.url("/good"))
            finished(account="one")
            deliver()
        assert [seen.path for seen in receiver.seen] == ["/good"]
        row = Delivery.objects.filter(webhook=spoilt).earliest("created")
        assert (row.state, row.tries, row.attempts.get().error) == (Delivery.WAITING, 1, "internal")

    def test_attempt_that_cannot_be_recorded_does_not_block_others(self, monkeypatch):
        settle, broken = attempts.record, []

        def fails_once(row, *args):
            if not broken:
                broken.append(row.pk)
                raise OperationalError("the database has gone away")
            settle(row, *args)

        monkeypatch.setattr(attempts, "record", fails_once)
        with receiving() as receiver:
            for number in range(3):
                subscribed(receiver.url(f"/{number}"))
            finished()
            deliver()
            assert Delivery.objects.filter(state=Delivery.DELIVERED).count() == 2
            Delivery.objects.filter(state=Delivery.WAITING).update(lease_until=F("created"))
            deliver()
        ids = [seen.headers["webhook-id"] for seen in receiver.seen]
        assert sorted(ids) == sorted([*map(str, Delivery.objects.values_list("pk", flat=True)), str(broken[0])])

    def test_sent_delivery_is_recorded_although_the_next_claim_fails(self, monkeypatch):
        claim, calls, failed = delivery.claim, [], threading.Event()

        def once(count, shunned=()):
            calls.append(count)
            if len(calls) > 1:
                failed.set()
                raise OperationalError("the database has gone away")
            yield from claim(count)

        monkeypatch.setattr(delivery, "claim", once)
        with receiving() as receiver:
            receiver.before = lambda seen: failed.wait(PATIENCE)
            subscribed(receiver.url())
            finished()
            deliver()
        assert len(receiver.seen) == 1
        assert Delivery.objects.get().state == Delivery.DELIVERED

    def test_sender_under_constant_load_ends_in_time_and_requeues_itself(self, monkeypatch):
        """A queue ends what takes too long: django-q2 kills the process after ``timeout``."""
        monkeypatch.setattr(delivery, "CLAIM_SECONDS", 0.2)
        told = []
        monkeypatch.setattr(Idle, "send", lambda self, id, job="run": told.append((id, job)))
        with receiving() as receiver:
            webhook, _ = subscribed(receiver.url())
            task = finished()
            told.clear()

            def more(seen):
                for _ in range(3):
                    Delivery.objects.create(
                        webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url, host="x"
                    )
                connections.close_all()

            receiver.before = more
            thread = threading.Thread(target=sender)
            thread.start()
            thread.join(PATIENCE)
            is_over = not thread.is_alive()
            receiver.before = lambda seen: None
            thread.join()
        assert is_over
        assert {job for _, job in told} == {"deliver"}
        assert delivery.due().exists()

    def test_sender_waiting_for_slow_hosts_still_serves_others(self, clock, monkeypatch):
        rules = DeliveryRules(read_timeout=PATIENCE, total_timeout=PATIENCE)
        monkeypatch.setattr(Dialect, "DELIVERY_RULES", {"signed": rules})
        monkeypatch.setattr(delivery, "SLOW_SECONDS", LONG / 2)
        let_go = threading.Semaphore(0)
        with receiving() as slow, receiving() as receiver:
            slow.before = lambda seen: let_go.acquire(timeout=PATIENCE)
            silent, _ = subscribed(slow.url())
            good, _ = subscribed(receiver.url(), account="two")
            task = finished()

            def event(webhook):
                row = Delivery(webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url)
                row.host = webhook.url
                row.save()

            for _ in range(4):
                event(silent)
            thread = threading.Thread(target=sender)
            thread.start()
            until(lambda: len(slow.seen) == 3)  # the event of the task itself has another host name
            clock.passed = LONG
            event(good)
            until(lambda: len(receiver.seen) == 1)
            let_go.release()
            until(lambda: silent.deliveries.filter(state=Delivery.DELIVERED).count() == 1)
            event(good)
            until(lambda: len(receiver.seen) == 2)
            assert len(slow.seen) == 3  # although there is a free place
            let_go.release(2)
            thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_slow_hosts_do_not_take_all_places(self, monkeypatch):
        monkeypatch.setattr(Dialect, "DELIVERY_RULES", {"signed": DeliveryRules(read_timeout=4, total_timeout=4)})
        monkeypatch.setattr(delivery, "MAX_CONCURRENT", 4)
        monkeypatch.setattr(delivery, "SLOW_SECONDS", 0.3)
        with misbehaving(receivers.black_hole) as port, receiving() as receiver:
            webhook, _ = subscribed(f"http://127.0.0.1:{port}/")
            task = finished()
            for number in range(6):
                row = Delivery(webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url)
                row.host = f"slow{number % 4}"
                row.save()
            later(hours=1)  # due first
            subscribed(receiver.url(), account="two")
            finished(account="two")
            deliver()
        tried = list(DeliveryAttempt.objects.order_by("pk").values_list("error", flat=True))
        assert tried.index("") <= 5, tried  # as soon as the slow hosts are known
        assert len(tried) == 8

    def test_flood_for_one_host_does_not_delay_others(self):
        with receiving() as flooded, receiving() as receiver:
            webhook, _ = subscribed(flooded.url())
            task = finished()
            Delivery.objects.bulk_create(
                Delivery(
                    webhook=webhook,
                    task=task,
                    event="PROCESSED",
                    method="POST",
                    url=webhook.url,
                    host=f"127.0.0.1:{flooded.port}",
                )
                for _ in range(150)
            )
            later(hours=1)
            subscribed(receiver.url(), account="two")
            finished(account="two")
            hosts = [row.host for row in delivery.claim(delivery.MAX_CONCURRENT)]
        assert sorted(hosts) == sorted([f"127.0.0.1:{flooded.port}"] * 2 + [f"127.0.0.1:{receiver.port}"])

    def test_flood_of_one_account_does_not_delay_others_at_the_same_host(self):
        """A few services host the receivers of many accounts."""
        webhook, _ = subscribed("http://127.0.0.1:9/one")
        task = finished()
        Delivery.objects.bulk_create(
            Delivery(webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url, host="127.0.0.1:9")
            for _ in range(20)
        )
        later(hours=1)
        subscribed("http://127.0.0.1:9/two", account="two")
        finished(account="two")
        assert [row.task.account for row in delivery.claim(delivery.MAX_CONCURRENT)].count("two") == 1

    def test_hanging_receiver_does_not_delay_other_accounts_at_the_same_host(self):
        webhook, _ = subscribed("http://127.0.0.1:9/one")
        finished()
        subscribed("http://127.0.0.1:9/two", account="two")
        finished(account="two")
        hangs = webhook.deliveries.get().destination
        assert [row.task.account for row in delivery.claim(4, {hangs})] == ["two"]

    def test_backlog_of_a_disabled_webhook_does_not_delay_others(self):
        with receiving() as receiver:
            webhook, _ = subscribed("http://127.0.0.1:9/")
            task = finished()
            Delivery.objects.bulk_create(
                Delivery(webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url, host=f"h{n}")
                for n in range(150)
            )
            later(hours=1)
            Webhook.objects.update(enabled=False)
            subscribed(receiver.url(), account="two")
            finished(account="two")
            deliver()
        assert len(receiver.seen) == 1
        assert set(webhook.deliveries.values_list("state", flat=True)) == {Delivery.FAILED}

    def test_concurrent_senders_respect_the_limit_per_host(self, monkeypatch):
        """All have counted before any has claimed: the places are counted again after the claim."""
        webhook, _ = subscribed("http://127.0.0.1:9/")
        task = finished()
        Delivery.objects.bulk_create(
            Delivery(webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url, host="127.0.0.1:9")
            for _ in range(11)
        )
        looked, taken = threading.Barrier(4), []
        busy = delivery._in_flight_counts

        def together():
            seen = busy()
            with contextlib.suppress(threading.BrokenBarrierError):
                looked.wait(1)
            return seen

        monkeypatch.setattr(delivery, "_in_flight_counts", together)

        def take():
            try:
                taken.extend(delivery.claim(4))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) <= 2
        assert Delivery.objects.filter(lease_until__gt=Now()).count() == len(taken)
        Delivery.objects.update(lease_until=None)
        assert len(list(delivery.claim(4))) == 2

    def test_sweep_survives_a_broker_outage(self, settings):
        subscribed("http://127.0.0.1:9/")
        finished()
        Delivery.objects.update(sent=None)
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "EXECUTOR": BROKEN}
        assert delivery.sweep() == 0
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "EXECUTOR": IDLE}
        assert delivery.sweep() == 1

    def test_sweep_sends_a_message_only_for_due_deliveries(self):
        subscribed("http://127.0.0.1:9/")
        finished()
        assert delivery.sweep() == 0
        Delivery.objects.update(sent=None)
        assert delivery.sweep() == 1
        assert delivery.sweep() == 0
        Delivery.objects.update(sent=timezone.now() - dt.timedelta(minutes=1))
        assert delivery.sweep() == 1
        Delivery.objects.update(due=timezone.now() + dt.timedelta(minutes=1), sent=None)
        assert delivery.sweep() == 0

    def test_sweep_sends_one_message_for_a_delivery_whose_lease_ended(self):
        subscribed("http://127.0.0.1:9/")
        finished()
        assert len(list(delivery.claim(1))) == 1
        assert delivery.sweep() == 0
        Delivery.objects.update(
            sent=timezone.now() - dt.timedelta(seconds=9), lease_until=timezone.now() - dt.timedelta(seconds=1)
        )
        assert [delivery.sweep(), delivery.sweep()] == [1, 0]

    def test_delivery_of_a_dead_process_is_sent_at_once(self):
        with receiving() as receiver:
            subscribed(receiver.url())
            finished()
            assert len(list(delivery.claim(1))) == 1
            deliver()
            assert not receiver.seen  # its sender, this process, is alive
            died()
            deliver()
        assert len(receiver.seen) == 1
        assert Delivery.objects.get().state == Delivery.DELIVERED

    def test_sweep_sends_a_message_for_a_delivery_of_a_dead_process(self):
        subscribed("http://127.0.0.1:9/")
        finished()
        assert len(list(delivery.claim(1))) == 1
        died()
        assert [delivery.sweep(), delivery.sweep()] == [1, 0]

    def test_dead_process_frees_its_places_at_a_host(self, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "WEBHOOK_IN_FLIGHT": 1}
        subscribed("http://127.0.0.1:9/")
        finished()
        finished()
        assert len(list(delivery.claim(2))) == 1
        assert not list(delivery.claim(2))
        died()
        delivery.sweep()
        assert len(list(delivery.claim(2))) == 1

    def test_finished_delivery_of_a_dead_process_is_left_unchanged(self):
        subscribed("http://127.0.0.1:9/")
        finished()
        assert len(list(delivery.claim(1))) == 1
        died()
        Delivery.objects.update(state=Delivery.DELIVERED)
        assert delivery.sweep() == 0
        assert Delivery.objects.get().lease_until is not None

    def test_resend_repeats_the_same_id_and_body(self):
        with receiving() as receiver:
            webhook, _ = subscribed(receiver.url())
            finished()
            deliver()
            assert delivery.resend(webhook.deliveries.all()) == 1
            deliver()
        first, second = receiver.seen
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)

    def test_resend_for_a_disabled_webhook_waits_until_it_is_enabled(self):
        webhook, _ = subscribed("http://127.0.0.1:9/")
        finished()
        Delivery.objects.update(state=Delivery.FAILED)
        Webhook.objects.update(enabled=False)
        assert delivery.resend(webhook.deliveries.all()) == 0
        Webhook.objects.update(enabled=True)
        assert delivery.resend(webhook.deliveries.all()) == 1

    def test_waiting_delivery_is_not_resent(self):
        webhook, _ = subscribed("http://127.0.0.1:9/")
        finished()
        assert delivery.resend(webhook.deliveries.all()) == 0

    def test_signals_report_the_outcome(self):
        heard = []

        def hear(signal, sender, delivery, webhook, task, **kwargs):
            heard.append((signal is webhook_delivered, webhook, task))

        for signal in (webhook_delivered, webhook_failed):
            signal.connect(hear)
        try:
            with receiving() as receiver, receiving(410) as gone:
                arrived, _ = subscribed(receiver.url())
                failed, _ = subscribed(gone.url())
                task = finished()
                deliver()
        finally:
            for signal in (webhook_delivered, webhook_failed):
                signal.disconnect(hear)
        assert sorted(heard) == sorted([(True, arrived.pk, task.pk), (False, failed.pk, task.pk)])

    def test_webhook_disabled_signal_has_the_reason(self):
        heard = []

        def hear(sender, webhook, reason, **kwargs):
            heard.append((sender, webhook, reason))

        webhook_disabled.connect(hear)
        try:
            with receiving(410) as gone:
                webhook, _ = subscribed(gone.url())
                finished()
                deliver()
        finally:
            webhook_disabled.disconnect(hear)
        webhook.refresh_from_db()
        assert heard == [(Webhook, webhook.pk, webhook.disabled_reason)]

    def test_delivery_of_a_disabled_webhook_sends_webhook_failed(self):
        heard = []

        def hear(sender, delivery, **kwargs):
            heard.append(delivery)

        webhook_failed.connect(hear)
        try:
            subscribed("http://127.0.0.1:9/")
            finished()
            Webhook.objects.update(enabled=False)
            deliver()
        finally:
            webhook_failed.disconnect(hear)
        assert heard == [Delivery.objects.get().pk]


def died():
    """The process that has claimed deliveries is dead: its pid is another's now."""
    Delivery.objects.update(sender=f"{process_id.machine()}/{os.getpid()}/1")


def sender():
    try:
        deliver()
    finally:
        connections.close_all()


# Retention -----------------------------------------------------------------------------------------------------------


class TestRetention:
    def test_attempts_are_deleted_after_a_week(self):
        subscribed("http://127.0.0.1:9/")
        finished()
        row = Delivery.objects.get()
        for age in (6, 8):
            attempt = DeliveryAttempt.objects.create(delivery=row, milliseconds=1)
            DeliveryAttempt.objects.filter(pk=attempt.pk).update(at=timezone.now() - dt.timedelta(days=age))
        pruning.prune()
        assert DeliveryAttempt.objects.count() == 1

    def test_deliveries_are_deleted_with_their_task(self):
        subscribed("http://127.0.0.1:9/")
        finished()
        AsyncTask.objects.update(deletion_date=F("created"), purge_date=F("created"))
        pruning.prune()
        assert AsyncTask.objects.exists()  # kept while a delivery is waiting
        Delivery.objects.update(state=Delivery.FAILED)
        pruning.prune()
        assert not Delivery.objects.exists()
        assert not AsyncTask.objects.exists()

    def test_forget_counts_tasks_only(self):
        subscribed("http://127.0.0.1:9/")
        assert pruning.delete_finished([finished()]) == 1


class TestCommand:
    def run(self, *words):
        out = io.StringIO()
        call_command("asyncexchange_resend", *words, stdout=out)
        return out.getvalue()

    @pytest.fixture
    def kept(self):
        webhook, _ = subscribed("http://127.0.0.1:9/")
        for state in (Delivery.FAILED, Delivery.DELIVERED):
            task = finished()
            Delivery.objects.filter(task=task).update(state=state)
        return webhook

    def test_failed_deliveries_are_resent(self, kept):
        assert self.run() == "1 deliveries are sent again\n"
        assert Delivery.objects.filter(state=Delivery.WAITING).count() == 1

    def test_all_resends_delivered_ones_too(self, kept):
        assert self.run("--all").startswith("2 ")

    def test_deliveries_can_be_selected(self, kept):
        assert self.run("--webhook", str(uuid.uuid4())).startswith("0 ")
        assert self.run("--since", "2999-01-01T00:00:00Z").startswith("0 ")
        assert self.run("--webhook", str(kept.pk), "--since", "2020-01-01T00:00:00Z").startswith("1 ")

    @pytest.mark.parametrize(
        "words", [("--webhook", "x"), ("--since", "yesterday"), ("--since", "2020-01-01T00:00:00")]
    )
    def test_invalid_option_is_an_error(self, words):
        with pytest.raises(CommandError):
            self.run(*words)
