"""Capture and rebuild are inverses, apart from what must not survive; responses are sent as stored."""

from __future__ import annotations

import io
import json
import string
from dataclasses import replace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import BadHeaderError, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_asyncexchange.exceptions import RequestMalformed, RequestTooLarge
from django_asyncexchange.intake import capture
from django_asyncexchange.models import AsyncTask, encode
from django_asyncexchange.protocol.values import Request, Response
from django_asyncexchange.responses import http

CANARY = "canary-7f3a"

FACTORY = RequestFactory(headers={"Host": "testserver"})


def sent(path="/zoo/place/", method="POST", body=b"", content_type="text/plain", **values):
    return FACTORY.generic(method, path, body, content_type=content_type, **values)


def through(request, body=None):
    """``request`` after a round trip: captured, stored as JSON, read back, rebuilt."""
    body = request.body if body is None else body
    captured = capture.capture(request)
    task = AsyncTask(request=json.loads(json.dumps(encode(captured))))
    assert task.captured == captured
    with capture.rebuilt(task.captured, [body[:7], body[7:]]) as again:
        again.body  # noqa: B018  (read while it is open)
        return again


def names(request):
    return {name for name, _ in capture.capture(request).headers}


# Round trips ----------------------------------------------------------------------------------------------------------

SEGMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
QUERIES = st.text(string.ascii_letters + string.digits + "%+&=;,/?:@!$'()*[]{}|\\^~`\"<>é\xff\x80", max_size=60)
TOKENS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)


@given(SEGMENTS)
def test_any_path_round_trips(segment):
    path = f"/zoo/{segment}/"
    request = WSGIRequest(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path.encode().decode("latin-1"),
            "HTTP_HOST": "testserver",
            "wsgi.input": io.BytesIO(),
        }
    )
    again = through(request)
    assert (again.path, again.path_info, again.get_full_path()) == (request.path, path, request.get_full_path())


@given(st.binary(max_size=20).filter(lambda path: b"\0" not in path))
def test_path_that_is_not_utf_8_round_trips(path):
    request = sent()
    environ = {**request.META, "PATH_INFO": "/" + path.decode("latin-1"), "wsgi.input": io.BytesIO()}
    request = WSGIRequest(environ)
    assert through(request).path_info == request.path_info


@pytest.mark.parametrize("changes", [{"PATH_INFO": "/a\0b"}, {"QUERY_STRING": "a=\0"}, {"HTTP_X_OWN": "a\0b"}])
def test_nul_character_is_refused(changes):
    request = WSGIRequest({**sent().META, "wsgi.input": io.BytesIO(), **changes})
    with pytest.raises(RequestMalformed):
        capture.capture(request)


@given(QUERIES)
def test_any_query_round_trips(query):
    request = sent()
    request.META["QUERY_STRING"] = query
    again = through(request)
    assert (again.META["QUERY_STRING"], again.GET) == (query, request.GET)


@given(st.binary(max_size=300))
def test_any_body_round_trips(body):
    request = sent(body=body, content_type="application/octet-stream")
    again = through(request)
    assert (again.body, again.META.get("CONTENT_LENGTH")) == (body, request.META.get("CONTENT_LENGTH"))


@hypothesis_settings(deadline=None)
@given(st.dictionaries(TOKENS, VALUES, max_size=5))
def test_any_header_round_trips(headers):
    request = sent(headers={f"X-Mine-{name}": text for name, text in headers.items()})
    again = through(request)
    assert {name: text for name, text in again.headers.items() if text} == {
        name: text for name, text in request.headers.items() if text
    }


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])
def test_method_round_trips(method):
    assert through(sent(method=method)).method == method


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({}, "http://testserver/zoo/place/"),
        ({"secure": True}, "https://testserver/zoo/place/"),
        ({"headers": {"Host": "api.example.com:8443"}, "secure": True}, "https://api.example.com:8443/zoo/place/"),
        ({"headers": {"Host": "[::1]:8000"}}, "http://[::1]:8000/zoo/place/"),
    ],
)
def test_absolute_url_round_trips(values, address):
    request = sent(**values)
    again = through(request)
    assert again.build_absolute_uri() == request.build_absolute_uri() == address
    assert again.is_secure() == request.is_secure()


