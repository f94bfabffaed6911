from __future__ import annotations

import datetime as dt
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_asyncexchange import encryption
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base.webhooks import WebhookFields
from django_asyncexchange.models import Delivery, DeliveryAttempt, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.webhooks import subscriptions

from ..services import IDLE, exchange, stored

pytestmark = pytest.mark.django_db

FIELDS = {"dialect": "prefer", "account": "one", "action": "PROCESSED", "url": "https://example.com/", "enabled": "on"}


@pytest.fixture(autouse=True)
def idle(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture
def site(admin_user):
    client = Client()
    client.force_login(admin_user)
    return client


def place(model, what="changelist", *args):
    return reverse(f"admin:asyncexchange_{model}_{what}", args=args)


def messages_of(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


@pytest.fixture
def webhook(db):
    fields = WebhookFields(url="https://example.com/", action="PROCESSED")
    made = subscriptions.create(conf.dialect("prefer"), Owner(account="one", id="7"), None, fields)
    return Webhook.objects.get(pk=made.id)


@pytest.fixture
def failed(webhook):
    task = stored(State.DONE, dialect="prefer", account="one")
    row = Delivery.objects.create(
        webhook=webhook, task=task, event="PROCESSED", method="POST", url=webhook.url, host="x", state=Delivery.FAILED
    )
    DeliveryAttempt.objects.create(delivery=row, status_code=503, milliseconds=7, answer="<b>busy</b>")
    return row


def test_webhook_is_created_and_its_secret_shown_once(site):
    answer = site.post(place("webhook", "add"), FIELDS)
    assert answer.status_code == 302
    webhook = Webhook.objects.get()
    secret = encryption.unseal_secret(webhook.secret)
    assert any(secret in text for text in messages_of(answer))
    page = site.get(place("webhook", "change", webhook.pk))
    page = site.get(place("webhook", "change", webhook.pk))
    assert secret not in page.content.decode()


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://example.com/", "https://example.com:22/"])
def test_forbidden_url_is_a_form_error(site, url):
    answer = site.post(place("webhook", "add"), {**FIELDS, "url": url})
    assert answer.status_code == 200
    assert "This address cannot be called." in answer.content.decode()
    assert not Webhook.objects.exists()


def test_duplicate_is_refused(site, webhook):
    answer = site.post(place("webhook", "add"), FIELDS)
    assert messages_of(answer) == ["There is such a webhook already."]
    assert Webhook.objects.count() == 1


def test_only_mounts_with_webhooks_are_offered(site):
    page = site.get(place("webhook", "add")).content.decode()
    assert all(f'value="{name}"' in page for name in ("prefer", "moysklad", "kladana"))
    assert 'value="cisco"' not in page


def test_account_of_a_webhook_cannot_be_changed(site, webhook):
    changed = {**FIELDS, "account": "two", "url": "https://example.com/other", "enabled": ""}
    assert site.post(place("webhook", "change", webhook.pk), changed).status_code == 302
    webhook.refresh_from_db()
    assert (webhook.account, webhook.url, webhook.enabled) == ("one", "https://example.com/other", False)


@pytest.mark.parametrize("many", [False, True])
def test_webhook_is_deleted_with_its_deliveries(site, webhook, failed, many):
    if many:
        site.post(place("webhook"), {"action": "delete_selected", "_selected_action": [str(webhook.pk)], "post": "yes"})
    else:
        site.post(place("webhook", "delete", webhook.pk), {"post": "yes"})
    assert not Webhook.objects.exists()
    assert not Delivery.objects.exists()


def test_delete_confirmation_counts_the_deliveries(site, webhook, failed):
    page = site.get(place("webhook", "delete", webhook.pk)).content.decode()
    assert "Deliveries: 1" in page


def test_delete_needs_the_permission(webhook, django_user_model):
    colleague = django_user_model.objects.create(username="otto", is_staff=True)
    colleague.user_permissions.add(Permission.objects.get(codename="change_webhook"))
    client = Client()
    client.force_login(colleague)
    assert client.post(place("webhook", "delete", webhook.pk), {"post": "yes"}).status_code == 403
    client.post(place("webhook"), {"action": "delete_selected", "_selected_action": [str(webhook.pk)], "post": "yes"})
    assert Webhook.objects.exists()


def test_rotated_secret_is_shown_once_and_logged(site, webhook):
    answer = site.post(place("webhook"), {"action": "rotate", "_selected_action": [str(webhook.pk)]})
    webhook.refresh_from_db()
    assert any(encryption.unseal_secret(webhook.secret) in text for text in messages_of(answer))
    assert webhook.former_secret
    assert LogEntry.objects.count() == 1


def test_failed_deliveries_are_resent(site, webhook, failed):
    answer = site.post(place("webhook"), {"action": "resend_failed", "_selected_action": [str(webhook.pk)]})
    assert messages_of(answer) == ["1 delivery was queued again."]
    failed.refresh_from_db()
    assert failed.state == Delivery.WAITING


def test_delivery_shows_its_attempts(site, failed):
    page = site.get(place("delivery", "change", failed.pk)).content.decode()
    assert "503" in page
    assert "&lt;b&gt;busy&lt;/b&gt;" in page
    assert site.get(place("delivery")).status_code == 200


def test_delivery_is_resent(site, failed):
    site.post(place("delivery"), {"action": "resend", "_selected_action": [str(failed.pk)]})
    failed.refresh_from_db()
    assert failed.state == Delivery.WAITING


def test_filtered_deliveries_are_resent(site, failed):
    since = {"created__gte": (timezone.now() - dt.timedelta(hours=1)).isoformat()}
    action = {"action": "resend", "select_across": "1", "_selected_action": [str(failed.pk)]}
    old = Delivery.objects.create(
        webhook=failed.webhook, task=failed.task, event="PROCESSED", method="POST", url="x", host="x", state="FAILED"
    )
    Delivery.objects.filter(pk=old.pk).update(created=timezone.now() - dt.timedelta(days=2))
    answer = site.post(f"{place('delivery')}?{urlencode(since)}", action)
    assert messages_of(answer) == ["1 delivery was queued again."]
    assert Delivery.objects.get(state=Delivery.WAITING) == failed


def test_delivery_cannot_be_changed_or_deleted(site, failed):
    assert site.post(place("delivery", "change", failed.pk), {"url": "https://evil.example/"}).status_code == 403
    assert site.post(place("delivery", "delete", failed.pk), {"post": "yes"}).status_code == 403
    assert site.get(place("delivery", "add")).status_code == 403


def test_list_of_webhooks(site, webhook):
    page = site.get(place("webhook"), {"q": "example"}).content.decode()
    assert webhook.url in page
