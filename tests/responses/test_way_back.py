"""A stored response is sent as it was stored, whatever the project's middleware does to it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from django.views.decorators.clickjacking import xframe_options_exempt

from django_asyncexchange.dialects.solitude import Solitude
from django_asyncexchange.intake import capture
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..services import IDLE, Failing, exchange, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

DOCUMENT = {"rows": ["row"] * 10}
LARGE = {"rows": ["row"] * 20_000}


def sizes(request):
    return HttpResponse(headers={"Content-Length": "123456"}) if request.method == "HEAD" else HttpResponse(b"...")


@xframe_options_exempt
def framed(request):
    return HttpResponse("<p>in a frame</p>")


def refers(request):
    """Sends the header that the request asks for."""
    name, _, text = request.headers["X-Say"].partition("=")
    return HttpResponse(b"here", headers={name: text})


def reports(request):
    for done in range(101):
        request.async_task.report(done, 100, "all of it")
    return HttpResponse(b"100")


def breaks(request):
    reports(request)
    raise RuntimeError("at the very end")


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("small/", lambda request: JsonResponse(DOCUMENT)),
    path("large/", lambda request: JsonResponse(LARGE)),
    path("stream/", lambda request: StreamingHttpResponse([b"ab" * 50_000] * 3, content_type="text/plain")),
    path("empty/", lambda request: HttpResponse(status=204)),
    path("elsewhere/", lambda request: HttpResponse(status=302, headers={"Location": "/small/"})),
    path("framed/", framed),
    path("sizes/", sizes),
    path("refers/", refers),
    path("reports/", reports),
    path("breaks/", breaks),
    path("fails/", lambda request: HttpResponse(status=500)),
    path("kept/<told>/", lambda request, told: HttpResponse(headers={"Cache-Control": told})),
]


# Middleware of a project ----------------------------------------------------------------------------------------------


def envelope(get_response):
    """Wraps each JSON document, as published packages do, without checking ``streaming``."""

    def middleware(request):
        response = get_response(request)
        if response.get("Content-Type") == "application/json":
            response.content = json.dumps({"data": json.loads(response.content)}).encode()
            response["Content-Length"] = str(len(response.content))
        return response

    return middleware


def signed(chunks, is_async):
    """As in Django's documentation about streaming responses."""

    def now():
        yield from chunks
        yield b"signed"

    async def then():
        async for chunk in chunks:
            yield chunk
        yield b"signed"

    return then() if is_async else now()


def signature(get_response):
    """Appends to every body, streamed or not."""

    def middleware(request):
        response = get_response(request)
        if response.streaming:
            response.streaming_content = signed(response.streaming_content, response.is_async)
        else:
            response.write(b"signed")
            response.writelines([b"twice"])
        return response

    return middleware


def opinion(get_response):
    """Changes everything it can."""

    def middleware(request):
        response = get_response(request)
        del response["X-Content-Type-Options"]
        response.headers.pop("Content-Language", None)
        response["X-Frame-Options"] = "SAMEORIGIN"
        response["X-Seen"] = "yes"
        response["Access-Control-Allow-Origin"] = request.headers.get("X-From", "")
        response.status_code, response.reason_phrase = 299, "Whatever"
        response.set_cookie("seen", "yes")
        return response

    return middleware


