"""The webhook endpoints over HTTP: MoySklad's and Kladana's entity, and prefer's resource."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.urls import resolve

from django_asyncexchange import encryption, urls
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base.webhooks import WebhookFields
from django_asyncexchange.endpoints.webhooks import WebhookView
from django_asyncexchange.exceptions import TooManySubscriptions
from django_asyncexchange.models import Account, AsyncTask, Delivery, DeliveryAttempt, Webhook
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.webhooks import subscriptions

from ..services import IDLE, exchange

pytestmark = pytest.mark.django_db

ENTITY = "/api/remap/1.2/entity/webhook"
KLADANA = "/kladana/api/remap/1.2/entity/webhook"
PLAIN = "/async/webhooks"
NEVER = [
    "2026-02-30T00:00:00Z",
    "2026-11-24T25:00:00Z",
    "0001-01-01T00:00:00+05:00",
    "9999-12-31T23:59:59-05:00",
    "\ud800",
]
"""What looks like a moment, and is none."""
SEED = {"url": "http://some_url.ru", "action": "PROCESSED", "entityType": "async"}


@pytest.fixture(autouse=True)
def accounts(settings):
    settings.ASYNC_EXCHANGE = exchange(OWNER="tests.services.company", EXECUTOR=IDLE)


def person(name, company="one", *, staff=True):
    return User.objects.create(username=name, last_name=company, is_staff=staff)


def browser(user):
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.fixture
def client(db):
    return browser(person("anna"))


def sent(client, method, path, document=None, **headers):
    body = document if isinstance(document, str | bytes) else json.dumps(document)
    return client.generic(
        method, path, body if document is not None else b"", content_type="application/json", **headers
    )


def made(client, **changes):
    answer = sent(client, "POST", ENTITY, {**SEED, **changes})
    assert answer.status_code == 200, answer.content
    return answer.json()


def code(answer):
    return answer.json()["errors"][0]["code"]


# MoySklad and Kladana ------------------------------------------------------------------------------------------------


class TestEntity:
    @pytest.mark.seed("S001-48", "S001-49", "S001-50", "S001-51", "S001-52", "S002-53", "S002-57", "S002-58")
    @pytest.mark.parametrize("place", [ENTITY, KLADANA])
    def test_documented_request_gets_its_documented_response(self, client, place):
        answer = sent(client, "POST", place, SEED)
        assert answer.status_code == 200
        told = answer.json()
        base = "http://testserver" + place
        assert told == {
            "meta": {
                "href": f"{base}/{told['id']}",
                "metadataHref": f"{base}/metadata",
                "type": "webhook",
                "mediaType": "application/json",
            },
            "id": told["id"],
            "accountId": told["accountId"],
            "entityType": "async",
            "url": "http://some_url.ru",
            "method": "POST",
            "enabled": True,
            "action": "PROCESSED",
        }
        assert list(told) == ["meta", "id", "accountId", "entityType", "url", "method", "enabled", "action"]
        assert uuid.UUID(told["id"]) and uuid.UUID(told["accountId"])

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"entityType": "demand"}, 30000),
            ({"method": "GET"}, 30001),
            ({"action": "PUBLISH"}, 30002),
            ({"action": 5}, 30002),
            ({"url": "ftp://example.com/"}, 30005),
            ({"url": "example.com"}, 30005),
            ({"url": 5}, 30005),
            ({"url": "http://127.0.0.1/"}, 30005),
            ({"url": "http://[bad/"}, 30005),
            ({"diffType": "FIELDS"}, 30009),
            ({"diffType": "ALL", "action": "UPDATE"}, 2016),
            ({"url": "https://example.com/" + "x" * 240}, 30010),
            ({"url": None}, 3000),
            ({"enabled": None}, 2016),
            ({"enabled": "yes"}, 2016),
        ],
    )
    def test_each_violation_has_its_code(self, client, changes, expected):
        answer = sent(client, "POST", ENTITY, {**SEED, **changes})
        assert (answer.status_code, code(answer)) == (412, expected)
        assert not Webhook.objects.exists()

    @pytest.mark.seed("S002-54")
    def test_delete_action_is_refused(self, client):
        answer = sent(client, "POST", ENTITY, {**SEED, "action": "DELETE"})
        assert (answer.status_code, code(answer)) == (412, 30008)
        assert "PROCESSED" in answer.json()["errors"][0]["error"]

    @pytest.mark.parametrize("field", ["entityType", "action", "url"])
    def test_missing_field_is_named(self, client, field):
        answer = sent(client, "POST", ENTITY, {name: text for name, text in SEED.items() if name != field})
        assert answer.status_code == 412
        assert answer.json()["errors"][0]["code"] == 3000
        assert answer.json()["errors"][0]["parameter"] == field

    def test_duplicate_is_refused(self, client):
        made(client)
        answer = sent(client, "POST", ENTITY, SEED)
        assert (answer.status_code, code(answer)) == (412, 30003)

    def test_sixth_url_for_one_action_is_refused(self, client):
        for number in range(5):
            made(client, url=f"http://some_url.ru/{number}")
        answer = sent(client, "POST", ENTITY, {**SEED, "url": "http://some_url.ru/5"})
        assert (answer.status_code, code(answer)) == (412, 30007)
        made(client, action="UPDATE")

    def test_user_who_is_no_admin_is_refused(self, client):
        kept = made(client)
        other = browser(person("otto", staff=False))
        for method, path in [("GET", ENTITY), ("POST", ENTITY), ("DELETE", f"{ENTITY}/{kept['id']}")]:
            answer = sent(other, method, path, SEED)
            assert (answer.status_code, code(answer)) == (403, 30004)
        assert Webhook.objects.count() == 1

    def test_webhook_admin_setting_decides_who_is_an_admin(self, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "WEBHOOK_ADMIN": f"{__name__}.is_otto"}
        assert sent(browser(person("otto", staff=False)), "GET", ENTITY).status_code == 200
        assert sent(browser(person("anna")), "GET", ENTITY).status_code == 403

    @pytest.mark.parametrize("body", [b"", b"{", b"[[]]", b'"x"', b"\xff", b"[" * 100_000])
    def test_malformed_body_is_refused(self, client, body):
        answer = sent(client, "POST", ENTITY, body)
        assert answer.status_code in (400, 200)
        assert "errors" in (answer.json() if isinstance(answer.json(), dict) else answer.json()[0])

    def test_array_succeeds_and_fails_by_element(self, client):
        kept = made(client)
        answer = sent(
            client,
            "POST",
            ENTITY,
            [
                {**SEED, "url": "http://some_url.ru/2"},
                {**SEED, "action": "DELETE"},
                {"meta": kept["meta"], "enabled": False},
                {"meta": {"href": f"http://testserver{ENTITY}/{uuid.uuid4()}"}, "enabled": False},
            ],
        )
        assert answer.status_code == 200
        new, refused, changed, unknown = answer.json()
        assert new["url"] == "http://some_url.ru/2"
        assert refused["errors"][0]["code"] == 30008
        assert (changed["id"], changed["enabled"]) == (kept["id"], False)
        assert unknown["errors"][0]["code"] == 1021

    def test_array_over_1000_elements_is_refused(self, client):
        assert sent(client, "POST", ENTITY, [SEED] * 1001).status_code == 400

    def test_webhook_is_read_changed_and_deleted(self, client):
        kept = made(client)
        place = f"{ENTITY}/{kept['id']}"
        assert sent(client, "GET", place).json() == kept
        changed = sent(client, "PUT", place, {"url": "https://example.com/", "action": "UPDATE", "diffType": "FIELDS"})
        assert changed.status_code == 200
        expected = {**kept, "url": "https://example.com/", "action": "UPDATE", "diffType": "FIELDS"}
        assert changed.json() == expected == sent(client, "GET", place).json()
        deleted = sent(client, "DELETE", place)
        assert (deleted.status_code, deleted.content) == (200, b"")
        assert (sent(client, "GET", place).status_code, code(sent(client, "GET", place))) == (404, 1021)

    def test_change_to_an_action_without_fields_drops_diff_type(self, client):
        kept = made(client, action="UPDATE", diffType="FIELDS")
        changed = sent(client, "PUT", f"{ENTITY}/{kept['id']}", {"action": "CREATE"}).json()
        assert "diffType" not in changed
        assert not Webhook.objects.get().with_fields

    def test_several_webhooks_are_deleted_at_once(self, client):
        kept = [made(client, url=f"http://some_url.ru/{number}") for number in range(2)]
        unknown = {"meta": {"href": f"http://testserver{ENTITY}/{uuid.uuid4()}"}}
        answer = sent(client, "POST", f"{ENTITY}/delete", [{"meta": one["meta"]} for one in kept] + [unknown, 5])
        assert answer.status_code == 200
        assert [list(one) for one in answer.json()] == [["info"], ["info"], ["errors"], ["errors"]]
        assert not Webhook.objects.exists()

    def test_list_has_the_format_of_every_list(self, client):
        kept = [made(client, url=f"http://some_url.ru/{number}") for number in range(3)]
        told = sent(client, "GET", f"{ENTITY}?limit=2&offset=1&order=url,desc").json()
        assert [row["url"] for row in told["rows"]] == [kept[1]["url"], kept[0]["url"]]
        assert set(told) == {"context", "meta", "rows"}
        assert (told["meta"]["size"], told["meta"]["limit"], told["meta"]["offset"]) == (3, 2, 1)
        assert told["meta"]["type"] == "webhook"
        assert told["meta"]["href"] == f"http://testserver{ENTITY}?limit=2&offset=1&order=url,desc"
        assert told["meta"]["previousHref"].startswith(f"http://testserver{ENTITY}?")

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("id={0}", [0]),
            ("id={0};id={1}", [0, 1]),
            ("id!={0}", [1, 2]),
            ("action=UPDATE", [2]),
            ("enabled=true", [0, 1, 2]),
            ("enabled=false", []),
            ("url~URL.ru/1", [1]),
            ("url=~/2", [2]),
            ("entityType=async;url~=http", [0, 1, 2]),
        ],
    )
    def test_list_is_filtered(self, client, text, found):
        kept = [made(client, url=f"http://some_url.ru/{n}", action="UPDATE" if n == 2 else "CREATE") for n in range(3)]
        answer = client.get(ENTITY, {"filter": text.format(*(one["id"] for one in kept))})
        assert sorted(row["url"] for row in answer.json()["rows"]) == [kept[number]["url"] for number in found]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("filter=secret=x", 1034),
            ("filter=id~5", 1034),
            ("order=secret", 1063),
            ("limit=x", 1040),
            ("filter=%ff", 1058),
        ],
    )
    def test_invalid_query_is_refused(self, client, query, expected):
        answer = client.get(f"{ENTITY}?{query}")
        assert (answer.status_code, code(answer)) == (400, expected)

    def test_other_entities_are_left_to_the_project(self):
        for path in ("/api/remap/1.2/entity/counterparty", "/api/remap/1.2/entity/webhookstock", f"{ENTITY}/a/b"):
            assert not any(pattern.resolve(path[1:]) for pattern in urls.urlpatterns), path

    def test_errors_are_translated_to_russian(self, client):
        answer = sent(client, "POST", ENTITY, {**SEED, "method": "GET"}, headers={"Accept-Language": "ru"})
        assert "POST" in answer.json()["errors"][0]["error"]
        assert any("а" <= letter <= "я" for letter in answer.json()["errors"][0]["error"])

    def test_application_may_have_one_webhook_and_is_shown_as_author(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "OWNER": f"{__name__}.program"}
        assert made(client)["authorApplication"]["meta"]["type"] == "application"
        answer = sent(client, "POST", ENTITY, {**SEED, "url": "http://some_url.ru/2"})
        assert code(answer) == 30007  # an application may have one


def is_otto(request):
    return request.user.username == "otto"


def program(request):
    return Owner(account="one", kind="application", id="7")


class TestMuting:
    HEADER = "X-Lognex-WebHook-DisableByPrefix"

    @pytest.fixture(autouse=True)
    def report(self, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/api/remap/1.2/*"]}
        settings.ROOT_URLCONF = "tests.services"

    def accepted(self, client, **headers):
        return client.get("/api/remap/1.2/ran/?async=true", headers=headers)

    def test_webhooks_with_the_prefix_are_muted(self, client):
        made(client, url="https://example.com/a/1", action="CREATE")
        made(client, url="https://example.com/b/1", action="CREATE")
        assert self.accepted(client, **{self.HEADER: "https://example.com/a"}).status_code == 202
        assert [row.webhook.url for row in Delivery.objects.all()] == ["https://example.com/b/1"]

    def test_several_prefixes_are_muted(self, client):
        made(client, url="https://example.com/a/1", action="CREATE")
        made(client, url="https://example.com/b/1", action="CREATE")
        self.accepted(client, **{self.HEADER: "https://example.com/a,https://example.com/b"})
        assert not Delivery.objects.exists()

    def test_older_header_mutes_all(self, client):
        made(client, action="CREATE")
        self.accepted(client, **{"X-Lognex-WebHook-Disable": "true"})
        assert not Delivery.objects.exists()

    @pytest.mark.parametrize("prefix", ["example.com", "ftp://example.com", "https://", "https:// x"])
    def test_prefix_without_a_host_is_a_400(self, client, prefix):
        answer = self.accepted(client, **{self.HEADER: prefix})
        assert (answer.status_code, code(answer)) == (400, 1084)
        assert not AsyncTask.objects.exists()


# prefer --------------------------------------------------------------------------------------------------------------


HOOK = {"url": "https://example.com/hooks"}


class TestPlain:
    def made(self, client, **changes):
        answer = sent(client, "POST", PLAIN, {**HOOK, **changes})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def test_secret_is_shown_on_creation_only(self, client):
        answer = sent(client, "POST", PLAIN, HOOK)
        told = answer.json()
        assert answer.headers["Location"] == told["links"]["self"] == f"http://testserver{PLAIN}/{told['id']}"
        assert (told["action"], told["enabled"], told["with_fields"]) == ("PROCESSED", True, False)
        assert told["secret"].startswith("whsec_")
        assert "secret" not in sent(client, "GET", f"{PLAIN}/{told['id']}").json()
        assert "secret" not in sent(client, "GET", PLAIN).json()["results"][0]

    def test_secret_is_sealed_in_the_database(self, client):
        secret = self.made(client)["secret"]
        sent(client, "GET", "/async/callback-secret")
        with connection.cursor() as cursor:
            cursor.execute("SELECT secret FROM asyncexchange_webhook UNION SELECT secret FROM asyncexchange_account")
            kept = [row[0] for row in cursor.fetchall()]
        assert secret not in kept
        assert all(token.startswith("gAAAA") for token in kept)

    def test_webhook_is_changed_and_deleted(self, client):
        kept = self.made(client)
        place = f"{PLAIN}/{kept['id']}"
        changed = sent(client, "PATCH", place, {"enabled": False, "url": "https://example.com/other"})
        assert changed.status_code == 200
        assert (changed.json()["enabled"], changed.json()["url"]) == (False, "https://example.com/other")
        assert sent(client, "DELETE", place).status_code == 204
        assert sent(client, "GET", place).status_code == 404

    def test_enabling_clears_disabled_reason(self, client):
        kept = self.made(client)
        Webhook.objects.update(enabled=False, disabled_reason="All deliveries have failed for days.")
        told = sent(client, "PATCH", f"{PLAIN}/{kept['id']}", {"enabled": True}).json()
        assert (told["enabled"], told["disabled_reason"]) == (True, "")

    def test_delivered_and_failed_are_counted(self, client):
        kept = self.made(client)
        assert (kept["delivered"], kept["failed"]) == (0, 0)
        moment = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
        Webhook.objects.update(delivered=5, failed=2, last_success=moment, failing_since=moment)
        told = sent(client, "GET", f"{PLAIN}/{kept['id']}").json()
        assert (told["delivered"], told["failed"]) == (5, 2)
        assert told["last_success"] == told["failing_since"] == "2026-11-24T12:00:00.000Z"

    def test_rotation_returns_a_new_secret(self, client):
        kept = self.made(client)
        told = sent(client, "POST", f"{PLAIN}/{kept['id']}/rotate").json()
        assert told["secret"] != kept["secret"]
        webhook = Webhook.objects.get()
        assert encryption.unseal_secret(webhook.secret) == told["secret"]
        assert encryption.unseal_secret(webhook.former_secret) == kept["secret"]

    @pytest.mark.parametrize(
        ("document", "status", "word"),
        [
            ({}, 400, "missing"),
            ([], 400, "bad_request"),
            ({"url": 5}, 400, "webhook"),
            ({**HOOK, "action": "DELETE"}, 400, "webhook"),
            ({**HOOK, "enabled": "yes"}, 400, "webhook"),
            ({**HOOK, "with_fields": None}, 400, "webhook"),
            ({"url": "https://10.0.0.1/"}, 400, "address"),
            ({"url": "http://example.com/"}, 400, "address"),
            ({"url": "https://example.com:22/"}, 400, "address"),
        ],
    )
    def test_invalid_webhook_is_a_problem_document(self, client, document, status, word):
        answer = sent(client, "POST", PLAIN, document)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (status, word)

    def test_duplicate_is_a_conflict(self, client):
        self.made(client)
        answer = sent(client, "POST", PLAIN, HOOK)
        assert (answer.status_code, answer.json()["code"]) == (409, "exists")

    def test_eleventh_webhook_is_a_conflict(self, client):
        for number in range(10):
            self.made(client, url=f"https://example.com/{number}")
        answer = sent(client, "POST", PLAIN, HOOK)
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many")

    def test_list_is_paginated(self, client):
        for number in range(3):
            self.made(client, url=f"https://example.com/{number}")
        told = sent(client, "GET", f"{PLAIN}?limit=2").json()
        assert (told["count"], len(told["results"])) == (3, 2)
        assert told["next"] == f"http://testserver{PLAIN}?limit=2&offset=2"

    def test_deliveries_are_listed_with_their_attempts(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/ran/"]}
        settings.ROOT_URLCONF = "tests.services"
        kept = self.made(client, action="CREATE")
        client.get("/ran/", headers={"Prefer": "respond-async"})
        row = Delivery.objects.get()
        DeliveryAttempt.objects.create(delivery=row, status_code=500, milliseconds=5, answer="oops")
        [told] = sent(client, "GET", f"{PLAIN}/{kept['id']}/deliveries").json()["results"]
        assert (told["id"], told["event"], told["state"]) == (str(row.pk), "CREATE", "WAITING")
        assert [(one["status_code"], one["answer"]) for one in told["attempts"]] == [(500, "oops")]

    def test_deliveries_are_resent(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/ran/"]}
        settings.ROOT_URLCONF = "tests.services"
        kept = self.made(client, action="CREATE")
        for _ in range(2):
            client.get("/ran/", headers={"Prefer": "respond-async"})
        Delivery.objects.update(state=Delivery.FAILED)
        place = f"{PLAIN}/{kept['id']}/resend"
        one = str(Delivery.objects.first().pk)
        assert sent(client, "POST", place, {"delivery": one}).json() == {"resent": 1}
        assert sent(client, "POST", place, {"since": "2020-01-01T00:00:00Z"}).json() == {"resent": 1}
        assert sent(client, "POST", place, {"since": "2999-01-01T00:00:00Z"}).json() == {"resent": 0}
        for wrong in ({}, {"since": "yesterday"}, {"since": "2020-01-01T00:00:00"}, [], 5):
            assert sent(client, "POST", place, wrong).status_code == 400

    @pytest.mark.parametrize("since", NEVER)
    def test_invalid_since_is_refused(self, client, since):
        place = f"{PLAIN}/{self.made(client)['id']}/resend"
        refused = sent(client, "POST", place, {"since": since})
        assert (refused.status_code, refused.json()["code"]) == (400, "webhook")

    @pytest.mark.parametrize("half", ["https://example.com/\ud800", "https://\udfff.example.com/"])
    def test_url_with_a_lone_surrogate_is_refused(self, client, half):
        refused = sent(client, "POST", PLAIN, {"url": half})
        assert (refused.status_code, refused.json()["code"]) == (400, "address")

    def test_callback_secret_is_constant_and_per_account(self, client):
        first = sent(client, "GET", "/async/callback-secret")
        assert first.json()["secret"].startswith("whsec_")
        assert first.headers["Cache-Control"] == "no-store"
        assert sent(client, "GET", "/async/callback-secret").json() == first.json()
        other = browser(person("ivan", "two"))
        assert sent(other, "GET", "/async/callback-secret").json() != first.json()

    def test_callback_secret_can_be_rotated(self, client):
        first = sent(client, "GET", "/async/callback-secret").json()
        second = sent(client, "POST", "/async/callback-secret/rotate").json()
        assert second != first
        assert sent(client, "GET", "/async/callback-secret").json() == second
        account = Account.objects.get(dialect="prefer", account="one")
        assert encryption.unseal_secret(account.former_secret) == first["secret"]


# Isolation -----------------------------------------------------------------------------------------------------------

ADDRESSES = [
    (mount, method, pattern.callback.initkwargs["routes"][verb])
    for mount in conf.mounts
    for pattern in urls.routes(mount)
    if pattern.callback.cls is WebhookView
    for method, verb in pattern.callback.initkwargs["verbs"].items()
]


def named(entries):
    return [f"{mount.name}: {method} {route.path}" for mount, method, route in entries]


CHANGING = [entry for entry in ADDRESSES if entry[1] != "GET"]
OF_ONE = [entry for entry in ADDRESSES if "{id}" in entry[2].path]


def seen(answer):
    return answer.status_code, answer.reason_phrase, list(answer.items()), answer.content


def of_company(mount, company="one"):
    made = subscriptions.create(
        mount, Owner(account=company, id="7"), None, WebhookFields(url="https://example.com/", action="PROCESSED")
    )
    return Webhook.objects.get(pk=made.id)


@pytest.mark.parametrize(("mount", "method", "route"), OF_ONE, ids=named(OF_ONE))
class TestIsolation:
    def path(self, mount, route, id):
        return f"{mount.prefix}/{route.path}".replace("{id}", str(id))

    def test_foreign_webhook_is_answered_like_an_unknown_one(self, mount, method, route):
        foreign = of_company(mount)
        stranger = browser(person("ivan", "two"))
        document = {"since": "2020-01-01T00:00:00Z", **HOOK, "entityType": "async", "action": "PROCESSED"}
        unknown = sent(stranger, method, self.path(mount, route, uuid.uuid4()), document)
        assert unknown.status_code == 404
        assert seen(sent(stranger, method, self.path(mount, route, foreign.pk), document)) == seen(unknown)
        assert Webhook.objects.get(pk=foreign.pk).secret == foreign.secret

    def test_colleague_sees_the_webhook(self, mount, method, route):
        kept = of_company(mount)
        document = {"since": "2020-01-01T00:00:00Z", "enabled": True}
        answer = sent(browser(person("olga")), method, self.path(mount, route, kept.pk), document)
        assert answer.status_code in (200, 202, 204)

    @pytest.mark.parametrize("id", ["x", "0", "../x", "8f5e3c9a3f434c078f9c6f0b9a1a6f6e"])
    def test_malformed_id_is_a_404(self, mount, method, route, id):
        answer = sent(browser(person("anna")), method, self.path(mount, route, id), HOOK)
        assert answer.status_code in (404, 405)


@pytest.mark.parametrize(("mount", "method", "route"), ADDRESSES, ids=named(ADDRESSES))
def test_anonymous_client_is_refused(mount, method, route, settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ALLOW_ANONYMOUS": True}
    path = f"{mount.prefix}/{route.path}".replace("{id}", str(uuid.uuid4()))
    assert sent(Client(), method, path, SEED).status_code in (401, 403)


@pytest.mark.parametrize(("mount", "method", "route"), CHANGING, ids=named(CHANGING))
def test_session_without_a_csrf_token_is_a_403(mount, method, route):
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("anna"))
    path = f"{mount.prefix}/{route.path}".replace("{id}", str(uuid.uuid4()))
    assert sent(client, method, path, SEED).status_code == 403


def test_every_webhook_endpoint_is_in_the_table():
    names = {mount.name for mount, _, _ in ADDRESSES}
    assert names == {mount.name for mount in conf.mounts if mount.SUBSCRIPTIONS} == {"prefer", "moysklad", "kladana"}
    assert resolve(f"{ENTITY}/delete").func.initkwargs["verbs"] == {"POST": "remove_many"}


@pytest.mark.django_db(transaction=True)
def test_limit_is_exact_under_concurrent_subscriptions():
    refused, mount = [], conf.dialect("prefer")

    def subscribe(number):
        try:
            fields = WebhookFields(url=f"https://example.com/{number}", action="PROCESSED")
            subscriptions.create(mount, Owner(account="one", id="7"), None, fields)
        except TooManySubscriptions:
            refused.append(number)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=subscribe, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Webhook.objects.count(), len(refused)) == (10, 10)
