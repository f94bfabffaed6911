"""Parity: the replayed response of any view equals its synchronous response."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from ..project.serving import ask, wsgi_server
from ..project.views import EVERY_BYTE, LARGE

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous:Warning"),
]

JSON = "application/json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Animal:
    """One call of one view."""

    path: str
    method: str = "POST"
    data: Any = ""
    content_type: str = "text/plain"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def call(self, client: Client, **headers: str) -> Any:
        values: dict[str, Any] = {"headers": {**self.headers, **headers}}
        if callable(self.data):
            return client.post(f"/zoo/{self.path}", self.data(), **values)  # multipart, files included
        return client.generic(self.method, f"/zoo/{self.path}", self.data, content_type=self.content_type, **values)


def files() -> dict[str, Any]:
    return {
        "title": "Два файла",
        "tags": ["a", "b"],
        "first": SimpleUploadedFile("отчёт.bin", EVERY_BYTE, content_type="application/x-bin"),
        "second": SimpleUploadedFile("b.txt", b"", content_type="text/plain"),
    }


STATUSES = (
    200,
    201,
    202,
    226,
    299,
    400,
    401,
    403,
    404,
    405,
    409,
    410,
    412,
    418,
    422,
    429,
    451,
    499,
    500,
    502,
    503,
    599,
)

ZOO = [
    *(Animal(path=f"answer/{code}/") for code in STATUSES),
    *(
        Animal(path=f"{name}/")
        for name in [
            "created",
            "no-content",
            "not-modified",
            "partial",
            "unavailable",
            "own-reason",
            "moved",
            "found",
            "see-other",
            "lost",
            "forbidden",
            "suspicious",
            "broken",
            "not-allowed",
            "duplicates",
            "cookies",
            "odd-headers",
            "no-type",
            "cacheable",
            "empty",
            "binary",
            "large",
            "unicode",
            "latin",
            "compressed",
            "stream",
            "async-stream",
            "file",
            "template",
            "person",
            "async-person",
            "place",
            "locale",
            "guarded-form",
            "headers",
            "async-class",
            "class/7",
            "rest",
            "rest-error",
        ]
    ),
    Animal(path="place/%D1%81%D0%BA%D0%BB%D0%B0%D0%B4/a%20b%2Bc/", method="PUT"),
    Animal(path="place/?%D0%B8%D0%BC%D1%8F=%D0%AF&a=1&a=2&b=&c&d=%2B+%26", method="PATCH"),
    Animal(path="place/?broken=%FF%FE&raw=é&percent=%"),
    Animal(path="headers/", headers={"X-Custom": "Ünlaut", "Accept": "a/b", "X-Request-ID": "1", "If-Match": '"x"'}),
    Animal(path="locale/", headers={"Accept-Language": "ru,en;q=0.5"}),
    Animal(path="form/", data="a=1&a=2&%D0%B8=%D1%8F", content_type="application/x-www-form-urlencoded"),
    Animal(path="guarded-form/", data="name=Anna", content_type="application/x-www-form-urlencoded"),
    Animal(path="upload/", data=files),
    Animal(path="raw/", data=EVERY_BYTE, content_type="application/octet-stream"),
    Animal(path="raw/", data=LARGE, content_type="image/png"),
    Animal(path="raw/", data='{"имя": "Я"}'.encode(), content_type="application/json; charset=utf-8"),
    Animal(path="asynchronous/", data="тело".encode(), method="PUT"),
    Animal(path="rest/", data=b'{"name": "\xd1\x8f", "amount": "1.50"}', content_type=JSON),
    Animal(path="rest/", data=b'{"name": ""}', content_type=JSON, method="PUT"),
    Animal(path="rest/", data=b"{broken", content_type=JSON),
    Animal(path="rest/", data=b"<a/>", content_type="application/xml"),
    Animal(path="rest-function/?a=1", data=b"[1, 2.50, null]", content_type=JSON),
    Animal(path="groups/1/", data=b'{"name": "renamed"}', content_type=JSON, method="PUT"),
    Animal(path="groups/1/", data=b'{"name": ""}', content_type=JSON, method="PATCH"),
    Animal(path="groups/2/", data=b"{}", content_type=JSON, method="PATCH"),
]


@pytest.fixture
def client(db):
    client = Client(raise_request_exception=False, headers={"Host": "testserver"})
    client.force_login(User.objects.create_user("anna", email="anna@example.com"))
    return client


def body_of(response):
    return b"".join(response) if response.streaming else response.content


OURS = [("Solitude-Async", "yes"), ("Cache-Control", "private, no-cache")]
"""What a replay adds: its mark, and that a shared cache may not keep it, where the view says nothing about caches.

