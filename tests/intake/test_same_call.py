"""The run gets the call that came: query, headers, body and environment, as the first middleware got them."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import io
import json
import tempfile
import zlib
from wsgiref.validate import check_environ
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import include, path
from django.utils import timezone

from django_asyncexchange.exceptions import CallChanged
from django_asyncexchange.intake import arrival, capture
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol import time_zones
from django_asyncexchange.store import bodies
from django_asyncexchange.worker import runner

from ..services import IDLE, captured, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.intake.test_same_call")]

SOLITUDE = {"Solitude-Async": "yes"}
PREFER = {"Prefer": "respond-async"}
FORM = "application/x-www-form-urlencoded"
SURROUNDINGS = ("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT")
OUR_OWN = {"Cookie", "Solitude-Async", "Accept-Encoding"}
"""Headers that are not compared."""


# A project ------------------------------------------------------------------------------------------------------------


def tells(request, rest=""):
    """Everything that a view may see of its call."""
    try:
        form = {name: request.POST.getlist(name) for name in request.POST}
        files = {name: file.read().decode() for name, file in request.FILES.items()}
    except Exception as error:
        form, files = repr(error), {}
    return JsonResponse(
        {
            "method": request.method,
            "path": [request.path, request.path_info, request.META["SCRIPT_NAME"]],
            "query": request.META.get("QUERY_STRING"),
            "headers": {name: text for name, text in request.headers.items() if name not in OUR_OWN},
            "site": [request.get_host(), request.get_port(), request.is_secure(), request.build_absolute_uri("x")],
            "around": {name: request.META.get(name) for name in SURROUNDINGS},
            "length": request.META.get("CONTENT_LENGTH", "not told"),
            "form": form,
            "files": files,
            "tenant": getattr(request, "tenant", None),
            "zone": [timezone.get_current_timezone_name(), str(timezone.localtime().utcoffset())],
        }
    )


def raw(request):
    return HttpResponse(request.body, content_type="application/octet-stream")


tells.async_exchange = raw.async_exchange = True


def made(request):
    """Reads the stream itself, like the parsers of REST framework."""
    return HttpResponse(request.read())


urlpatterns = [
    path("made/", made),
    path("", include("django_asyncexchange.urls")),
    path("", tells),
    path("tells/", tells),
    path("t/south/tells/", tells),
    path("tells/<str:rest>/", tells),
    path("raw/", raw),
    path("api/v2/tells.json", tells),
    path("api/v2/raw.json", raw),
]


def tenants(get_response):
    """Takes the tenant from the path, as projects with one folder per tenant do."""

    def middleware(request):
        if request.path_info.startswith("/t/"):
            _, _, request.tenant, rest = request.path_info.split("/", 3)
            request.path_info = request.META["PATH_INFO"] = f"/{rest}"
            request.path = request.META["SCRIPT_NAME"] + request.path_info
        return get_response(request)

    return middleware


def overriding(get_response):
    """Lets a header override the method."""

    def middleware(request):
        if wanted := request.META.pop("HTTP_X_HTTP_METHOD_OVERRIDE", ""):
            request.method = request.META["REQUEST_METHOD"] = wanted
        return get_response(request)

    return middleware


def forwarded(get_response):
    """Takes the client's address from X-Forwarded-For, and removes it there."""

    def middleware(request):
        if hops := request.META.pop("HTTP_X_FORWARDED_FOR", ""):
            *rest, request.META["REMOTE_ADDR"] = hops.split(",")
            request.META["HTTP_X_FORWARDED_FOR"] = ",".join(rest)
        return get_response(request)

    return middleware


def locating(get_response):
    """Leaves values in META that are no strings."""

    def middleware(request):
        request.META["HTTP_X_PLACE"] = dt.timedelta(hours=1)
        request.META["REMOTE_ADDR"] = dt.timedelta(hours=2)
        return get_response(request)

    return middleware


def spoiling(get_response):
    """Leaves a value that is no string under a name that is read."""

    def middleware(request):
        request.META[settings.SPOILT] = dt.timedelta(hours=1)
        return get_response(request)

    return middleware


