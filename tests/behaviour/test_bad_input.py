"""Any HTTP input is answered with a 2xx or a 4xx in the format of its dialect."""

from __future__ import annotations

import json
import string

import pytest
from django.test import Client, override_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_asyncexchange.protocol.states import State

from ..services import IDLE, exchange, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

BASE = "/api/remap/1.2"

fuzzed = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

visible = st.characters(codec="latin-1", exclude_characters="\r\n\0")
header_text = st.text(visible, max_size=40)
raw_query = st.text(st.characters(codec="latin-1", exclude_characters="\r\n #"), max_size=60)
pieces = st.sampled_from(
    [
        *"=;&<>!~%+\\,",
        "filter=",
        "order=",
        "limit=",
        "offset=",
        "state",
        "done",
        "request",
        "deletionDate",
        "2031-05-01 12:00:00",
        "0000-00-00 00:00",
        "%00",
        "%ff",
        "%F0%9F%98%80",
        "9" * 30,
        "-1",
        "null",
        "__regex",
    ]
)
grammar = st.lists(pieces, max_size=12).map("".join)


@pytest.fixture(scope="module")
def worded():
    """Whether a response is an error document of MoySklad."""

    def check(response):
        errors = json.loads(response.content)["errors"]
        return bool(errors) and all(error["error"] and type(error["code"]) is int for error in errors)

    return check


@pytest.fixture
def anna(admin_user):
    """A logged-in client with one task in each state."""
    client = Client(raise_request_exception=True)
    client.force_login(admin_user)
    for state in State:
        stored(state, owner=admin_user, answer=b'{"errors":[{"error":"x","code":1}]}')
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield client


def is_fine(response):
    return 200 <= response.status_code < 500


@fuzzed
@given(query=grammar | raw_query)
@example(query="filter=deletionDate<0001-01-01 00:00")
@example(query="filter=deletionDate!=9999-12-31 23:59:59.999")
@example(query="filter=request=%00")
@example(query="limit=" + "9" * 5000)
@example(query="filter=\xe9")
def test_fuzzed_list_query_is_answered_200_or_400(anna, worded, query):
    response = anna.get(f"{BASE}/async", QUERY_STRING=query)
    assert response.status_code in (200, 400)
    assert "rows" in response.json() if response.status_code == 200 else worded(response)


@fuzzed
@given(id=st.text(min_size=1, max_size=50), rest=st.sampled_from(["", "/", "/result", "/cancel", "/download", "/x"]))
@example(id="0" * 36, rest="")
@example(id="\0" * 36, rest="/result")
@example(id="\ud800", rest="")
@example(id="\n", rest="/x")
def test_fuzzed_task_id_is_refused(anna, worded, id, rest):
    path = f"{BASE}/async/{id}{rest}".encode("utf-8", "surrogatepass").decode("latin-1")
    response = anna.get("/", PATH_INFO=path)
    assert response.status_code in (403, 404, 405) or id.strip("/") == ""
    assert response.status_code == 200 or worded(response)


@fuzzed
@given(id=st.text(min_size=1, max_size=50), verb=st.sampled_from(["result", "replay"]))
@example(id="\0", verb="replay")
def test_fuzzed_task_id_is_a_404_in_solitude(anna, id, verb):
    response = anna.get("/", PATH_INFO=f"/delay/{verb}/{id}/".encode("utf-8", "surrogatepass").decode("latin-1"))
    assert (response.status_code, response["Solitude-Async"], response.content) == (404, "no", b"")


@fuzzed
@given(query=st.dictionaries(st.sampled_from(["temp_url_sig", "temp_url_expires", "filename", "x"]), st.text()))
def test_fuzzed_download_signature_is_a_403(anna, worded, query, admin_user):
    task = stored(State.DONE, owner=admin_user, answer=b"secret")
    response = anna.get(f"{BASE}/async/{task.pk}/download", query)
    assert response.status_code == 403
    assert worded(response)


HEADERS = st.sampled_from(
    [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Content-Type",
        "Cookie",
        "If-Match",
        "Range",
        "X-Forwarded-Proto",
        "X-Custom",
        "Prefer",
        "Idempotency-Key",
    ]
)


def environ(headers):
    """``headers`` as WSGI environ keys."""
    names = {name: name.upper().replace("-", "_") for name in headers}
    return {
        upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}": headers[name]
        for name, upper in names.items()
    }


@fuzzed
@given(
    headers=st.dictionaries(HEADERS, header_text, max_size=5),
    trigger=header_text.filter(str.strip),
    body=st.binary(max_size=100),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"]),
)
@example(headers={"Content-Length": "many"}, trigger="yes", body=b"x", method="POST")
@example(headers={"Content-Length": "-5"}, trigger="yes", body=b"x", method="POST")
@example(headers={"Content-Length": "9" * 400}, trigger="yes", body=b"x", method="POST")
@example(headers={"Content-Type": "multipart/form-data"}, trigger="yes", body=b"x", method="POST")
@example(headers={"X-Custom": "a\0b"}, trigger="y\0s", body=b"", method="POST")
def test_fuzzed_call_with_a_trigger_header_is_accepted_or_refused(anna, headers, trigger, body, method):
    passed = {**environ(headers), "HTTP_SOLITUDE_ASYNC": trigger}
    session = "; ".join(f"{name}={morsel.value}" for name, morsel in anna.cookies.items())
    passed["HTTP_COOKIE"] = f"{session}; {passed.get('HTTP_COOKIE', '')}"
    response = anna.generic(method, "/ran/", body, **passed)
    assert is_fine(response), response.content
    if response.status_code >= 400 and method != "HEAD":
        assert set(response.json()) == {"error", "error_message"}


@fuzzed
@given(
    spelling=st.sampled_from(["true", "TRUE", "True", "1", "yes", "", "%74rue", "true%00", "tru\xe9", "false"]),
    query=grammar | raw_query,
    headers=st.dictionaries(HEADERS, header_text, max_size=3),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/ran/", "/nowhere/", "/async/x", "/ran", "/"]),
)
@example(spelling="true", query="x=%00", headers={}, method="GET", path="/ran/")
@example(spelling="true", query="limit=1", headers={"Accept-Encoding": ";;q=,"}, method="GET", path="/ran/")
def test_fuzzed_call_with_a_trigger_parameter_is_accepted_or_refused(
    anna, worded, spelling, query, headers, method, path
):
    passed = {**environ(headers), "QUERY_STRING": f"async={spelling}&{query}"}
    passed.pop("HTTP_COOKIE", None)
    response = anna.generic(method, BASE + path, **passed)
    assert is_fine(response), response.content
    if response.status_code >= 400 and spelling not in ("", "false") and "async" not in path:
        assert response.status_code == 415 or worded(response)


@fuzzed
@given(path=st.text(string.printable + "é\0%", max_size=30).map("ran/".__add__))
@example(path="\0")
@example(path="ran/\0")
@example(path="ran/\n")
@example(path="%00/..;/")
def test_fuzzed_path_is_answered_or_refused(anna, path):
    raw = f"/{path}".encode().decode("latin-1")
    assert is_fine(anna.generic("POST", "/", b"x", PATH_INFO=raw, HTTP_SOLITUDE_ASYNC="yes"))