Its address has validators and parts besides, where the call succeeded.
"""


def parity(later, now):
    """Assert that two lists of headers are equal, apart from ours and the framing.

    Reading a task depends on who reads, so its ``Vary`` may name ``Cookie`` as well.
    """
    given = {name.lower() for name, _ in now}
    ours = [pair for pair in OURS if pair[0].lower() not in given]
    file = {"etag", "last-modified", "accept-ranges"} - given
    assert essence([pair for pair in later if pair not in ours and pair[0].lower() not in file]) == essence(now)


def essence(headers):
    lines = [(name, text.removesuffix(", Cookie") if name == "Vary" else text) for name, text in headers]
    return [(name, text) for name, text in lines if name != "Content-Length"]


@pytest.mark.seed("S004-17", "S004-18", "S004-19", "S004-20")
@pytest.mark.parametrize("animal", ZOO, ids=str)
def test_replayed_response_equals_the_synchronous_response(client, animal):
    Group.objects.create(pk=1, name="first")
    now = animal.call(client)
    accepted = animal.call(client, **{"Solitude-Async": "yes"})
    assert accepted.status_code == 202
    later = client.get(accepted.json()["replay"])
    assert (later.status_code, later.reason_phrase) == (now.status_code, now.reason_phrase)
    parity(list(later.items()), list(now.items()))
    assert body_of(later) == body_of(now)


def test_at_least_30_kinds_of_views_are_compared():
    assert len({animal.path for animal in ZOO if not animal.path.startswith("answer/")}) >= 30


def later(client, path, **headers):
    """The replayed answer to a POST of ``path``."""
    accepted = client.post(path, headers={"Solitude-Async": "yes", **headers})
    return client.get(accepted.json()["replay"])


def test_set_cookie_is_not_replayed(client):
    now = client.post("/zoo/cookies/")
    assert "biscuit" in now.cookies
    assert "biscuit" not in later(client, "/zoo/cookies/").cookies


def test_header_after_set_cookie_is_replayed(client):
    assert later(client, "/zoo/cookies/").headers["X-After-Cookie"] == "yes"


def test_cache_control_of_the_view_is_replayed(client):
    assert later(client, "/zoo/cacheable/").headers["Cache-Control"] == "public, max-age=3600"


def test_hop_by_hop_headers_are_not_replayed(client):
    assert "mine" in client.post("/zoo/framing/").headers.values()
    assert "mine" not in later(client, "/zoo/framing/").headers.values()


def test_replayed_streaming_response_has_a_content_length(client):
    replayed = later(client, "/zoo/stream/")
    assert int(replayed.headers["Content-Length"]) == len(body_of(replayed))


def test_response_over_the_inline_limit_is_replayed_as_a_stream(client):
    with contextlib.closing(later(client, "/zoo/large/")) as replayed:
        assert replayed.streaming


def test_body_without_content_type_is_replayed_without_one(client):
    assert "Content-Type" not in later(client, "/zoo/no-type/").headers


# A report in MoySklad's dialect ---------------------------------------------------------------------------------------

REPORTS = ["unicode/", "latin/", "binary/", "large/", "stream/", "async-stream/", "file/", "template/", "compressed/"]
REPORTS += ["place/?%D0%B8=%D1%8F&b=2", "rest-function/?a=1", "groups/", "empty/", "async-class/", "duplicates/"]


@pytest.fixture
def every_report(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/api/remap/1.2/zoo/*"]}


@pytest.mark.seed("S001-35", "S002-47", "S002-48")
@pytest.mark.parametrize("path", REPORTS)
def test_downloaded_report_equals_the_synchronous_response(client, every_report, path):
    Group.objects.create(name="склад")
    url = f"/api/remap/1.2/zoo/{path}"
    now = client.get(url)
    accepted = client.get(url + ("&" if "?" in url else "?") + "async=true")
    redirect = client.get(accepted.headers["Location"])
    assert redirect.status_code == 302
    file = client.get(redirect.headers["Location"])
    assert file.status_code == 200
    assert body_of(file) == body_of(now)
    assert file.headers.get("Content-Type") == now.headers.get("Content-Type")


@pytest.mark.seed("S001-44", "S002-52")
@pytest.mark.parametrize("path", ["answer/403/", "answer/404/", "rest/", "answer/429/", "lost/", "forbidden/"])
def test_result_of_a_failed_report_equals_the_synchronous_response(client, every_report, path):
    url = f"/api/remap/1.2/zoo/{path}"
    now = client.get(url)
    if path == "rest/":  # its 405 is known at submit
        assert client.get(f"{url}?async=true").status_code == now.status_code == 405
        return
    result = client.get(client.get(f"{url}?async=true").headers["Location"])
    assert (result.status_code, result.reason_phrase) == (now.status_code, now.reason_phrase)
    parity(list(result.items()), list(now.items()))
    assert body_of(result) == body_of(now)


def test_downloaded_report_does_not_keep_the_original_reason_phrase(client, every_report):
    accepted = client.get("/api/remap/1.2/zoo/created/?async=true")
    file = client.get(client.get(accepted.headers["Location"]).headers["Location"])
    assert (file.status_code, file.reason_phrase) == (200, "OK")


# Over a real server ---------------------------------------------------------------------------------------------------

CONNECTION = {"date", "server", "connection", "transfer-encoding", "set-cookie"}
"""What belongs to the server and its connection, or to the session."""

SECRET = "s" * 32
"""Of a browser's CSRF cookie."""


@pytest.mark.seed("S004-9", "S004-17", "S004-18")
def test_real_server_sends_the_same_response_now_and_later(client):
    cookie = f"sessionid={client.cookies['sessionid'].value}; csrftoken={SECRET}"
    session = {"Cookie": cookie, "X-CSRFToken": SECRET, "Content-Type": "text/plain"}
    paths = [
        "created",
        "duplicates",
        "binary",
        "large",
        "stream",
        "own-reason",
        "no-content",
        "found",
        "broken",
        "unicode",
    ]
    with wsgi_server() as port:
        for path in paths:
            now = ask(port, "POST", f"/zoo/{path}/", b"", session)
            status, _, _, body = ask(port, "POST", f"/zoo/{path}/", b"", {**session, "Solitude-Async": "yes"})
            assert status == 202, path
            later = ask(port, "GET", json.loads(body)["replay"], headers=session)
            assert later[:2] == now[:2]
            parity(on_the_wire(later[2]), on_the_wire(now[2]))
            assert later[3] == now[3]


def on_the_wire(headers):
    return [(name, text) for name, text in headers if name.lower() not in CONNECTION]
