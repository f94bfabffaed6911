"""A result is a resource like any other: validators, conditional requests, ranges, HEAD and compression, in every
dialect and at every route that returns it.
"""

from __future__ import annotations

import contextlib
import gzip
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils.http import parse_http_date

from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask, Body

from ..services import soon

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.behaviour.test_results_as_resources"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning"),
]

WHOLE = "".join(f"{number};{number * number}\n" for number in range(22_000)).encode()
"""A text of 300 kB, which is stored in a file."""
NAME = 'attachment; filename="squares.csv"'


@allow_async
def squares(request: HttpRequest) -> HttpResponse:
    return HttpResponse(WHOLE, content_type="text/csv", headers={"Content-Disposition": NAME})


urlpatterns = [
    path("squares.csv", squares),
    path("api/v2/squares.csv", squares),
    path("api/remap/1.2/squares.csv", squares),
    path("kladana/api/remap/1.2/squares.csv", squares),
    path("unifiedconfig/config/squares.csv", squares),
    path("", include("django_asyncexchange.urls")),
]

CALLS = {
    "prefer": ("GET", "/squares.csv", {"Prefer": "respond-async"}),
    "mailru": ("GET", "/async_api/v2/squares.csv", {}),
    "moysklad": ("GET", "/api/remap/1.2/squares.csv?async=true", {}),
    "kladana": ("GET", "/kladana/api/remap/1.2/squares.csv?async=true", {}),
    "cisco": ("POST", "/unifiedconfig/config/squares.csv?async=true", {}),
    "solitude": ("POST", "/squares.csv", {"Solitude-Async": "yes"}),
}

Finder = Callable[[Client, Any], str]


def redirected(client: Client, accepted: Any) -> str:
    return str(client.get(accepted["Location"]).headers["Location"])


RESOURCES: dict[tuple[str, str], Finder] = {
    ("prefer", "result"): redirected,
    ("prefer", "download"): lambda client, accepted: client.get(accepted["Location"]).json()["links"]["download"],
    ("mailru", "result"): redirected,
    ("moysklad", "download"): redirected,
    ("kladana", "download"): redirected,
    ("cisco", "status"): lambda client, accepted: accepted["Location"],
    ("solitude", "replay"): lambda client, accepted: accepted.json()["replay"],
}
"""(dialect, route that returns the stored response itself) → its URL, from the response to the submit."""

each_resource = pytest.mark.parametrize(("dialect", "route"), RESOURCES, ids=map("-".join, RESOURCES))


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return client


def submitted(client: Client, dialect: str) -> Any:
    method, url, headers = CALLS[dialect]
    accepted = client.generic(method, url, headers=headers)
    assert accepted.status_code == 202
    assert Body.objects.get(kind=Body.RESPONSE).name
    return accepted


@pytest.fixture
def ask(client: Client, dialect: str, route: str) -> Iterator[Callable[..., Any]]:
    """``ask(method, Header_Name=...)``: a request to the result."""
    url = RESOURCES[dialect, route](client, submitted(client, dialect))
    with contextlib.ExitStack() as stack:

        def ask(method: str = "GET", **headers: str) -> Any:
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            return stack.enter_context(contextlib.closing(client.generic(method, url, headers=named)))

        yield ask


def content_of(response: Any) -> bytes:
    return b"".join(response) if response.streaming else response.content


def test_every_dialect_returns_its_result_somewhere() -> None:
    assert {dialect for dialect, _ in RESOURCES} == BUILT_IN.keys() == CALLS.keys()


@each_resource
def test_result_has_validators(ask: Any) -> None:
    response = ask()
    assert (response.status_code, content_of(response)) == (200, WHOLE)
    assert re.fullmatch(r'"[0-9a-f]{64}"', response["ETag"])
    assert parse_http_date(response["Last-Modified"])
    assert response["Accept-Ranges"] == "bytes"
    assert response["Content-Length"] == str(len(WHOLE))


