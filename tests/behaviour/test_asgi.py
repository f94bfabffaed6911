"""Django's asynchronous test client and a real ASGI server give the same answers as WSGI."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.test import AsyncClient

from django_asyncexchange.middleware import AsyncExchangeMiddleware
from django_asyncexchange.models import AsyncTask

from ..project.serving import asgi_server, ask
from ..project.views import EVERY_BYTE, LARGE

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning"),
]

SOLITUDE = {"Solitude-Async": "yes"}
SECRET = "s" * 32


@pytest.fixture
def client(db):
    client = AsyncClient(raise_request_exception=False)
    client.force_login(User.objects.create_user("anna"))
    return client


@pytest.fixture
def listed(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/api/remap/1.2/zoo/*"]}


async def body_of(response):
    return b"".join([chunk async for chunk in response]) if response.streaming else response.content


# Django's asynchronous client -----------------------------------------------------------------------------------------


async def passes(request):
    return request


@async_to_sync
async def through(middleware, request):
    return await middleware(request)


def test_request_without_a_dialect_passes_through_unread(async_rf):
    request = async_rf.post("/zoo/raw/", b"abc", content_type="text/plain")
    assert through(AsyncExchangeMiddleware(passes), request) is request
    assert not request._read_started


PATHS = ["created/", "duplicates/", "binary/", "large/", "stream/", "async-stream/", "file/", "asynchronous/", "raw/"]
PATHS += ["async-class/", "person/", "async-person/", "broken/", "rest-error/", "template/", "place/?a=1&b=%D1%8F"]


@pytest.mark.seed("S004-17", "S004-18")
@pytest.mark.parametrize("path", PATHS)
def test_replayed_response_equals_the_synchronous_response(client, path):
    @async_to_sync
    async def play():
        values = {"data": EVERY_BYTE[:128], "content_type": "application/octet-stream"}
        now = await client.post(f"/zoo/{path}", **values)
        accepted = await client.post(f"/zoo/{path}", headers=SOLITUDE, **values)
        assert accepted.status_code == 202
        later = await client.get(accepted.json()["replay"])
        return now, await body_of(now), later, await body_of(later)

    now, content, later, again = play()
    assert (later.status_code, later.reason_phrase) == (now.status_code, now.reason_phrase)
    assert again == content
    assert later.headers.get("Content-Type") == now.headers.get("Content-Type")


def test_moysklad_report_is_downloaded_later(client, listed):
    Group.objects.create(name="склад")

    @async_to_sync
    async def play():
        accepted = await client.get("/api/remap/1.2/zoo/groups/?async=true")
        redirect = await client.get(accepted.headers["Location"])
        return await body_of(await client.get(redirect.headers["Location"]))

    assert [row["name"] for row in json.loads(play())] == ["склад"]


def test_refused_call_creates_no_task(client):
    @async_to_sync
    async def play():
        return [(await client.post(path, headers=SOLITUDE)).status_code for path in ("/nowhere/", "/doors/closed/")]

    assert play() == [404, 401]
    assert not AsyncTask.objects.exists()


def test_body_over_max_request_bytes_is_refused_with_413(client, settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "MAX_REQUEST_BYTES": 10}

    @async_to_sync
    async def play():
        return await client.post("/zoo/raw/", b"x" * 11, content_type="text/plain", headers=SOLITUDE)

    assert play().status_code == 413


# A real server --------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(client):
    """Headers of a browser that is logged in."""
    cookie = f"sessionid={client.cookies['sessionid'].value}; csrftoken={SECRET}"
    return {"Cookie": cookie, "X-CSRFToken": SECRET, "Content-Type": "application/octet-stream"}


@pytest.mark.seed("S004-8", "S004-9", "S004-12", "S004-14", "S004-16", "S004-17", "S004-18")
def test_solitude_end_to_end_over_asgi(browser):
    paths = [
        "raw",
        "asynchronous",
        "async-person",
        "person",
        "created",
        "duplicates",
        "binary",
        "no-content",
        "own-reason",
    ]
    with asgi_server() as port:
        for path in paths:
            body = EVERY_BYTE[:128]
            now = ask(port, "POST", f"/zoo/{path}/", body, browser)
            status, _, _, accepted = ask(port, "POST", f"/zoo/{path}/", body, {**browser, **SOLITUDE})
            assert status == 202, path
            later = ask(port, "GET", json.loads(accepted)["replay"], headers=browser)
            assert (later[0], later[1], later[3]) == (now[0], now[1], now[3])
            assert dict(later[2])["Solitude-Async"] == "yes"
            envelope = json.loads(ask(port, "GET", json.loads(accepted)["result"], headers=browser)[3])
            assert (envelope["run"], envelope["status_code"]) == (True, now[0])


def test_large_body_is_replayed_over_asgi(browser):
    with asgi_server() as port:
        accepted = json.loads(ask(port, "POST", "/zoo/raw/", LARGE, {**browser, **SOLITUDE})[3])
        assert ask(port, "GET", accepted["replay"], headers=browser)[3] == LARGE


@pytest.mark.seed("S001-4", "S001-14", "S001-20", "S001-33", "S001-35")
def test_moysklad_end_to_end_over_asgi(browser, listed):
    with asgi_server() as port:
        url = "/api/remap/1.2/zoo/place/?a=1&b=%D1%8F"
        now = json.loads(ask(port, "GET", url, headers=browser)[3])
        status, _, headers, content = ask(port, "GET", f"{url}&async=true", headers=browser)
        assert (status, content) == (202, b"")
        task = json.loads(ask(port, "GET", address(headers, "Content-Location"), headers=browser)[3])
        assert (task["state"], task["resultUrl"]) == ("DONE", dict(headers)["Location"])
        status, _, headers, content = ask(port, "GET", address(headers, "Location"), headers=browser)
        assert (status, content) == (302, b"")
        status, _, _, content = ask(port, "GET", address(headers, "Location"))
        assert (status, json.loads(content)) == (200, now)


def address(headers, name):
    """Path and query of the absolute URL in header ``name``."""
    text = next(text for key, text in headers if key.lower() == name.lower())
    return "/" + text.split("/", 3)[3]
