"""Callbacks: a URL that comes with a call is requested when the call ends (Target@Mail.Ru's protocol, and prefer)."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from standardwebhooks import Webhook as Verifier

from django_asyncexchange.models import AsyncTask, Delivery
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.webhooks import delivery, subscriptions
from django_asyncexchange.worker import runner

from ..receivers import LOOPBACK, receiving
from ..services import IDLE, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

MAILRU = {"DIALECTS": {"mailru": {"API": ""}, "prefer": {}}}


@pytest.fixture(autouse=True)
def mounted(settings):
    settings.ASYNC_EXCHANGE = exchange(
        **MAILRU,
        EXECUTOR=IDLE,
        WEBHOOK_ALLOWED_NETWORKS=LOOPBACK,
        WEBHOOK_PORTS=range(1, 65536),
        WEBHOOK_REQUIRE_HTTPS=False,
    )


@pytest.fixture
def anna(db):
    return User.objects.create(username="anna")


@pytest.fixture
def client(anna):
    client = Client(raise_request_exception=False)
    client.force_login(anna)
    return client


def perform():
    """Run the submitted task, and send what is due."""
    task = AsyncTask.objects.get()
    runner.run(str(task.pk))
    delivery.run("")
    task.refresh_from_db()
    return task


class TestMailRu:
    def asked(self, client, url, to="/ran/", **headers):
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return client.get(f"/async_api{to}", headers={"X-Callback-Location": url, **named})

    @pytest.mark.seed("S000-4", "S000-10", "S000-11", "S000-12", "S000-13")
    def test_callback_is_sent_after_the_run_with_three_parameters(self, client):
        with receiving() as receiver:
            assert self.asked(client, receiver.url("/done?own=1")).status_code == 202
            delivery.run("")
            assert not receiver.seen
            task = perform()
        [seen] = receiver.seen
        assert (seen.method, seen.body) == ("GET", b"")
        assert parse_qsl(urlsplit(seen.path).query) == [
            ("own", "1"),
            ("response_id", str(task.pk)),
            ("response_url", f"/async_api/v2/responses/{task.pk}.json"),
            ("response_http_code", "200"),
        ]

    def test_callback_has_the_result_url_of_the_status(self, client):
        with receiving() as receiver:
            self.asked(client, receiver.url())
            task = perform()
        told = parse_qs(urlsplit(receiver.seen[0].path).query)
        status = client.get(f"/async_api/v2/requests/{task.pk}.json").json()
        assert told["response_url"] == [status["response_url"]]
        assert told["response_id"] == [status["id"]]
        assert client.get(told["response_url"][0]).status_code == 200

    def test_reserved_parameters_cannot_be_spoofed(self, client):
        with receiving() as receiver:
            self.asked(client, receiver.url("/?response_id=spoof&response%5Fhttp_code=1&a=b#part"))
            task = perform()
        told = parse_qs(urlsplit(receiver.seen[0].path).query)
        assert told["response_id"] == [str(task.pk)]
        assert told["response_http_code"] == ["200"]
        assert told["a"] == ["b"]

    def test_post_callback_has_the_parameters_in_its_body(self, client):
        with receiving() as receiver:
            self.asked(client, receiver.url(), X_Callback_Method="POST")
            task = perform()
        [seen] = receiver.seen
        assert seen.method == "POST"
        assert seen.headers["content-type"].startswith("application/x-www-form-urlencoded")
        assert parse_qs(seen.body.decode()) == parse_qs(urlsplit(seen.path).query)
        assert parse_qs(seen.body.decode())["response_id"] == [str(task.pk)]

    @pytest.mark.parametrize("status", [400, 404, 500])
    def test_callback_has_the_status_of_an_error_response(self, client, status):
        with receiving() as receiver:
            self.asked(client, receiver.url(), to=f"/answers/{status}/")
            perform()
        assert parse_qs(urlsplit(receiver.seen[0].path).query)["response_http_code"] == [str(status)]

    def test_lost_call_sends_no_callback(self, client):
        self.asked(client, "http://127.0.0.1:9/")
        claim = lifecycle.claim(AsyncTask.objects.get().pk)
        lifecycle.fail(claim, "lost")
        assert not Delivery.objects.exists()

    def test_cancelled_call_sends_no_callback(self, client):
        self.asked(client, "http://127.0.0.1:9/")
        lifecycle.cancel(AsyncTask.objects.get())
        assert not Delivery.objects.exists()

    @pytest.mark.parametrize(
        "url", ["http://169.254.169.254/", "http://10.0.0.1/", "ftp://example.com/", "example.com"]
    )
    def test_forbidden_callback_url_is_refused_with_400(self, client, url):
        answer = self.asked(client, url)
        assert answer.status_code == 400
        assert list(answer.json()) == ["X-Callback-Location"]
        assert not AsyncTask.objects.exists()

    def test_callback_is_tried_three_times(self, client):
        with receiving(500) as receiver:
            self.asked(client, receiver.url())
            perform()
            for _ in range(4):
                Delivery.objects.update(due="2020-01-01T00:00:00Z")
                delivery.run("")
        assert len(receiver.seen) == 3
        assert Delivery.objects.get().state == Delivery.FAILED

    def test_failed_callback_does_not_change_the_task(self, client):
        with receiving(500) as receiver:
            self.asked(client, receiver.url())
            assert perform().state == "DONE"

    @pytest.mark.seed("S000-9")
    def test_call_without_the_header_sends_no_callback(self, client):
        client.get("/async_api/ran/")
        perform()
        assert not Delivery.objects.exists()


class TestPrefer:
    def asked(self, client, preference):
        return client.get("/ran/", headers={"Prefer": f"respond-async, {preference}"})

    def test_callback_is_signed_with_the_secret_of_the_account(self, client, anna):
        with receiving() as receiver:
            answer = self.asked(client, f'callback;url="{receiver.url()}"')
            assert answer.headers["Preference-Applied"] == "respond-async, callback"
            task = perform()
        [seen] = receiver.seen
        secret = subscriptions.callback_secret("prefer", str(anna.pk))
        told = Verifier(secret).verify(seen.body, seen.headers)
        assert seen.method == "POST"
        assert (told["type"], told["data"]["id"], told["data"]["state"]) == ("task.processed", str(task.pk), "DONE")

    def test_client_can_fetch_the_callback_secret(self, client, anna):
        answer = client.get("/async/callback-secret")
        assert answer.json() == {"secret": subscriptions.callback_secret("prefer", str(anna.pk))}

    @pytest.mark.parametrize("ending", ["cancel", "raise"])
    def test_each_kind_of_end_sends_the_callback(self, client, ending):
        with receiving() as receiver:
            client.get("/raises/", headers={"Prefer": f'respond-async, callback;url="{receiver.url()}"'})
            task = AsyncTask.objects.get()
            if ending == "cancel":
                lifecycle.cancel(task)
            else:
                runner.run(str(task.pk))
            delivery.run("")
        assert json.loads(receiver.seen[0].body)["data"]["state"] == {"cancel": "CANCEL", "raise": "ERROR"}[ending]

    def test_odata_callback_is_supported(self, client):
        with receiving() as receiver:
            answer = self.asked(client, f'odata.callback;url="{receiver.url()}"')
            perform()
        assert answer.headers["Preference-Applied"] == "respond-async, callback"
        assert len(receiver.seen) == 1

    @pytest.mark.parametrize(
        "preference",
        [
            'callback;url="http://169.254.169.254/"',
            'callback;url="ftp://example.com/"',
            "callback",
            'callback;url=""',
            "callback;url=http://example.com/",  # a URL needs quotes: it is no token
            'callback;address="http://example.com/"',
        ],
    )
    def test_invalid_callback_is_ignored(self, client, preference):
        answer = self.asked(client, preference)
        assert answer.status_code == 202
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert AsyncTask.objects.get().callback_url == ""

    def test_callback_does_not_contain_the_call(self, client):
        with receiving() as receiver:
            client.get(
                "/ran/?secret-parameter=7", headers={"Prefer": f'respond-async, callback;url="{receiver.url()}"'}
            )
            perform()
        assert b"secret-parameter" not in receiver.seen[0].body
        assert len(receiver.seen[0].body) < 20_000
