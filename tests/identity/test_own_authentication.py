"""Views and middleware with their own authentication, and django-otp: what a run can present."""

from __future__ import annotations

import functools
import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.decorators import otp_required
from django_otp.plugins.otp_static.models import StaticDevice
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.identity import restore, snapshot, tokens
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol import log_once

from ..services import IDLE, answer, exchange, perform

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PREFER, SOLITUDE = {"Prefer": "respond-async"}, {"Solitude-Async": "yes"}
AUTH, OTP = "django.contrib.auth.middleware.AuthenticationMiddleware", "django_otp.middleware.OTPMiddleware"
PARTNERS = {"key-of-seven": "seven", "key-of-eight": "eight"}
ran: list[str] = []


# API keys checked by hand ---------------------------------------------------------------------------------------------


def partner_of(request: HttpRequest) -> str | None:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return PARTNERS.get(request.headers.get("X-API-Key", "")) or PARTNERS.get(bearer) or minted.get(bearer)


def for_partners(view: Any) -> Any:
    """A project's decorator."""

    @functools.wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        partner = partner_of(request)
        if partner is None:
            return JsonResponse({"error": "no partner"}, status=403)
        ran.append(partner)
        return view(request, partner)

    return guarded


@csrf_exempt
@allow_async
@for_partners
def by_decorator(request: HttpRequest, partner: str) -> HttpResponse:
    return JsonResponse({"partner": partner, "user": str(request.user)})


@csrf_exempt
@allow_async
def by_middleware(request: Any) -> HttpResponse:
    ran.append(request.partner)
    return JsonResponse({"partner": request.partner})


class PartnerMiddleware:
    """Refuses unknown partners before the view."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        request.partner = partner_of(request)
        if request.partner is None and request.path == "/by-middleware/":
            return HttpResponse("no partner", status=403)
        return self.get_response(request)


# django-otp -----------------------------------------------------------------------------------------------------------


@csrf_exempt
@allow_async
def says(request: Any) -> HttpResponse:
    ran.append("says")
    return JsonResponse({"verified": request.user.is_verified(), "device": str(request.user.otp_device)})


@csrf_exempt
@allow_async
@otp_required
def for_the_verified(request: HttpRequest) -> HttpResponse:
    ran.append("verified")
    return HttpResponse("yes")


class Rest(APIView):
    async_exchange = True
    authentication_classes = (SessionAuthentication, TokenAuthentication)

    def get(self, request: Any) -> Response:
        ran.append("rest")
        is_verified = getattr(request.user, "is_verified", lambda: False)
        return Response({"verified": is_verified()})


urlpatterns = [
    path("by-decorator/", by_decorator),
    path("by-middleware/", by_middleware),
    path("says/", says),
    path("verified/", for_the_verified),
    path("rest/", Rest.as_view()),
    path("", include("django_asyncexchange.urls")),
]


def name_of(request):
    """``SNAPSHOT_USER``"""
    partner = partner_of(request)
    return f"partner {partner}" if partner else ""


def user_of(name, auth):
    """``RESTORE_USER``: the project has no users."""
    return AnonymousUser()


minted: dict[str, str] = {}


def headers_of(name):
    """``RUN_HEADERS``: a short-lived token that the project would sign."""
    partner = name.removeprefix("partner ")
    if partner not in PARTNERS.values():
        raise tokens.IdentityLost
    minted["for-a-moment"] = partner
    return {"Authorization": "Bearer for-a-moment"}


NAMES = {"SNAPSHOT_USER": f"{__name__}.name_of", "RESTORE_USER": f"{__name__}.user_of"}
PRESENTS = {**NAMES, "RUN_HEADERS": f"{__name__}.headers_of"}


@pytest.fixture(autouse=True)
def later(settings, monkeypatch):
    ran.clear()
    minted.clear()
    monkeypatch.setattr(log_once, "_made", set())
    index = settings.MIDDLEWARE.index(AUTH)
    own = f"{__name__}.PartnerMiddleware"
    settings.MIDDLEWARE = [own, *settings.MIDDLEWARE[: index + 1], OTP, *settings.MIDDLEWARE[index + 1 :]]
    settings.LOGIN_URL = settings.OTP_LOGIN_URL = "/login/"


@pytest.fixture
def has(settings):
    def given(**hooks):
        settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, **hooks)

    given()
    return given


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna")


@pytest.fixture
def browser(anna):
    client = Client()
    client.force_login(anna)
    return client


@pytest.fixture
def verified(browser, anna):
    """Anna's session is verified by her second factor."""
    session = browser.session
    session[DEVICE_ID_SESSION_KEY] = StaticDevice.objects.create(user=anna, name="key ring").persistent_id
    session.save()
    return browser


KEY = {"X-API-Key": "key-of-seven"}
BEARER = {"Authorization": "Bearer key-of-seven"}


def test_caller_known_to_the_view_only_is_named_by_snapshot_user(has):
    has(**NAMES)
    assert Client().post("/by-decorator/", headers={**KEY, **SOLITUDE}).status_code == 202
    task = AsyncTask.objects.get()
    assert (perform(task), answer(task)) == (200, {"partner": "seven", "user": "AnonymousUser"})