def test_script_name_round_trips():
    request = WSGIRequest({**sent().META, "SCRIPT_NAME": "/caf\xc3\xa9", "wsgi.input": io.BytesIO()})
    again = through(request)
    assert (again.path, again.path_info) == (request.path, "/zoo/place/") == ("/café/zoo/place/", "/zoo/place/")


def test_content_type_round_trips_with_its_parameters():
    again = through(sent(body=b"x", content_type='multipart/form-data; boundary="a b"; charset=utf-8'))
    assert again.META["CONTENT_TYPE"] == 'multipart/form-data; boundary="a b"; charset=utf-8'


def test_missing_content_type_stays_missing():
    assert "CONTENT_TYPE" not in through(FACTORY.get("/zoo/place/")).META


def test_remote_address_round_trips():
    again = through(sent(REMOTE_ADDR="203.0.113.7", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}))
    assert again.META["REMOTE_ADDR"] == "203.0.113.7"
    assert again.headers["X-Forwarded-For"] == "198.51.100.1, 203.0.113.7"


def test_language_and_time_zone_are_captured():
    with translation.override("ru"), timezone.override("Asia/Tokyo"):
        captured = capture.capture(sent())
    assert (captured.language, captured.time_zone) == ("ru", "Asia/Tokyo")


@pytest.mark.parametrize("is_checked", [True, False])
def test_rebuilt_call_skips_csrf_checks_only_if_it_was_checked(is_checked):
    call = replace(capture.capture(sent()), is_checked=is_checked)
    with capture.rebuilt(call, []) as again:
        assert again._dont_enforce_csrf_checks == is_checked


def test_unknown_keys_of_another_version_are_ignored():
    captured = capture.capture(sent())
    fields = {name: getattr(captured, name) for name in captured.__dataclass_fields__}
    assert AsyncTask(request=json.loads(json.dumps({**fields, "invented_later": 1}))).captured == captured


def asgi(query=b"", path="/zoo/place/", headers=()):
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "headers": [(b"host", b"testserver"), *headers],
        "client": ("203.0.113.7", 1234),
        "scheme": "https",
    }
    return ASGIRequest(scope, io.BytesIO(b""))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#\x00"), max_size=20))
def test_raw_query_of_an_asgi_server_round_trips(text):
    request = asgi(f"q={text}".encode())
    assert through(request).GET == request.GET


def test_asgi_request_round_trips():
    request = asgi(b"a=1", "/zoo/склад/", [(b"x-name", "Ünlaut".encode("latin-1")), (b"content-type", b"a/b")])
    again = through(request)
    assert again.build_absolute_uri() == request.build_absolute_uri()
    assert (again.headers["X-Name"], again.content_type) == ("Ünlaut", "a/b")
    assert again.META["REMOTE_ADDR"] == "203.0.113.7"


# What must not survive ------------------------------------------------------------------------------------------------

CREDENTIALS = ["Authorization", "Proxy-Authorization", "Cookie"]
SECRETS = [
    *CREDENTIALS,
    "X-CSRFToken",
    "X-XSRF-Token",
    "X-Api-Key",
    "Api-Key",
    "X-ApiKey",
    "X-Auth-Token",
    "X-Amz-Security-Token",
    "X-Client-Secret",
    "X-Password",
    "Remote-User",
    "X-Remote-User",
    "X-Forwarded-User",
]
HARMFUL = [
    "Range",
    "If-Range",
    "Expect",
    "Connection",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "Transfer-Encoding",
    "Solitude-Async",
]
KEPT = [
    *(name for name in SECRETS if name not in CREDENTIALS),
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "Forwarded",
    "Prefer",
    "If-Match",
    "If-Unmodified-Since",
    "Accept",
    "Accept-Language",
    "Idempotency-Key",
    "X-Request-ID",
    "Traceparent",
    "Tracestate",
    "User-Agent",
    "Referer",
    "Origin",
    "X-Custom",
]


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credential_header_is_not_captured(name):
    assert CANARY not in str(capture.capture(sent(headers={name: CANARY})))


@pytest.mark.parametrize("name", ["REMOTE_USER", "AUTH_TYPE", "REDIRECT_REMOTE_USER", "REDIRECT_HTTP_AUTHORIZATION"])
def test_remote_user_of_the_server_is_not_captured(name):
    assert CANARY not in str(capture.capture(sent(**{name: CANARY})))


