"""The whole table: 71 hostile URLs, 3 odd ports, 5 public controls; at submit and at send.

What the text of a URL shows is refused at submit. The rest is checked where the socket would be opened.
"""

from __future__ import annotations

import ipaddress
import json
import socket

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_asyncexchange.models import AsyncTask, Delivery, DeliveryAttempt, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.webhooks import delivery

from .. import hostile
from ..receivers import receiving
from ..services import IDLE, exchange, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

REFUSED = [*hostile.LOOKS, *hostile.PORTS]


@pytest.fixture(autouse=True)
def plain_http(settings):
    mounts = {"prefer": {"PREFIX": "/async"}, "moysklad": {"PREFIX": "/api/remap/1.2"}, "mailru": {"API": ""}}
    settings.ASYNC_EXCHANGE = exchange(DIALECTS=mounts, EXECUTOR=IDLE, WEBHOOK_REQUIRE_HTTPS=False, VIEWS=["/ran/"])


def test_table_has_71_hostile_urls():
    assert len(set(hostile.TABLE)) == len(hostile.TABLE) == 71
    assert (len(hostile.PORTS), len(hostile.PUBLIC)) == (3, 5)


# At submit ------------------------------------------------------------------------------------------------------------


def made(client, path, document):
    answer = client.generic("POST", path, json.dumps(document), content_type="application/json")
    return answer.status_code in (200, 201)


def subscribes(client, url):
    return made(client, "/async/webhooks", {"url": url}) and Webhook.objects.get().delete()


def subscribes_as_moysklad_does(client, url):
    document = {"url": url, "action": "PROCESSED", "entityType": "async"}
    return made(client, "/api/remap/1.2/entity/webhook", document) and Webhook.objects.get().delete()


def is_called_back(client, url):
    preference = f'respond-async, callback;url="{url}"'
    answer = client.get("/ran/", headers={"Prefer": preference})
    assert answer.status_code == 202
    return "callback" in answer.headers["Preference-Applied"]


def is_called_back_as_mailru_does(client, url):
    return client.get("/async_api/ran/", headers={"X-Callback-Location": url}).status_code == 202


DOORS = [subscribes, subscribes_as_moysklad_does, is_called_back, is_called_back_as_mailru_does]


@pytest.mark.parametrize("ask", DOORS)
def test_urls_that_look_hostile_are_refused_at_submit(ask):
    client = Client()
    client.force_login(User.objects.create(username="anna", is_staff=True))
    accepted = [url for url in hostile.TABLE + hostile.PORTS + list(hostile.PUBLIC) if ask(client, url)]
    assert accepted == [*hostile.UNKNOWN, *hostile.PUBLIC]
    assert not Webhook.objects.exists()
    assert not set(AsyncTask.objects.values_list("callback_url", flat=True)) & set(REFUSED)


# At send --------------------------------------------------------------------------------------------------------------


class World:
    """Names resolve by the table; the public address is a local server that redirects; connections are recorded."""

    def __init__(self, port):
        self.port = port
        self.reached = []
        self.looked_up = 0
        self._connect = socket.socket.connect

    def addresses(self, host):
        if host == "rebinding.example":
            self.looked_up += 1
            return [hostile.PUBLIC_ADDRESS if self.looked_up % 2 else "127.0.0.1"]
        if host in ("public.example", "redirects.example"):
            return [hostile.PUBLIC_ADDRESS]
        if host == "public-first.example":
            return [hostile.PUBLIC_ADDRESS, "127.0.0.1"]
        return hostile.NAMES.get(host, [host])

    def look_up(self, host, port, *args, **kwargs):
        try:
            found = [ipaddress.ip_address(address) for address in self.addresses(host)]
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "unknown") from None
        return [
            (
                socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (str(address), port or 0, 0, 0)[: 4 if address.version == 6 else 2],
            )
            for address in found
        ]

    def connect(self, connection, place):
        self.reached.append(place[0])
        if place[0] != hostile.PUBLIC_ADDRESS:
            raise ConnectionRefusedError
        self._connect(connection, ("127.0.0.1", self.port))


def sent(urls, answers, monkeypatch):
    """The outcomes of deliveries to ``urls``, inserted directly: {URL: error or status}, the world."""
    task = stored(State.DONE, dialect="moysklad", account="one")  # one attempt only
    for url in urls:
        webhook = Webhook.objects.create(dialect="moysklad", account="one", action="PROCESSED", url=url)
        Delivery.objects.create(webhook=webhook, task=task, event="PROCESSED", method="POST", url=url, host=url[:255])
    with receiving(*answers) as receiver, monkeypatch.context() as patch:
        world = World(receiver.port)
        patch.setattr(socket, "getaddrinfo", world.look_up)
        patch.setattr(socket.socket, "connect", lambda connection, place: world.connect(connection, place))
        delivery.run("")
    assert not Delivery.objects.filter(state=Delivery.WAITING).exists()
    attempts = DeliveryAttempt.objects.order_by("pk").values_list("delivery__url", "error", "status_code")
    return {url: error or status for url, error, status in attempts}, world


def test_no_hostile_url_connects_to_a_forbidden_address(monkeypatch):
    redirects = [(302 + 5 * turn, {"Location": to}, b"") for turn, to in enumerate(hostile.REDIRECTS.values())]
    outcomes, world = sent(hostile.TABLE, redirects, monkeypatch)
    assert len(outcomes) == 71
    assert set(world.reached) == {hostile.PUBLIC_ADDRESS}  # the public address only
    harmless = {hostile.MIXED, hostile.REBINDING, *hostile.REDIRECTS}
    assert {url for url, outcome in outcomes.items() if outcome != "refused"} <= harmless
    assert {outcomes[url] for url in hostile.REDIRECTS} <= {302, 307}


def test_name_that_resolves_to_a_private_address_on_retry_is_refused(monkeypatch):
    outcomes, world = sent([hostile.REBINDING], [500], monkeypatch)
    assert world.looked_up == 2  # once for each attempt
    assert world.reached == [hostile.PUBLIC_ADDRESS]
    assert outcomes == {hostile.REBINDING: "refused"}


def test_odd_ports_are_refused(monkeypatch):
    outcomes, world = sent(hostile.PORTS, [200], monkeypatch)
    assert outcomes == dict.fromkeys(hostile.PORTS, "refused")
    assert world.reached == []


def test_public_controls_connect_to_their_address(monkeypatch):
    outcomes, world = sent(hostile.PUBLIC, [200], monkeypatch)
    assert set(world.reached) == set(hostile.PUBLIC.values())
    assert "refused" not in outcomes.values()
    assert outcomes["http://public.example/"] == outcomes["http://203.0.114.1/"] == 200
