"""Secrets of a call are masked for readers, by one list of names."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse
from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter

from django_asyncexchange.models import AsyncTask, Body, Delivery, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.redaction import MASK, is_secret, masked_url
from django_asyncexchange.store import bodies

from .services import IDLE, captured, exchange, soon, stored

CANARY = "canary-7f3a"
CREDENTIALS = """
    key sig sign signature code ticket otp totp pin sid jwt auth authorization token access_token refreshToken id_token
    secret client_secret password passwd pass pwd passphrase api_key apikey X-Amz-Signature X-Amz-Credential
    X-Amz-Security-Token SAMLResponse SAMLRequest client_assertion Ocp-Apim-Subscription-Key Cf-Access-Jwt-Assertion
    temp_url_sig DPoP X-Auth X-Passwd X-Api-Key X-Session-Id Cookie csrfmiddlewaretoken user[password] %6Bey private-key
"""
PLAIN = "page limit order filter momentFrom interval store.id expand done group format lang q country zip design"


@pytest.mark.parametrize("name", CREDENTIALS.split())
def test_possible_credential_is_masked(name):
    assert is_secret(name)
    assert masked_url(f"https://h/p?a=1&{name}={CANARY}&b=2") == f"https://h/p?a=1&{name}={MASK}&b=2"


@pytest.mark.parametrize("name", PLAIN.split())
def test_other_parameters_are_unchanged(name):
    assert masked_url(f"https://h/p?{name}=%D1%8F+1;x&b#c") == f"https://h/p?{name}=%D1%8F+1;x&b#c"


@pytest.mark.parametrize(
    "address",
    [
        f"https://anna:{CANARY}@h/p",
        f"https://{CANARY}@h/p",
        f"https://h/p?next=https://h/?token={CANARY}",
        f"https://h/p?next=https%3A%2F%2Fh%2F%3Fa%3D1%26sig%3D{CANARY}",
        f"https://h/p?next=https%253A%252F%252Fh%252F%253Fsig%253D{CANARY}",
        f"https://h/p?a=1;token={CANARY}",
    ],
)
def test_no_part_of_a_url_shows_a_credential(address):
    assert CANARY not in masked_url(address)


def test_masking_is_idempotent():
    once = masked_url(f"https://anna:{CANARY}@h/p?key={CANARY}")
    assert masked_url(once) == once


class Acme(SafeExceptionReporterFilter):
    hidden_settings = re.compile("ACME", re.IGNORECASE)


def test_hidden_settings_of_the_projects_exception_reporter_are_masked():
    with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER=f"{__name__}.Acme"):
        get_default_exception_reporter_filter.cache_clear()
        assert is_secret("x-acme-number")
    get_default_exception_reporter_filter.cache_clear()
    assert not is_secret("x-acme-number")


def test_secret_names_are_masked(settings):
    assert not is_secret("x_company_number")
    settings.ASYNC_EXCHANGE = exchange(SECRET_NAMES=["x-company-*"])
    assert is_secret("x_company_number")


# Where masked values are shown ----------------------------------------------------------------------------------------


@pytest.fixture
def site(db):
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


def page(site, name, pk):
    return site.get(reverse(f"admin:asyncexchange_{name}_change", args=[pk])).content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["X-Api-Key", "X-Passwd", "DPoP", "Ocp-Apim-Subscription-Key"])
def test_admin_masks_credential_headers(site, name):
    task = stored(to=captured(headers=((name, CANARY), ("X-Own", "shown-7"), ("Referer", f"http://h/?sig={CANARY}"))))
    text = page(site, "asynctask", task.pk)
    assert CANARY not in text
    assert "shown-7" in text


@pytest.mark.django_db(transaction=True)
def test_admin_masks_credential_members_of_json(site):
    call = captured(method="POST", headers=(("Content-Type", "application/json"),))
    task = stored(to=call)
    document = f'{{"name": "shown-7", "login": {{"password": "{CANARY}"}}, "keys": [{{"pin": "{CANARY}"}}]}}'.encode()
    bodies.attach(bodies.write([document], limit=1000, seal=True), task_id=task.pk, kind=Body.REQUEST)
    text = page(site, "asynctask", task.pk)
    assert CANARY not in text
    assert "shown-7" in text


@pytest.mark.django_db(transaction=True)
def test_admin_lists_mask_tokens_in_webhook_urls(site):
    webhook = Webhook.objects.create(dialect="prefer", account="one", url=f"https://h/?token={CANARY}", action="UPDATE")
    task = stored(State.DONE)
    Delivery.objects.create(webhook=webhook, task=task, event="UPDATE", method="POST", url=webhook.url, host="h")
    for name in ("webhook", "delivery"):
        text = site.get(reverse(f"admin:asyncexchange_{name}_changelist")).content.decode()
        assert f"https://h/?token={MASK}" in text
        assert CANARY not in text


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.services")
def test_callback_url_is_stored_sealed(site):
    prefer = f'respond-async, callback;url="https://8.8.8.8/?token={CANARY}"'
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        accepted = site.get("/ran/", headers={"Prefer": prefer})
        assert "callback" in accepted["Preference-Applied"]
        task = AsyncTask.objects.get()
        assert CANARY not in str(AsyncTask.objects.values().get())
        assert task.snapshot().callback.url == f"https://8.8.8.8/?token={CANARY}"
        site.delete(accepted["Location"])
    row = Delivery.objects.get()
    assert (CANARY in row.url, row.address) == (False, f"https://8.8.8.8/?token={CANARY}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.services")
def test_list_is_filtered_by_the_unmasked_url(site):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        for number in "12":
            site.get(f"/ran/?code={CANARY}&a={number}", headers={"Prefer": "respond-async"})
    found = site.get("/async/tasks", {"request": f"http://testserver/ran/?code={CANARY}&a=1"}).json()
    assert [task["request"] for task in found["results"]] == [f"http://testserver/ran/?code={MASK}&a=1"]


# What cannot be shown -------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_admin_says_that_the_captured_request_was_erased(site):
    task = stored(State.DONE, request={})
    assert "The captured request has been erased" in page(site, "asynctask", task.pk)


@pytest.mark.django_db(transaction=True)
def test_admin_says_that_the_key_is_gone(site):
    with override_settings(SECRET_KEY="a former key " * 5):
        task = stored(to=captured(headers=(("X-Own", "sealed"),)))
    assert "There is no key for the captured request any more" in page(site, "asynctask", task.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("erased", [True, False])
def test_admin_says_why_an_unreadable_call_cannot_be_rerun(site, erased):
    with override_settings(SECRET_KEY="a former key " * 5):
        task = stored(State.DONE, deletion_date=soon(hours=-1))
    if erased:
        AsyncTask.objects.update(request={})
    action = {"action": "rerun", "_selected_action": [str(task.pk)]}
    text = site.post(reverse("admin:asyncexchange_asynctask_changelist"), action, follow=True).content.decode()
    assert ("has been erased" if erased else "There is no key for the captured request any more") in text
    assert AsyncTask.objects.count() == 1