@pytest.fixture(autouse=True)
def every_view(settings):
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/*"])


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    return client


def result(client, address, method="get", **headers):
    """The URL of the result."""
    accepted = getattr(client, method)(address, headers={"Prefer": "respond-async", **headers})
    assert accepted.status_code == 202
    return accepted.headers["Location"] + "/result"


def get(client, address, middleware="", **headers):
    """The response with ``middleware`` first, read to its end and closed."""
    with override_settings(MIDDLEWARE=[*([middleware] if middleware else []), *settings.MIDDLEWARE]):
        reader = Client()
        reader.cookies = client.cookies.copy()
        with contextlib.closing(reader.get(address, headers=headers)) as response:
            response.body = b"".join(response)
            return response


# Effects of middleware ------------------------------------------------------------------------------------------------

ENVELOPE, SIGNATURE, OPINION = (f"{__name__}.{name}" for name in ("envelope", "signature", "opinion"))


@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_json_envelope_middleware_wraps_a_document_once(client, settings, address):
    settings.MIDDLEWARE = [ENVELOPE, *settings.MIDDLEWARE]
    now = client.get(address)
    accepted = client.get(address, headers={"Prefer": "respond-async"}).json()["data"]
    later = get(client, accepted["links"]["self"] + "/result")
    assert set(now.json()) == {"data"}
    assert later.body == now.content


@pytest.mark.parametrize("address", ["/small/", "/large/", "/stream/"])
def test_middleware_cannot_change_the_body_of_a_stored_response(client, address):
    where = result(client, address)
    before, after = get(client, where), get(client, where, SIGNATURE)
    assert (after.body, after["Content-Length"]) == (before.body, str(len(before.body)))


@pytest.mark.parametrize("address", ["/small/", "/large/", "/empty/"])
def test_middleware_cannot_change_status_and_headers_of_a_stored_response(client, address):
    where = result(client, address)
    before, after = get(client, where), get(client, where, OPINION)
    assert (after.status_code, after.reason_phrase) == (before.status_code, before.reason_phrase)
    assert [pair for pair in after.items() if pair[0] != "Access-Control-Allow-Origin"] == list(before.items())


def test_cookie_of_the_poll_is_set(client):
    assert get(client, result(client, "/small/"), OPINION).cookies["seen"].value == "yes"


def test_cors_header_is_that_of_the_poll(client):
    later = get(client, result(client, "/small/"), OPINION, **{"X-From": "https://b.example"})
    assert later["Access-Control-Allow-Origin"] == "https://b.example"


def test_xframe_options_exempt_is_kept(client):
    assert "X-Frame-Options" not in client.get("/framed/").headers
    assert "X-Frame-Options" not in client.get(result(client, "/framed/")).headers


def test_poll_adds_nothing_to_vary(client):
    assert client.get(result(client, "/small/"))["Vary"] == client.get("/small/")["Vary"]


@pytest.mark.parametrize("name", ["gzip.GZipMiddleware", "http.ConditionalGetMiddleware"])
@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_gzip_and_conditional_get_middleware_keep_the_stored_bytes(client, name, address):
    where = result(client, address)
    before, after = get(client, where), get(client, where, f"django.middleware.{name}")
    assert (after.body, list(after.items())) == (before.body, list(before.items()))


def test_content_length_of_a_head_response_is_kept(client):
    where = result(client, "/sizes/", "head")
    assert client.head(where)["Content-Length"] == client.head("/sizes/")["Content-Length"] == "123456"
    assert client.get(where)["Content-Length"] == "0"


@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_middleware_can_recognise_a_stored_response(client, address):
    assert get(client, result(client, address)).is_stored_answer


@pytest.mark.parametrize("middleware", [OPINION, SIGNATURE])
@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_asgi_server_sends_the_stored_bytes(client, settings, address, middleware):
    now, where = client.get(address).content, result(client, address)
    settings.MIDDLEWARE = [f"{middleware}", *settings.MIDDLEWARE]
    assert async_to_sync(read_async)(client.cookies.copy(), where) == now


async def read_async(cookies, address):
    client = AsyncClient()
    client.cookies = cookies
    response = await client.get(address)
    return b"".join([chunk async for chunk in response]) if response.streaming else response.content


# Redirects ------------------------------------------------------------------------------------------------------------


def test_following_the_status_leads_to_the_response(client):
    accepted = client.get("/small/", headers={"Prefer": "respond-async"})
    assert client.get(accepted["Location"], follow=True).json() == DOCUMENT


def test_stored_redirect_can_be_followed(client):
    assert client.get(result(client, "/elsewhere/"), follow=True).json() == DOCUMENT


def test_response_without_a_redirect_has_no_url(client):
    assert not hasattr(client.get(result(client, "/small/")), "url")


# After the 202 --------------------------------------------------------------------------------------------------------

LOOKED: list[object] = []


def auditor(get_response):
    """Reads the request after the response, like django-debug-toolbar."""

    def middleware(request):
        response = get_response(request)
        files = {name: file.read() for name, file in request.FILES.items()}
        LOOKED.append((request.POST.dict(), files, b"" if files else request.body))
        return response

    return middleware


CALLS = [
    ({"data": {"a": "1", "file": io.BytesIO(b"x" * 200_000)}}, ({"a": "1"}, {"file": b"x" * 200_000}, b"")),
    ({"data": "a=1", "content_type": "application/x-www-form-urlencoded"}, ({"a": "1"}, {}, b"a=1")),
    ({"data": '{"a": 1}', "content_type": "application/json"}, ({}, {}, b'{"a": 1}')),
]


@pytest.fixture
def audited(settings):
    LOOKED.clear()
    settings.MIDDLEWARE = [f"{__name__}.auditor", *settings.MIDDLEWARE]


@pytest.mark.parametrize(("call", "seen"), CALLS, ids=["multipart", "form", "json"])
def test_middleware_may_read_the_body_after_the_202(client, audited, call, seen):
    assert client.post("/small/", headers={"Prefer": "respond-async"}, **call).status_code == 202
    assert LOOKED[-1] == seen
    assert AsyncTask.objects.get().state == "DONE"


def test_spooled_body_is_closed_with_the_response(client, monkeypatch):
    spooled = []
    spool = capture.spool
    monkeypatch.setattr(capture, "spool", lambda request: spooled.append(spool(request)) or spooled[-1])
    client.post("/small/", b"x", content_type="text/plain", headers={"Prefer": "respond-async"})
    assert [file.closed for file in spooled] == [True]


@pytest.mark.parametrize("back", [1, 2])
def test_database_failure_during_the_wait_leaves_the_202(client, back):
    counting = Failing(10**6)
    for _ in "12":  # the first round makes queries that are made once per process
        counting.statements.clear()
        with connection.execute_wrapper(counting):
            assert client.post("/small/", headers={"Prefer": "respond-async, wait=5"}).status_code == 200
    failing = Failing(len(counting.statements) - back)
    with connection.execute_wrapper(failing):
        response = client.post("/small/", headers={"Prefer": "respond-async, wait=5"})
    assert (failing.failed is not None, response.status_code) == (True, 202)


# Findings of an HTTP linter -------------------------------------------------------------------------------------------


def test_empty_response_of_ours_has_no_content_length(client, settings):
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/*"], EXECUTOR=IDLE)
    accepted = client.get("/small/", headers={"Prefer": "respond-async"})
    cancelled = client.delete(accepted["Location"])
    assert (cancelled.status_code, cancelled.get("Content-Length")) == (204, None)


def test_stored_204_has_no_content_length(client):
    assert "Content-Length" not in client.get(result(client, "/empty/")).headers


@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_304_has_no_content_headers(client, address):
    where = result(client, address)
    etag = get(client, where)["ETag"]
    unchanged = client.get(where, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged["ETag"]) == (304, etag)
    assert not {"Content-Length", "Content-Language", "Content-Type"} & set(unchanged.headers)


def test_304_of_a_status_document_has_no_content_headers(client):
    accepted = client.get("/small/", headers={"Prefer": "respond-async"})
    document = client.get(accepted["Operation-Location"])
    unchanged = client.get(accepted["Operation-Location"], headers={"If-None-Match": document["ETag"]})
    assert unchanged.status_code == 304
    assert not {"Content-Length", "Content-Language", "Content-Type"} & set(unchanged.headers)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/small/", "private, no-cache"),
        ("/kept/max-age=60/", "max-age=60, private"),
        ("/kept/public,max-age=60/", "public,max-age=60"),
        ("/kept/private/", "private"),
        ("/kept/no-store/", "no-store"),
        ("/kept/s-maxage=5/", "s-maxage=5"),
    ],
)
def test_cache_control_of_a_stored_response(client, address, told):
    assert client.get(result(client, address))["Cache-Control"] == told


# Results as files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_matching_if_none_match_is_a_304(client, address):
    where = result(client, address)
    first = get(client, where)
    assert first["ETag"] == f'"{hashlib.sha256(first.body).hexdigest()}"'
    assert get(client, where, **{"If-None-Match": first["ETag"]}).status_code == 304


@pytest.mark.parametrize("address", ["/small/", "/large/"])
def test_result_supports_byte_ranges(client, address):
    where = result(client, address)
    part = get(client, where, Range="bytes=2-5")
    assert (part.status_code, part.body, part["AsyncResult"]) == (206, b"rows", "200")


@pytest.mark.parametrize("trigger", [{"Solitude-Async": "yes"}, {"Prefer": "respond-async"}])
def test_result_of_a_post_supports_byte_ranges(client, trigger):
    accepted = client.post("/small/", headers=trigger)
    where = accepted.json().get("replay") or accepted["Location"] + "/result"
    assert get(client, where, Range="bytes=2-5").body == b"rows"


def test_response_after_wait_ignores_range(client):
    waited = client.get("/small/", headers={"Prefer": "respond-async, wait=5", "Range": "bytes=2-5"})
    assert (waited.status_code, waited.json(), "ETag" in waited) == (200, DOCUMENT, False)


# References -----------------------------------------------------------------------------------------------------------

REFERENCES = [
    ("Location", "5/", "/refers/5/"),
    ("Location", "../small/?a=1", "/small/?a=1"),
    ("Location", "", "/refers/?page=1"),
    ("Content-Location", "?page=2", "/refers/?page=2"),
    ("Location", "#top", "/refers/?page=1#top"),
    ("Operation-Location", "status", "/refers/status"),
    ("Link", '<?page=2>; rel="next", <last>; rel=last', '</refers/?page=2>; rel="next", </refers/last>; rel=last'),
    ("Location", "/small/", "/small/"),
    ("Location", "https://elsewhere.example/a", "https://elsewhere.example/a"),
    ("Location", "//elsewhere.example/a", "//elsewhere.example/a"),
    ("Location", "http://[broken", "http://[broken"),
    ("X-Own", "5/", "5/"),
]


@pytest.mark.parametrize(("name", "told", "meant"), REFERENCES)
def test_relative_reference_is_resolved_against_the_call(client, name, told, meant):
    accepted = client.get("/refers/?page=1", headers={"Prefer": "respond-async", "X-Say": f"{name}={told}"})
    assert client.get(accepted["Location"] + "/result")[name] == meant


# Progress -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "state"), [("/reports/", "DONE"), ("/breaks/", "ERROR")])
def test_last_progress_is_stored_with_the_end(client, address, state):
    client.raise_request_exception = False
    accepted = client.get(address, headers={"Prefer": "respond-async"})
    document = client.get(accepted["Location"]).json()
    assert (document["state"], document["progress"]) == (state, {"done": 100, "total": 100, "message": "all of it"})


# Responses inside documents -------------------------------------------------------------------------------------------


def test_response_too_large_for_the_envelope_is_available_as_replay(client, monkeypatch):
    monkeypatch.setattr(Solitude, "READS_AT_MOST", 100_000)
    accepted = client.post("/large/", headers={"Solitude-Async": "yes"}).json()
    refused = client.get(accepted["result"])
    assert (refused.status_code, refused.json()["error"]) == (413, "result_too_large")
    assert json.loads(get(client, accepted["replay"]).body) == LARGE


def test_response_that_fits_is_in_the_envelope(client):
    accepted = client.post("/large/", headers={"Solitude-Async": "yes"}).json()
    assert json.loads(client.get(accepted["result"]).json()["content"]) == LARGE


@pytest.mark.parametrize("address", ["/api/remap/1.2/async", "/api/remap/1.2/async/{id}"])
def test_large_error_is_not_read_into_a_document(client, address):
    error = json.dumps({"errors": [{"error": "x" * 100_000, "code": 7}]}).encode()
    task = stored(State.API_ERROR, owner=User.objects.get(), answer=error)
    document = client.get(address.format(id=task.pk)).json()
    [told] = document.get("rows", [document])[0]["errors"]
    assert told["error"] == "Bad Request"


def test_error_is_logged_by_the_run_only(client, caplog):
    where = result(client, "/fails/")
    assert "Internal Server Error: /fails/" in caplog.messages
    caplog.clear()
    assert client.get(where).status_code == 500
    assert caplog.messages == []
