"""``Accept-Encoding``, ``Range`` and conditional headers of a deferred call, at the view and at the result."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import Client
from django.urls import include, path
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PREFER, GZIP = {"Prefer": "respond-async"}, {"Accept-Encoding": "gzip, deflate, br"}
TEXT = b"a line of text\n" * 100
PACKED = gzip.compress(TEXT)


@allow_async
def insists(request: HttpRequest) -> HttpResponse:
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return HttpResponse("Accept-Encoding: gzip is mandatory", status=415)
    return HttpResponse(TEXT, content_type="text/plain", headers={"ETag": '"one"'})


@allow_async
@gzip_page
def decorated(request: HttpRequest) -> HttpResponse:
    return HttpResponse(TEXT, content_type="text/plain")


@allow_async
@gzip_page
def streams(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([TEXT, TEXT]), content_type="text/plain")


@allow_async
def streams_later(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> Any:
        yield PACKED[:20]
        yield PACKED[20:]

    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return StreamingHttpResponse(chunks(), content_type="text/plain", headers=headers)


@allow_async
def always_packed(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PACKED, content_type="text/plain", headers={"Content-Encoding": "gzip"})


@allow_async
def says_what_is_not_so(request: HttpRequest) -> HttpResponse:
    return HttpResponse(TEXT, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})


@allow_async
@condition(etag_func=lambda request: '"one"')
def conditional(request: HttpRequest) -> HttpResponse:
    conditions = ("If-None-Match", "If-Modified-Since", "If-Match", "Range", "If-Range")
    return JsonResponse([name for name in conditions if name in request.headers], safe=False)


urlpatterns = [
    path("insists/", insists),
    path("decorated/", decorated),
    path("streams/", streams),
    path("streams-later/", streams_later),
    path("always/", always_packed),
    path("untrue/", says_what_is_not_so),
    path("conditional/", conditional),
    path("", include("django_asyncexchange.urls")),
]


@pytest.fixture(autouse=True)
def later(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return client


def finished(client, address, headers):
    assert client.get(address, headers={**headers, **PREFER}).status_code == 202
    task = AsyncTask.objects.get()
    runner.run(str(task.pk))
    task.refresh_from_db()
    return task


def kept(task):
    return bytes(task.bodies.get(kind=Body.RESPONSE).content)


@pytest.mark.parametrize("accepted", ["gzip, deflate, br", "*"])
def test_view_that_requires_gzip_answers_as_synchronously(client, accepted):
    task = finished(client, "/insists/", {"Accept-Encoding": accepted.replace("*", "gzip;q=1, *")})
    assert (task.status_code, kept(task)) == (200, TEXT)


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "br"}, {"Accept-Encoding": "identity"}])
def test_view_that_requires_gzip_refuses_as_synchronously(client, headers):
    assert client.get("/insists/", headers=headers).status_code == 415
    assert finished(client, "/insists/", headers).status_code == 415


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")  # Django's, under WSGI
@pytest.mark.parametrize(("address", "times"), [("/decorated/", 1), ("/streams/", 2), ("/streams-later/", 1)])
def test_response_compressed_for_its_client_is_stored_uncompressed(client, address, times):
    content = TEXT * times
    task = finished(client, address, GZIP)
    assert kept(task) == content
    found = client.get(f"/async/tasks/{task.pk}/result", headers={"Accept-Encoding": "identity"})
    assert (b"".join(found), "Content-Encoding" in found) == (content, False)


def test_gzip_middleware_does_not_compress_the_stored_response(client, settings):
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    task = finished(client, "/insists/", GZIP)
    assert (kept(task), dict(task.headers)["ETag"]) == (TEXT, '"one"')


def test_response_that_is_always_compressed_is_stored_compressed(client):
    assert kept(finished(client, "/always/", GZIP)) == PACKED


def test_false_content_encoding_is_stored_unchanged(client):
    task = finished(client, "/untrue/", GZIP)
    assert (kept(task), ("Content-Encoding", "gzip") in map(tuple, task.headers)) == (TEXT, True)


def test_view_of_a_read_sees_no_conditions_and_the_result_has_them(client):
    headers = {"If-None-Match": '"one"', "Range": "bytes=0-1", "If-Range": '"one"', "If-Modified-Since": "x"}
    task = finished(client, "/conditional/", headers)
    assert (task.status_code, kept(task)) == (200, b"[]")
    address = f"/async/tasks/{task.pk}/result"
    assert client.get(address, headers={"If-None-Match": '"one"'}).status_code == 304
    part = client.get(address, headers={"Range": "bytes=0-0"})
    assert (part.status_code, part.content, part["Content-Range"]) == (206, b"[", "bytes 0-0/2")


def test_failed_precondition_is_answered_as_synchronously(client):
    headers = {"If-Match": '"another"'}
    assert client.get("/conditional/", headers=headers).status_code == 412
    assert finished(client, "/conditional/", headers).status_code == 412