def test_caller_known_to_the_view_only_reads_its_own_tasks(has):
    has(**NAMES)
    Client().get("/by-decorator/", headers={**KEY, **PREFER})
    address = f"/async/tasks/{AsyncTask.objects.get().pk}"
    assert Client().get(address, headers=KEY).status_code == 202
    assert Client().get(address, headers={"X-API-Key": "key-of-eight"}).status_code == 404
    assert Client().get(address).status_code in (401, 403)


def test_caller_known_to_the_view_only_needs_a_name(has):
    assert Client().get("/by-decorator/", headers={**KEY, **PREFER}).json()["partner"] == "seven"
    assert Client().post("/by-decorator/", headers={**KEY, **SOLITUDE}).status_code == 401
    assert not AsyncTask.objects.exists()


@pytest.mark.parametrize("hooks", [{}, {"ALLOW_ANONYMOUS": True}, NAMES])
@pytest.mark.parametrize("address", ["/by-decorator/", "/by-middleware/"])
def test_credentials_that_a_run_cannot_present_are_refused_and_logged(has, hooks, address, caplog):
    has(**hooks)
    with caplog.at_level(logging.WARNING, "django_asyncexchange"):
        refused = Client().post(address, headers={**BEARER, **SOLITUDE})
    assert (refused.status_code, refused.json()["error"], ran) == (400, "caller_unknown", [])
    assert "RUN_HEADERS" in caplog.text
    assert Client().get(address, headers={**BEARER, **PREFER}).json()["partner"] == "seven"
    assert not AsyncTask.objects.exists()


@pytest.mark.parametrize("address", ["/by-decorator/", "/by-middleware/"])
def test_run_presents_run_headers_instead_of_the_credentials(has, address):
    has(**PRESENTS)
    assert Client().post(address, headers={**BEARER, **SOLITUDE}).status_code == 202
    task = AsyncTask.objects.get()
    assert "key-of-seven" not in str(task.captured)
    assert (perform(task), answer(task)["partner"]) == (200, "seven")


def test_caller_without_run_headers_does_not_run(has, monkeypatch):
    has(**PRESENTS)
    Client().post("/by-decorator/", headers={**BEARER, **SOLITUDE})
    monkeypatch.setitem(globals(), "PARTNERS", {})
    assert (perform(AsyncTask.objects.get()), ran) == (401, [])


def test_forged_name_gets_no_run_headers(has, monkeypatch):
    has(**PRESENTS)
    Client().post("/by-decorator/", headers={**BEARER, **SOLITUDE})
    task = AsyncTask.objects.get()
    forged = snapshot.of(task, task.captured)
    forged = type(forged)(
        **{name: getattr(forged, name) for name in forged.__dataclass_fields__} | {"name": "partner eight"}
    )
    with pytest.raises(tokens.IdentityLost):
        restore.headers_of(forged)


def test_run_of_a_verified_user_is_verified(has, verified):
    at_once = verified.get("/says/").json()
    ran.clear()
    assert verified.get("/says/", headers=PREFER).status_code == 202
    task = AsyncTask.objects.get()
    assert (perform(task), answer(task)) == (200, at_once)
    assert at_once["verified"]


def test_otp_required_view_runs_for_a_verified_user(has, verified):
    assert verified.get("/verified/", headers=PREFER).status_code == 202
    assert (perform(AsyncTask.objects.get()), ran) == (200, ["verified"])


def test_otp_required_view_refuses_others_at_submit(has, browser):
    assert browser.get("/verified/", headers=PREFER).status_code == 302
    assert not AsyncTask.objects.exists()


def test_run_of_an_unverified_user_is_unverified(has, browser, anna):
    StaticDevice.objects.create(user=anna, name="in a drawer")
    browser.get("/says/", headers=PREFER)
    task = AsyncTask.objects.get()
    assert (perform(task), answer(task)["verified"]) == (200, False)


def test_deleted_device_does_not_verify_the_run(has, verified):
    verified.get("/verified/", headers=PREFER)
    StaticDevice.objects.all().delete()
    task = AsyncTask.objects.get()
    assert (perform(task), ran) == (302, [])


def test_verified_session_is_the_same_in_a_rest_view(has, verified):
    at_once = verified.get("/rest/").json()
    verified.get("/rest/", headers=PREFER)
    task = AsyncTask.objects.get()
    assert (perform(task), answer(task)) == (200, at_once)


def test_verified_session_does_not_verify_a_token_beside_it(has, verified, anna, monkeypatch):
    monkeypatch.setattr(Rest, "authentication_classes", (TokenAuthentication,))
    headers = {"Authorization": f"Token {Token.objects.create(user=anna).key}"}
    at_once = verified.get("/rest/", headers=headers).json()
    verified.get("/rest/", headers={**headers, **PREFER})
    task = AsyncTask.objects.get()
    assert (perform(task), answer(task)) == (200, at_once)
    assert at_once == {"verified": False}