@each_resource
def test_result_is_an_attachment_with_a_name(ask: Any, dialect: str) -> None:
    own = re.compile(r'attachment; filename="asynctask_[0-9a-f-]+_result\.csv"')
    names = {"moysklad": own, "kladana": own}
    assert re.fullmatch(names.get(dialect, re.escape(NAME)), ask()["Content-Disposition"])


@each_resource
def test_client_that_has_the_result_gets_a_304(ask: Any) -> None:
    first = ask()
    for condition in ({"If_None_Match": first["ETag"]}, {"If_Modified_Since": first["Last-Modified"]}):
        response = ask(**condition)
        assert (response.status_code, response.content, response["ETag"]) == (304, b"", first["ETag"])


@each_resource
def test_precondition_that_is_not_met_is_a_412(ask: Any) -> None:
    assert ask(If_Match='"other"').status_code == 412


@each_resource
def test_interrupted_download_is_resumed(ask: Any) -> None:
    etag, middle = ask()["ETag"], len(WHOLE) // 2
    for condition in ({}, {"If_Range": etag}):
        parts = [ask(Range=wanted, **condition) for wanted in (f"bytes=0-{middle - 1}", f"bytes={middle}-")]
        assert [part.status_code for part in parts] == [206, 206]
        assert b"".join(map(content_of, parts)) == WHOLE
    assert parts[1]["Content-Range"] == f"bytes {middle}-{len(WHOLE) - 1}/{len(WHOLE)}"


@each_resource
def test_changed_file_is_not_resumed(ask: Any) -> None:
    response = ask(Range="bytes=100-", If_Range='"other"')
    assert (response.status_code, content_of(response)) == (200, WHOLE)


@each_resource
def test_range_beyond_the_end_is_a_416(ask: Any) -> None:
    response = ask(Range=f"bytes={len(WHOLE)}-")
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{len(WHOLE)}")


@each_resource
def test_head_has_the_headers_of_get(ask: Any) -> None:
    get, head = ask(), ask("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.items()) == dict(get.items())


@each_resource
def test_large_text_is_compressed_for_clients_that_accept_it(ask: Any) -> None:
    response = ask(Accept_Encoding="gzip")
    assert gzip.decompress(content_of(response)) == WHOLE
    assert (response["Content-Encoding"], response["ETag"]) == ("gzip", f"W/{ask()['ETag']}")
    assert "Accept-Encoding" in response["Vary"]
    assert ask(Accept_Encoding="gzip", If_None_Match=response["ETag"]).status_code == 304


@pytest.fixture
def envelope(client: Client) -> Callable[..., Any]:
    """Solitude's document, in which the result is embedded."""
    url = submitted(client, "solitude").json()["result"]
    return lambda method="GET", **headers: client.generic(method, url, headers=headers)


def test_envelope_has_an_etag(envelope: Any) -> None:
    response = envelope()
    assert response.json()["content"].encode() == WHOLE
    unchanged = envelope(**{"If-None-Match": response["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_head_of_the_envelope_has_its_headers(envelope: Any) -> None:
    get, head = envelope(), envelope("HEAD")
    assert (head.status_code, head.content, dict(head.items())) == (200, b"", dict(get.items()))


def test_signed_link_needs_no_credentials(client: Client) -> None:
    link = RESOURCES["prefer", "download"](client, submitted(client, "prefer"))
    with contextlib.closing(Client().get(link, headers={"Range": "bytes=10-19"})) as response:
        assert (response.status_code, content_of(response)) == (206, WHOLE[10:20])
        assert (response["Content-Security-Policy"], response["Cache-Control"]) == ("sandbox", "no-store")


def test_etag_of_the_monitor_does_not_change_with_the_link(client: Client) -> None:
    monitor = submitted(client, "prefer")["Operation-Location"]
    AsyncTask.objects.update(deletion_date=soon(minutes=1))  # when the link expires, too
    first = client.get(monitor)
    with contextlib.closing(Client().get(first.json()["downloadLocation"])) as response:
        assert content_of(response) == WHOLE
    assert client.get(monitor, headers={"If-None-Match": first["ETag"]}).status_code == 304