def inflating(get_response):
    """Decompresses bodies, as known middleware does."""

    def middleware(request):
        if request.META.get("HTTP_CONTENT_ENCODING") == "gzip":
            request._body = gzip.decompress(request.body)
            request._stream = io.BytesIO(request._body)
            request.META["CONTENT_LENGTH"] = str(len(request._body))
        return get_response(request)

    return middleware


class Unpacked:
    """A gzip stream, decompressed as it is read."""

    def __init__(self, stream):
        self.stream, self.unpacker = stream, zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(self, *size):
        return self.unpacker.decompress(self.stream.read(*size))

    def seekable(self):
        """For Django 6.0 and later."""
        return False

    def close(self):
        self.stream.close()


def lazy(get_response):
    """Decompresses bodies as they are read."""

    def middleware(request):
        if request.META.get("HTTP_CONTENT_ENCODING") == "gzip":
            request._stream = Unpacked(request._stream)
        return get_response(request)

    return middleware


def reading(get_response):
    """Reads the form, as audit middleware does."""

    def middleware(request):
        request.POST  # noqa: B018
        return get_response(request)

    return middleware


def zoned(get_response):
    """Activates the time zone of its user."""

    def middleware(request):
        with timezone.override(ZONES[0]):
            return get_response(request)

    return middleware


ZONES = [dt.UTC]


@contextlib.contextmanager
def behind(*middlewares, **more):
    names = [f"{__name__}.{middleware.__name__}" for middleware in middlewares]
    with override_settings(MIDDLEWARE=[*names, *settings.MIDDLEWARE], **more):
        yield


@pytest.fixture
def client(db):
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get_or_create(username="anna")[0])
    return client


def send(client, to="/tells/", method="GET", body=b"", headers=(), content_type=FORM, **environ):
    return client.generic(method, to, body, content_type=content_type, headers=dict(headers), **environ)


def latest():
    return AsyncTask.objects.latest("created")


def stored():
    """The response body of the last task."""
    task = latest()
    assert task.state == "DONE", (task.state, task.reason, bodies.read(task.response_body()))
    return bodies.read(task.response_body())


def later(client, to="/tells/", *, trigger=PREFER, headers=(), **call):
    """What the view sees when the call runs later."""
    accepted = send(client, to, headers={**dict(headers), **trigger}, **call)
    assert accepted.status_code == 202, accepted.content
    return json.loads(stored())


def at_once(client, to="/tells/", **call):
    answer = send(client, to, **call)
    assert answer.status_code == 200, answer.content
    return answer.json()


def in_the_database():
    """The last task's row, as text."""
    return json.dumps([str(value) for value in AsyncTask.objects.filter(pk=latest().pk).values_list().get()])


# Nothing is removed ---------------------------------------------------------------------------------------------------

PLAIN_WORDS = [
    "page_token=3",
    "session=1",
    "max_tokens=10&tokens_gt=5",
    "password_changed=0&api_key_id=7&secretary=anna",
    "key=1&code=RU&sig=x&auth=basic",
]


