"""The session of a run: what the view reads from it, and what becomes of its writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.sessions.backends import cache, cached_db, db, file, signed_cookies
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import include, path
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.request import Request
from rest_framework.response import Response

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.worker import run_session, runner

from ..services import IDLE, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SAVES = [
    lambda session: session.__setitem__("cart", [1]),
    lambda session: session.setdefault("cart", [1]),
    lambda session: session.update({"cart": [1]}),
    lambda session: (session.flush(), session.__setitem__("cart", [1])),
    lambda session: session.save(),
    lambda session: session.create(),
]
BACKENDS = [db, cached_db, cache, file, signed_cookies]


@allow_async
def fills(request: HttpRequest, number: int) -> HttpResponse:
    SAVES[number](request.session)
    return HttpResponse("kept")


@allow_async
async def fills_later(request: HttpRequest) -> HttpResponse:
    await request.session.aset("cart", [1])
    return HttpResponse("kept")


@allow_async
def reads(request: HttpRequest) -> HttpResponse:
    session = request.session
    seen = [session.get("cart"), session.pop("cart", 0), list(session.keys()), session.session_key, session.is_empty()]
    return JsonResponse(seen, safe=False)


@allow_async
def logs_in(request: HttpRequest) -> HttpResponse:
    user = User.objects.get(username="anna")
    login(request, user, "django.contrib.auth.backends.ModelBackend")
    update_session_auth_hash(request, user)
    request.session.set_expiry(60)
    return HttpResponse(request.user.username)


@allow_async
def logs_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse(str(request.user))


@allow_async
def tells(request: HttpRequest) -> HttpResponse:
    messages.success(request, "done " * 1000)
    return HttpResponse("told")


@allow_async
def names_the_user(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.username)


@allow_async
async def names_the_user_later(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).username)


@allow_async
def names_nobody(request: HttpRequest) -> HttpResponse:
    return HttpResponse("nobody")


@allow_async
@api_view(["GET"])
@authentication_classes([TokenAuthentication, SessionAuthentication])
def names_the_caller(request: Request) -> Response:
    return Response(request.user.username)


class LastSeen:
    """Middleware of a project that writes to the session with each request."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        request.session["last_seen"] = "now"
        response = self.get_response(request)
        request.session["answered"] = response.status_code
        return response


urlpatterns = [
    path("fills/<int:number>/", fills),
    path("fills-later/", fills_later),
    path("reads/", reads),
    path("logs-in/", logs_in),
    path("logs-out/", logs_out),
    path("tells/", tells),
    path("names-the-user/", names_the_user),
    path("names-the-user-later/", names_the_user_later),
    path("names-nobody/", names_nobody),
    path("names-the-caller/", names_the_caller),
    path("", include("django_asyncexchange.urls")),
]


@pytest.fixture(autouse=True)
def later(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture
def anna(db):
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    return client


def outcome(client, address):
    """(state, status, body) of a run that has left all sessions unchanged."""
    assert client.get(address, headers={"Prefer": "respond-async"}).status_code == 202
    before, task = list(Session.objects.values()), AsyncTask.objects.get()
    runner.run(str(task.pk))
    task.refresh_from_db()
    assert list(Session.objects.values()) == before
    return task.state, task.status_code, bytes(task.bodies.get(kind=Body.RESPONSE).content).decode()


@pytest.mark.parametrize("number", range(len(SAVES)))
def test_session_write_of_a_view_is_an_error(anna, number, caplog):
    assert outcome(anna, f"/fills/{number}/")[:2] == ("ERROR", 500)
    assert "has no session that is kept" in caplog.text


def test_session_write_of_an_async_view_is_an_error(anna, caplog):
    assert outcome(anna, "/fills-later/")[:2] == ("ERROR", 500)
    assert "request.session['cart']" in caplog.text


def test_session_of_a_run_is_empty(anna):
    session = anna.session
    session["cart"] = [1]
    session.save()
    assert json.loads(outcome(anna, "/reads/")[2]) == [None, 0, [], None, True]


@pytest.mark.parametrize(("address", "answer"), [("/logs-in/", "anna"), ("/logs-out/", "AnonymousUser")])
def test_login_and_logout_of_a_run_are_not_saved(anna, address, answer):
    assert outcome(anna, address) == ("DONE", 200, answer)


@pytest.mark.parametrize("storage", ["session.SessionStorage", "fallback.FallbackStorage", "cookie.CookieStorage"])
def test_messages_of_a_run_are_not_saved(anna, storage, settings):
    settings.MESSAGE_STORAGE = f"django.contrib.messages.storage.{storage}"
    assert outcome(anna, "/tells/") == ("DONE", 200, "told")


NAMING = ["/names-the-user/", "/names-the-user-later/", "/names-the-caller/", "/names-nobody/", "/reads/"]


def vary(client, address, **headers):
    """``Vary`` of the response to a synchronous call, and of one that is run."""
    now = client.get(address, headers=headers)["Vary"]
    assert client.get(address, headers={**headers, "Prefer": "respond-async"}).status_code == 202
    runner.run(str(AsyncTask.objects.get().pk))
    return now, dict(AsyncTask.objects.get().headers)["Vary"]


@pytest.mark.parametrize("address", NAMING)
def test_response_for_the_user_of_a_session_varies_by_cookie(anna, address):
    """A cache would serve it to everybody otherwise."""
    now, later = vary(anna, address)
    assert later == now
    assert ("Cookie" in later) == (address != "/names-nobody/")


def test_response_for_the_holder_of_a_token_does_not_vary_by_cookie(db):
    token = Token.objects.create(user=User.objects.create_user("boris"))
    now, later = vary(Client(), "/names-the-caller/", Authorization=f"Token {token.key}")
    assert later == now
    assert "Cookie" not in later


def test_session_writes_of_middleware_are_not_saved(anna, settings):
    place = settings.MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware") + 1
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:place], f"{__name__}.LastSeen", *settings.MIDDLEWARE[place:]]
    settings.SESSION_SAVE_EVERY_REQUEST = True
    assert outcome(anna, "/reads/")[:2] == ("DONE", 200)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_no_session_backend_saves(backend, db, settings, tmp_path):
    settings.SESSION_FILE_PATH = str(tmp_path)
    store = run_session.as_run_session(backend.SessionStore("k" * 32))
    store["_auth_user_id"] = "1"
    store.cycle_key()
    store.flush()
    store["cart"] = [1]
    assert (store["cart"], store.is_empty(), store.session_key) == ([1], True, None)
    assert (Session.objects.count(), list(tmp_path.iterdir())) == (0, [])


def test_other_session_can_be_deleted(anna):
    key = Session.objects.get().session_key
    run_session.as_run_session(db.SessionStore()).delete(key)
    assert not Session.objects.exists()