@pytest.mark.parametrize("name", HARMFUL)
def test_hop_by_hop_header_is_not_captured(name):
    assert name not in names(sent(headers={name: "x"}))


@pytest.mark.parametrize("name", KEPT)
def test_any_other_header_is_captured(name):
    assert name.title() in {kept.title() for kept in names(sent(headers={name: "x"}))}


@pytest.mark.parametrize(
    ("method", "name", "text", "is_kept"),
    [
        ("GET", "If-None-Match", '"a"', False),
        ("HEAD", "If-None-Match", "*", False),
        ("GET", "If-Modified-Since", "x", False),
        ("QUERY", "If-None-Match", "x", False),
        ("PUT", "If-None-Match", "*", True),
        ("PUT", "If-None-Match", '"a"', True),
    ],
)
def test_condition_is_captured_for_writes_only(method, name, text, is_kept):
    assert (name in names(sent(method=method, headers={name: text}))) is is_kept


def test_secure_proxy_ssl_header_is_captured(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_TLS", "on")
    request = sent(headers={"X-Tls": "on"})
    assert through(request).is_secure() is request.is_secure() is True
    settings.SECURE_PROXY_SSL_HEADER = None
    assert not through(request).is_secure()


def test_language_cookie_becomes_accept_language():
    request = sent(headers={"Accept-Language": "en", "Cookie": "django_language=ru"})
    with translation.override("ru"):
        captured = capture.capture(request)
    assert [text for name, text in captured.headers if name == "Accept-Language"] == ["ru"]


@pytest.mark.django_db(transaction=True)
def test_disallowed_host_is_refused_at_submit(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    refused = Client().post("/zoo/headers/", headers={"Solitude-Async": "yes", "Host": "evil.example"})
    assert refused.status_code == 400
    assert not AsyncTask.objects.exists()


def test_host_disallowed_meanwhile_is_refused_in_the_run(settings):
    captured = capture.capture(sent(headers={"Host": "old.example"}))
    settings.ALLOWED_HOSTS = ["testserver"]
    with capture.rebuilt(captured, []) as again, pytest.raises(DisallowedHost):
        again.get_host()


def columns():
    """All values of our tables, as text."""
    return [
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        for model in apps.get_app_config("asyncexchange").get_models()
        for row in model.objects.values()
        for value in row.values()
    ]


@pytest.mark.django_db(transaction=True)
def test_no_table_holds_a_credential():
    client = Client(headers={name: CANARY for name in SECRETS if name not in ("Authorization", "Cookie")})
    client.force_login(User.objects.create_user("anna"))
    session = client.cookies["sessionid"].value
    client.cookies["other"] = CANARY
    headers = {"Authorization": f"Bearer {CANARY}", "Solitude-Async": "yes"}
    accepted = client.post(f"/zoo/binary/?sig={CANARY}", CANARY, "text/plain", headers=headers, REMOTE_USER=CANARY)
    assert accepted.status_code == 202
    assert AsyncTask.objects.get().status_code == 200
    assert not [column for column in columns() if CANARY.encode() in column or session.encode() in column]


# Bodies ---------------------------------------------------------------------------------------------------------------


def test_spooled_body_can_be_read_twice():
    request = sent(body=b"abc")
    with capture.spool(request) as file:
        assert request.read() == b"abc"
        file.seek(0)
        assert file.read() == b"abc"


def test_view_cannot_close_the_spooled_body():
    request = sent(body=b"a=1", content_type="application/x-www-form-urlencoded")
    with capture.spool(request) as file:
        assert request.POST["a"] == "1"
        file.seek(0)
        assert file.read() == b"a=1"


def test_body_read_before_is_spooled():
    request = sent(body=b"abc")
    assert request.body == b"abc"
    with capture.spool(request) as file:
        assert file.read() == b"abc"


@pytest.mark.parametrize("length", ["", "1"])
def test_body_longer_than_its_content_length_is_counted(settings, length):
    settings.ASYNC_EXCHANGE = {"MAX_REQUEST_BYTES": 10}
    request = sent(body=b"x" * 11)
    request.META["CONTENT_LENGTH"] = length
    with pytest.raises(RequestTooLarge):
        capture.spool(request)


def test_large_content_length_is_refused_unread(settings):
    settings.ASYNC_EXCHANGE = {"MAX_REQUEST_BYTES": 10}
    request = sent(body=b"x" * 11)
    request._stream = None
    with pytest.raises(RequestTooLarge):
        capture.spool(request)


def test_rebuilt_body_is_closed_after_the_run():
    with capture.rebuilt(capture.capture(sent()), [b"abc"]) as request:
        body = request.environ["wsgi.input"]
    assert body.closed


# Responses ------------------------------------------------------------------------------------------------------------

HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]
NOT_OURS = ["Set-Cookie", "Content-Length", "Strict-Transport-Security", "Server", "Date"]


@pytest.mark.parametrize("name", [*HOP_BY_HOP, *NOT_OURS])
def test_hop_by_hop_and_server_headers_are_not_stored(name):
    assert http.stored_headers(HttpResponse(headers={name: "x"})) == (("Content-Type", "text/html; charset=utf-8"),)


@pytest.mark.parametrize("name", ["Location", "ETag", "Link", "Vary", "Content-Encoding", "X-Own", "WWW-Authenticate"])
def test_any_other_header_is_stored(name):
    assert (name, "x") in http.stored_headers(HttpResponse(headers={name: "x"}))


HEADERS = (
    ("X-First", "1"),
    ("Link", "<a>"),
    ("X-Second", "2"),
    ("Link", "<b>"),
    ("link", "<c>"),
    ("Content-Type", "a/b"),
)


def test_response_has_exactly_the_given_headers_in_order():
    assert tuple(http.respond(Response(status=200, headers=HEADERS)).items()) == HEADERS


def test_middleware_may_change_and_add_headers():
    answer = http.respond(Response(status=200, headers=HEADERS))
    answer["x-second"] = "changed"
    answer["X-Third"] = "3"
    lines = list(answer.items())
    assert [text for name, text in lines if name.lower() == "x-second"] == ["changed"]
    assert lines[-1] == ("X-Third", "3")


def test_middleware_may_remove_a_header():
    answer = http.respond(Response(status=200, headers=HEADERS))
    del answer["Link"]
    assert [name for name, _ in answer.items()] == ["X-First", "X-Second", "Content-Type"]


@given(st.text(max_size=20), st.sampled_from(["\r", "\n", "\r\n"]), st.text(max_size=20))
def test_line_break_in_a_header_is_refused(before, end, after):
    with pytest.raises(BadHeaderError):
        http.respond(Response(status=200, headers=(("X-Own", before + end + after),)))


@pytest.mark.parametrize("headers", [(("X-Own", "<a>\r\nX-Evil: 1"),), (("Link", "a"), ("Link", "<b>\r\nX-Evil: 1"))])
def test_header_injection_is_refused(headers):
    with pytest.raises(BadHeaderError):
        http.respond(Response(status=200, headers=headers))


@pytest.mark.django_db(transaction=True)
def test_line_break_in_a_captured_header_is_not_sent():
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    accepted = client.post("/zoo/headers/", headers={"Solitude-Async": "yes", "X-Own": "a\r\nX-Evil: 1"})
    assert "X-Evil" not in accepted.headers
    assert "X-Evil" not in client.get(accepted.json()["replay"]).headers


def test_request_is_hashable():
    call = Request(method="GET", scheme="http", host="h", script_name="", path="/", query="", headers=())
    assert hash(call) == hash(Request(**{name: getattr(call, name) for name in Request.__dataclass_fields__}))


@pytest.mark.parametrize("name", ["X-Company-Ticket", "X-COMPANY-pass"])
def test_secret_names_are_not_captured(name, settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "SECRET_NAMES": ["x-company-*"]}
    assert CANARY not in str(capture.capture(sent(headers={name: CANARY})))


@pytest.mark.django_db(transaction=True)
def test_fuzzed_response_is_replayed_byte_for_byte():
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create(username="fuzz"))

    @hypothesis_settings(max_examples=40, deadline=None)
    @given(
        st.binary(max_size=300), st.sampled_from([1, 1000]), st.sampled_from(["text/plain", "image/png", "a/b; c=d"])
    )
    def survives(body, times, content_type):
        accepted = client.post("/zoo/raw/", body * times, content_type=content_type, headers={"Solitude-Async": "yes"})
        replay = client.get(accepted.json()["replay"])
        now = client.post("/zoo/raw/", body * times, content_type=content_type)
        assert replay.status_code == now.status_code == 200
        assert b"".join(replay) == b"".join(now) == body * times

    survives()