@pytest.mark.parametrize("query", PLAIN_WORDS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_query_parameters_that_sound_secret_are_kept(client, query, method):
    assert later(client, f"/tells/?{query}", method=method)["query"] == query


@pytest.mark.parametrize(
    "name",
    [
        "X-Continuation-Token",
        "X-Session-Id",
        "Lock-Token",
        "X-Api-Key",
        "Ocp-Apim-Subscription-Key",
        "Dpop",
        "X-Passwd",
        "Idempotency-Key",
        "X-Csrftoken",
    ],
)
def test_headers_that_sound_secret_are_kept(client, name):
    assert later(client, headers={name: "value-7"})["headers"][name] == "value-7"


def test_query_of_the_referer_is_kept(client):
    address = "https://example.org/?token=a&page_token=b"
    assert later(client, headers={"Referer": address})["headers"]["Referer"] == address


def test_http_credentials_are_not_kept(client, waiting):
    send(client, headers={**PREFER, "Authorization": "value=7", "Proxy-Authorization": "value=7"})
    assert "sessionid" in client.cookies
    assert not {"Authorization", "Proxy-Authorization", "Cookie"} & dict(latest().captured.headers).keys()


def test_secret_names_are_not_kept(client):
    with override_settings(ASYNC_EXCHANGE=exchange(SECRET_NAMES=["x-company-*", "ticket"])):
        seen = later(client, "/tells/?ticket=1&a=2", headers={"X-Company-Pass": "x", "X-Other": "y"})
    assert seen["query"] == "a=2"
    assert "X-Company-Pass" not in seen["headers"]
    assert seen["headers"]["X-Other"] == "y"


def test_csrf_token_in_a_form_is_kept(client):
    body = b"a=1&csrfmiddlewaretoken=" + b"aB3x" * 16
    assert send(client, "/raw/", "POST", body, SOLITUDE).status_code == 202
    assert stored() == body


def test_environ_of_a_run_is_valid_by_pep_3333():
    with capture.rebuilt(
        captured("/raw/", "POST", headers=(("Content-Type", FORM), ("X-A", "b"))), [b"a=1"]
    ) as request:
        check_environ(request.environ)


# Everything is sealed -------------------------------------------------------------------------------------------------

CANARY = "canary-7f3a"


@pytest.fixture
def waiting():
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield


@pytest.mark.parametrize(
    "name",
    [
        "X-Anything",
        "Ocp-Apim-Subscription-Key",
        "Cf-Access-Jwt-Assertion",
        "DPoP",
        "X-Auth",
        "X-Passwd",
        "Idempotency-Key",
    ],
)
def test_headers_are_sealed(client, waiting, name):
    send(client, headers={**PREFER, name: CANARY})
    assert CANARY not in in_the_database()


@pytest.mark.parametrize(
    "query",
    [
        f"{name}={CANARY}"
        for name in [
            "key",
            "sig",
            "code",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "SAMLResponse",
            "access_token",
            "refreshToken",
            "passwd",
            "pwd",
            "client_secret",
            "jwt",
            "sid",
            "otp",
            "%6Bey",
            "user[password]",
        ]
    ]
    + [f"next=https://example.org/%3Fsig%3D{CANARY}", f"next=https://example.org/?a=1%26token={CANARY}"],
)
def test_query_string_is_sealed(client, waiting, query):
    accepted = send(client, f"/tells/?{query}", headers=PREFER)
    assert accepted.status_code == 202
    assert CANARY not in in_the_database()


def test_body_is_sealed(client, waiting):
    send(client, "/raw/", "POST", CANARY.encode(), SOLITUDE)
    body = latest().bodies.get()
    assert CANARY.encode() not in bytes(body.content)
    assert b"".join(bodies.stream(body)) == CANARY.encode()


def test_call_sealed_with_a_fallback_key_runs(client, waiting):
    with override_settings(SECRET_KEY="the former key " * 4):
        client.force_login(User.objects.get())
        send(client, "/raw/", "POST", b"body", SOLITUDE)
        task = latest()
    with override_settings(SECRET_KEY="the new key " * 5, SECRET_KEY_FALLBACKS=["the former key " * 4]):
        runner.run(str(task.pk))
    assert stored() == b"body"


def test_call_stored_unsealed_runs(client, waiting):
    send(client, "/raw/", "POST", b"body", SOLITUDE)
    task = latest()
    plain = {
        "method": "POST",
        "scheme": "https",
        "host": "[::1]:8000",
        "script_name": "",
        "path": "/tells/",
        "query": "a=1",
        "headers": [["Content-Type", FORM]],
        "stamp": task.captured.stamp,
        "is_checked": True,
    }
    AsyncTask.objects.filter(pk=task.pk).update(request=plain)
    task.bodies.update(content=b"b=2", size=3, is_sealed=False)
    runner.run(str(task.pk))
    seen = json.loads(stored())
    assert (seen["query"], seen["form"], seen["site"][:3]) == ("a=1", {"b": ["2"]}, ["[::1]:8000", "8000", True])


# Behind a proxy -------------------------------------------------------------------------------------------------------

PROXY = {
    "X-Forwarded-Host": "example.org",
    "X-Forwarded-Port": "18100",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "192.0.2.7, 192.0.2.8",
}
BELIEVED = {
    "USE_X_FORWARDED_HOST": True,
    "USE_X_FORWARDED_PORT": True,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "ALLOWED_HOSTS": ["example.org"],
}


@pytest.mark.parametrize("left_out", [None, *BELIEVED])
def test_run_has_the_host_behind_a_proxy(client, left_out):
    believed = {name: value for name, value in BELIEVED.items() if name != left_out}
    if left_out in ("USE_X_FORWARDED_HOST", "ALLOWED_HOSTS"):
        believed["ALLOWED_HOSTS"] = ["*"]
    with override_settings(**believed):
        call = {"headers": PROXY, "HTTP_HOST": "10.0.0.1:8000"}
        assert later(client, **call) == at_once(client, **call)


@pytest.mark.parametrize("host", ["[::1]:8000", "[2001:db8::1]", "example.org:18100", "EXAMPLE.org", "example.org"])
def test_run_has_the_host_and_port(client, host):
    call = {"HTTP_HOST": host, "SERVER_NAME": "10.0.0.7", "SERVER_PORT": "18100", "REMOTE_PORT": "4711"}
    assert later(client, **call) == at_once(client, **call)


# Prefer ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("respond-async", None),
        ("respond-async, wait=0", None),
        ("respond-async, return=minimal", "return=minimal"),
        ('odata.maxpagesize=3,respond-async; x="a,b",  return=minimal', "odata.maxpagesize=3, return=minimal"),
        ('respond-async, odata.callback; url="http://a.example/", odata.maxpagesize=3', "odata.maxpagesize=3"),
        ('handling="a, respond-async, b", respond-async', 'handling="a, respond-async, b"'),
        ("Respond-Async, RETURN=minimal;foo", "RETURN=minimal;foo"),
        ('respond-async, callback;url="https://8.8.8.8/", timezone=America/Lima', "timezone=America/Lima"),
    ],
)
def test_only_our_preferences_are_removed_from_prefer(client, header, left):
    assert later(client, trigger={"Prefer": header})["headers"].get("Prefer") == left


def test_other_preferences_are_kept_beside_another_trigger(client):
    seen = later(
        client, method="POST", trigger=SOLITUDE, headers={"Prefer": "return=minimal, wait=0, odata.maxpagesize=3"}
    )
    assert seen["headers"]["Prefer"] == "return=minimal, odata.maxpagesize=3"


# The environment ------------------------------------------------------------------------------------------------------


def test_missing_content_length_stays_missing(client):
    assert later(client) == at_once(client)


def test_content_length_of_zero_is_kept(client):
    call = {"method": "POST", "CONTENT_LENGTH": "0"}
    assert later(client, **call) == at_once(client, **call)


def test_empty_content_length_is_dropped(client):
    assert later(client, method="POST", CONTENT_LENGTH="")["length"] == "not told"


@pytest.mark.parametrize(("length", "is_recorded"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_only_a_body_is_recorded(length, is_recorded):
    """Some servers send an empty ``CONTENT_LENGTH`` with every GET (PEP 3333)."""
    stream = io.BytesIO(b"x")
    environ = {"wsgi.input": stream, "PATH_INFO": "/tells/", "HTTP_SOLITUDE_ASYNC": "yes"}
    environ |= {} if length is None else {"CONTENT_LENGTH": length}
    arrival.record(environ=environ)
    assert (environ["wsgi.input"] is not stream) == is_recorded


def test_run_has_server_and_client_addresses(client):
    call = {
        "SERVER_NAME": "10.0.0.7",
        "SERVER_PORT": "8443",
        "SERVER_PROTOCOL": "HTTP/2.0",
        "REMOTE_ADDR": "2001:db8::7",
        "REMOTE_HOST": "client.example.org",
        "REMOTE_PORT": "4711",
    }
    assert later(client, **call) == at_once(client, **call)


def test_remote_user_and_auth_type_are_not_kept(client, waiting):
    send(client, headers=PREFER, REMOTE_USER=CANARY, AUTH_TYPE="Basic", GEOIP_COUNTRY="NO")
    assert CANARY not in str(latest().captured)
    with capture.rebuilt(latest().captured, []) as again:
        assert again.META["GEOIP_COUNTRY"] == "NO"
        assert "AUTH_TYPE" not in again.META


def test_run_has_every_wsgi_key(client, waiting):
    send(client, headers=PREFER)
    with capture.rebuilt(latest().captured, []) as again:
        keys = {"version", "url_scheme", "input", "errors", "multithread", "multiprocess", "run_once"}
        assert {f"wsgi.{key}" for key in keys} <= set(again.environ)


def test_meta_values_that_are_no_strings_do_not_break_the_kick_off(client):
    with behind(locating):
        assert later(client)["method"] == "GET"


@pytest.mark.parametrize("name", ["HTTP_IDEMPOTENCY_KEY", "HTTP_PREFER", "CONTENT_LENGTH"])
def test_trigger_header_that_is_no_string_does_not_break_the_call(client, name):
    call = {"method": "POST", "headers": SOLITUDE}
    with behind(spoiling, SPOILT=name):
        assert send(client, **call).status_code == 202


@pytest.mark.parametrize("values", [{"HTTP_X_PLACE": 7}, {"REMOTE_ADDR": None}, {"CONTENT_LENGTH": object()}])
def test_meta_values_that_are_no_strings_are_not_captured(values):
    request = RequestFactory().get("/tells/")
    request.META |= values
    call = capture.capture(request)
    assert json.dumps([call.headers, call.remote_addr])
    assert "X-Place" not in dict(call.headers)


def test_empty_path_info_is_kept(client):
    call = {"PATH_INFO": ""}
    assert later(client, **call) == at_once(client, **call)


@override_settings(DEBUG=True)
def test_path_without_leading_slash_is_the_same_for_both_calls(client):
    """Django drops the first character of the path if the leading slash is missing."""
    there, later = (client.get("/", PATH_INFO="nowhere/at/all", headers=headers) for headers in ({}, PREFER))
    assert later.wsgi_request.path == there.wsgi_request.path


def test_non_ascii_path_is_kept(client):
    call = {"to": "/tells/%D1%81%D0%BA%D0%BB%D0%B0%D0%B4%FF/", "method": "POST", "body": b"a=1"}
    assert later(client, **call) == at_once(client, **call)


# Changes by earlier middleware ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [SOLITUDE, PREFER])
def test_path_shortened_by_middleware_is_shortened_once(client, trigger):
    with behind(tenants):
        call = {"to": "/t/north/t/south/tells/?a=1", "method": "POST"}
        assert later(client, **call, trigger=trigger) == at_once(client, **call)


def test_path_trigger_behind_a_tenant_is_removed_and_the_tenant_kept(client):
    with behind(tenants):
        seen = later(client, "/t/north/async_api/v2/tells.json?a=1", trigger={})
        assert (seen["tenant"], seen["path"][1], seen["query"]) == ("north", "/api/v2/tells.json", "a=1")


def test_method_override_is_applied_in_the_run(client):
    with behind(overriding):
        call = {"method": "POST", "headers": {"X-Http-Method-Override": "PUT"}}
        assert later(client, **call) == at_once(client, **call)
    assert latest().method == "PUT"


def test_forwarded_address_is_applied_in_the_run(client):
    with behind(forwarded):
        call = {"headers": {"X-Forwarded-For": "192.0.2.7,192.0.2.8"}}
        assert later(client, **call) == at_once(client, **call)


PACKED = gzip.compress(b"a=1&b=2")
UPLOAD = {"a": "1", "file": SimpleUploadedFile("a.txt", b"the file")}


@pytest.mark.parametrize("trigger", [SOLITUDE, PREFER])
@pytest.mark.parametrize("middleware", [inflating, lazy])
def test_body_decompressed_by_middleware_is_captured_as_sent(client, trigger, middleware):
    with behind(middleware):
        call = {"method": "POST", "body": PACKED, "headers": {"Content-Encoding": "gzip"}}
        assert later(client, trigger=trigger, **call)["form"] == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("middleware", [inflating, lazy])
def test_synchronous_view_reads_the_decompressed_body(client, middleware):
    never = {"Prefer": "respond-async"}  # a preference that does not apply to this view
    with behind(middleware):
        answer = send(client, "/made/", "POST", PACKED, {**never, "Content-Encoding": "gzip"})
    assert answer.content == b"a=1&b=2"


@pytest.mark.parametrize("trigger", [SOLITUDE, PREFER])
@pytest.mark.parametrize("size", [8, 300_000])
def test_form_read_by_middleware_is_captured_as_sent(client, trigger, size):
    with behind(reading):
        data = {"a": "1", "file": SimpleUploadedFile("a.txt", b"x" * size)}
        assert client.post("/tells/", data, headers=trigger).status_code == 202
    seen = json.loads(stored())
    assert (seen["form"], seen["files"]) == ({"a": ["1"]}, {"file": "x" * size})


def test_form_behind_a_path_trigger_is_captured_as_sent(client):
    with behind(reading):
        data = {"a": "1", "file": SimpleUploadedFile("a.txt", b"the file")}
        assert client.post("/async_api/v2/tells.json", data).status_code == 202
    assert json.loads(stored())["files"] == {"file": "the file"}


def test_body_read_by_middleware_before_the_trigger_is_a_400(client, monkeypatch):
    monkeypatch.setattr(arrival, "_records_all", False)  # no view of the project has patience
    with behind(tenants, reading):
        # The trigger is visible only without the tenant in the path, and by then the form has been read.
        data = {"a": "1", "file": SimpleUploadedFile("a.txt", b"the file")}
        refused = client.post("/t/north/async_api/v2/tells.json", data)
    assert refused.status_code == 400
    assert refused["Content-Type"].startswith("application/json")
    assert not AsyncTask.objects.exists()


# Time zones and methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone",
    [
        timezone.get_fixed_timezone(180),
        timezone.get_fixed_timezone(-570),
        dt.timezone(dt.timedelta(hours=3)),
        dt.timezone(dt.timedelta(hours=5, minutes=45), "Kathmandu"),
        dt.timezone(dt.timedelta(seconds=-1172), "LMT"),
        dt.UTC,
        ZoneInfo("Asia/Tokyo"),
    ],
    ids=str,
)
def test_active_time_zone_is_active_in_the_run(client, monkeypatch, zone):
    monkeypatch.setitem(globals(), "ZONES", [zone])
    with behind(zoned):
        send(client, headers=PREFER)
        seen, now = json.loads(stored()), at_once(client)
    assert seen["zone"] == now["zone"]


class Offset(dt.tzinfo):
    """A fixed offset of another library."""

    def utcoffset(self, when):
        return dt.timedelta(hours=2)

    dst = tzname = lambda self, when: None


@pytest.mark.parametrize("zone", [timezone.get_fixed_timezone(180), Offset()])
def test_fixed_offset_is_captured(zone):
    with timezone.override(zone):
        call = capture.capture(RequestFactory().get("/"))
        expected = timezone.get_current_timezone_name()
    with timezone.override(time_zones.zone_of(call.time_zone)):
        assert timezone.get_current_timezone_name() == expected


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"])
def test_safe_method_is_repeatable(client, waiting, method):
    send(client, method=method, headers=PREFER)
    assert latest().is_repeatable


# Idempotency-Key ------------------------------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "8e03978e"}


def upload(client, boundary, *, file=b"the file", text="1", content_type="text/plain"):
    lines = [
        f"--{boundary}",
        'Content-Disposition: form-data; name="a"',
        "",
        text,
        f"--{boundary}",
        'Content-Disposition: form-data; name="file"; filename="a.txt"',
        f"Content-Type: {content_type}",
        "",
        file.decode("latin-1"),
        f"--{boundary}--",
        "",
    ]
    body = "\r\n".join(lines).encode("latin-1")
    kind = f"multipart/form-data; boundary={boundary}"
    return send(client, "/tells/", "POST", body, {**PREFER, **KEY}, kind)


@pytest.mark.parametrize("size", [1, 200_000])
def test_same_form_with_another_boundary_is_the_same_call(client, waiting, size):
    first, second = (upload(client, boundary, file=b"x" * size) for boundary in ("one", "another-boundary"))
    assert (first.status_code, second.status_code) == (202, 202)
    assert second["Idempotency-Replayed"] == "true"
    assert AsyncTask.objects.count() == 1


def test_overridden_method_is_another_call(client, waiting):
    with behind(overriding):
        answers = [
            send(client, method="POST", headers={**PREFER, **KEY, "X-Http-Method-Override": method})
            for method in ("PUT", "DELETE", "PUT")
        ]
    assert [answer.status_code for answer in answers] == [202, 422, 202]


def test_other_host_is_another_call(client, waiting):
    answers = [send(client, headers={**PREFER, **KEY}, HTTP_HOST=host) for host in ("one.example", "two.example")]
    assert [answer.status_code for answer in answers] == [202, 422]


@pytest.mark.parametrize("change", [{"file": b"The file"}, {"text": "2"}, {"content_type": "text/html"}])
def test_form_with_a_changed_part_is_another_call(client, waiting, change):
    assert upload(client, "one").status_code == 202
    assert upload(client, "another-boundary", **change).status_code == 422


@pytest.mark.parametrize("kind", ["application/json", f"{FORM}; charset=latin-1", ""])
def test_same_body_with_another_media_type_is_another_call(client, waiting, kind):
    assert send(client, "/raw/", "POST", b"1", {**PREFER, **KEY}, FORM).status_code == 202
    assert send(client, "/raw/", "POST", b"1", {**PREFER, **KEY}, kind).status_code == 422


# ASGI -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def asgi(client, waiting):
    """Sends over ASGI; returns the response."""
    asynchronous = AsyncClient(raise_request_exception=False)
    asynchronous.cookies = client.cookies

    async def sent(*call, **more):
        return await asynchronous.generic(*call, **more)

    return async_to_sync(sent)


def ran():
    """What the view of the last task has seen."""
    runner.run(str(latest().pk))
    return json.loads(stored())


def test_asgi_path_shortened_by_middleware_is_shortened_once(asgi):
    with behind(tenants):
        assert asgi("GET", "/t/north/tells/?a=%D1%8F", headers=PREFER).status_code == 202
        seen = ran()
    assert (seen["tenant"], seen["path"][1], seen["query"]) == ("north", "/tells/", "a=%D1%8F")


def test_asgi_method_override_is_applied_in_the_run(asgi):
    with behind(overriding):
        assert asgi("POST", "/tells/", headers={**PREFER, "X-Http-Method-Override": "PUT"}).status_code == 202
        assert ran()["method"] == "PUT"


def of_a_server(file):
    """An upload as Django's ASGI handler reads it."""
    parts = encode_multipart(BOUNDARY, {"a": "1", "file": SimpleUploadedFile("a.txt", b"x" * 300_000)})
    file.write(parts)
    file.seek(0)
    lengths = [(b"content-type", MULTIPART_CONTENT.encode()), (b"content-length", str(len(parts)).encode())]
    return ASGIRequest({"type": "http", "method": "POST", "path": "/", "headers": lengths}, file), parts


def test_asgi_form_read_by_middleware_is_captured_as_sent():
    with tempfile.SpooledTemporaryFile() as file:
        request, parts = of_a_server(file)
        assert list(request.FILES) == ["file"]
        with capture.spool(request) as kept:
            assert kept.read() == parts


class Passing(io.BytesIO):
    """A stream that cannot seek."""

    def seekable(self):
        return False


def test_asgi_form_read_from_an_unseekable_stream_is_lost():
    with Passing() as file:
        request, _ = of_a_server(file)
        assert list(request.FILES) == ["file"]
        with pytest.raises(CallChanged):
            capture.spool(request)


def test_asgi_body_decompressed_by_middleware_is_a_400_or_ignored(asgi):
    with behind(inflating):
        call = ("POST", "/tells/", PACKED, FORM)
        assert asgi(*call, headers={**SOLITUDE, "Content-Encoding": "gzip"}).status_code == 400
        answer = asgi(*call, headers={**PREFER, "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["form"]) == (200, {"a": ["1"], "b": ["2"]})
    assert not AsyncTask.objects.exists()


def test_asgi_run_has_server_and_client_addresses(asgi):
    assert asgi("GET", "/tells/", headers={**PREFER, "X-Forwarded-For": "192.0.2.7"}).status_code == 202
    seen, now = ran(), asgi("GET", "/tells/", headers={"X-Forwarded-For": "192.0.2.7"}).json()
    assert (seen["around"], seen["site"], seen["headers"]) == (now["around"], now["site"], now["headers"])


def test_cached_get_is_reset_without_the_trigger():
    request = RequestFactory().get("/works/?async=true&a=1")
    assert request.GET["async"] == "true"
    arrival.set_target(request, "/works/", "a=1")
    assert request.GET.dict() == {"a": "1"}
