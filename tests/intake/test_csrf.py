"""CSRF: a forged call that is answered later ends like a synchronous one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import Client, RequestFactory
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import View
from ninja import NinjaAPI
from ninja.security import django_auth
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.intake import csrf
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SECRET = "s" * 32
FORM = "application/x-www-form-urlencoded"
FOREIGN = "https://evil.example"
ran: list[str] = []

api = NinjaAPI(auth=django_auth, urls_namespace="forgery", docs_url=None, openapi_url=None)


@api.post("/pay")
def pay(request: HttpRequest) -> dict[str, str]:
    ran.append(request.path)
    return {"user": request.user.username}


@method_decorator(csrf_exempt, name="dispatch")
class ByHand(View):
    """Exempt, but with its own check, as packages of payment providers do."""

    async_exchange = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refused = CsrfViewMiddleware(lambda request: HttpResponse()).process_view(request, self.post, (), {})
        return refused or super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest) -> HttpResponse:
        ran.append(request.path)
        return HttpResponse(request.user.username)


@method_decorator(csrf_exempt, name="dispatch")
class Decorated(ByHand):
    """``csrf_protect`` around what the view calls in the end."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return csrf_protect(super(ByHand, self).dispatch)(request, *args, **kwargs)


@csrf_exempt
@allow_async
def open_to_all(request: HttpRequest) -> HttpResponse:
    ran.append(request.path)
    return HttpResponse(request.user.username)


class ForPeople(APIView):
    async_exchange = True
    authentication_classes = (TokenAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated,)

    def post(self, request: Any) -> Response:
        ran.append(request.path)
        return Response({"user": request.user.username})


VIEWS = [
    path("ninja/", api.urls),
    path("by-hand/", ByHand.as_view()),
    path("decorated/", Decorated.as_view()),
    path("open/", open_to_all),
    path("rest/", ForPeople.as_view()),
]
urlpatterns = [
    *VIEWS,
    path("admin/", admin.site.urls),
    path("api/", include(VIEWS)),  # what mailru's prefix is replaced by
    path("unifiedconfig/config/", include(VIEWS)),
    path("", include("django_asyncexchange.urls")),
]

CHECKING = pytest.mark.parametrize("address", ["/ninja/pay", "/by-hand/", "/decorated/"])
TRIGGERS = {
    "prefer": ("", {"Prefer": "respond-async"}),
    "solitude": ("", {"Solitude-Async": "yes"}),
    "mailru": ("/async_api", {}),
}


@pytest.fixture(autouse=True)
def later(settings):
    ran.clear()
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, VIEWS=["/ninja/*"])


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna")


@pytest.fixture
def browser(anna):
    client = Client(enforce_csrf_checks=True)
    client.force_login(anna)
    return client


def with_token(client):
    client.cookies["csrftoken"] = SECRET
    return {"X-CSRFToken": SECRET, "Origin": "http://testserver"}


def outcome(client, address, headers):
    """The final status: of the refusal, or of the run."""
    response = client.post(address, headers=headers)
    if response.status_code != 202:
        return response.status_code
    task = AsyncTask.objects.get()
    runner.run(str(task.pk))
    task.refresh_from_db()
    return task.status_code


@CHECKING
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_forged_call_of_a_view_with_its_own_check_is_not_run(browser, address, trigger):
    prefix, headers = TRIGGERS[trigger]
    assert outcome(browser, prefix + address, {**headers, "Origin": FOREIGN}) == 403
    assert ran == []
    assert browser.post(address, headers={"Origin": FOREIGN}).status_code == 403


def test_call_without_token_and_origin_is_not_run(browser):
    assert outcome(browser, "/by-hand/", {"Prefer": "respond-async"}) == 403
    assert ran == []


@CHECKING
def test_forged_cisco_call_is_not_run(browser, address, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    response = browser.post(f"/unifiedconfig/config{address}?async=true", headers={"Origin": FOREIGN})
    for task in AsyncTask.objects.all():
        runner.run(str(task.pk))
    assert (response.status_code in (202, 400, 403), ran) == (True, [])


@CHECKING
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_call_with_a_token_is_run_by_a_view_with_its_own_check(browser, address, trigger):
    prefix, headers = TRIGGERS[trigger]
    assert outcome(browser, prefix + address, {**headers, **with_token(browser)}) == 200
    assert len(ran) == 1


@CHECKING
def test_token_in_a_form_counts_like_one_in_a_header(browser, address):
    browser.cookies["csrftoken"] = SECRET
    data = {"csrfmiddlewaretoken": SECRET, "a": "1"}
    assert browser.post(address, data, headers={"Prefer": "respond-async"}).status_code == 202
    task = AsyncTask.objects.get()
    runner.run(str(task.pk))
    assert ran == [address]


def test_exempt_view_is_run_without_a_token(browser):
    assert browser.post("/open/", headers={"Origin": FOREIGN}).status_code == 200
    assert outcome(browser, "/open/", {"Origin": FOREIGN, "Prefer": "respond-async"}) == 200


@pytest.mark.parametrize(("media_type", "body"), [("multipart/form-data", b"--"), (FORM, b"a=1&b=2")])
def test_form_that_cannot_be_parsed_is_left_to_the_view(browser, settings, media_type, body):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    browser.cookies["csrftoken"] = SECRET
    response = browser.post("/open/", body, content_type=media_type, headers={"Prefer": "respond-async"})
    assert response.status_code == 202


def test_view_with_its_own_check_refuses_without_the_middleware(browser, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    assert outcome(browser, "/by-hand/", {"Origin": FOREIGN, "Solitude-Async": "yes"}) == 403
    assert ran == []


def test_admin_refuses_without_the_middleware(browser, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    User.objects.update(is_superuser=True, is_staff=True)
    assert outcome(browser, "/admin/auth/group/add/", {"Solitude-Async": "yes"}) == 403


def test_rest_view_checks_a_session_at_submit(browser):
    assert outcome(browser, "/rest/", {"Prefer": "respond-async"}) == 403
    assert outcome(browser, "/rest/", {"Prefer": "respond-async", **with_token(browser)}) == 200
    assert ran == ["/rest/"]


def test_rest_view_does_not_check_a_token(anna):
    key = Token.objects.create(user=anna).key
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Token {key}"})
    assert outcome(client, "/rest/", {"Prefer": "respond-async"}) == 200


def test_check_leaves_the_request_unchanged(anna):
    request = RequestFactory(enforce_csrf_checks=True).post("/open/", headers={"Cookie": f"csrftoken={SECRET}"})
    request._dont_enforce_csrf_checks = False
    request.META["HTTP_X_CSRFTOKEN"] = SECRET
    before = dict(request.META)
    assert csrf.is_ruled_out(request)
    assert (request.META, hasattr(request, "csrf_processing_done")) == (before, False)


@pytest.mark.parametrize(
    ("authorization", "is_ruled_out"),
    [("Bearer abc", True), ("Token abc", True), ("Basic YTpi", False), ("negotiate YTpi", False), ("", False)],
)
def test_only_non_ambient_credentials_rule_csrf_out(authorization, is_ruled_out):
    request = RequestFactory().post("/open/", headers={"Authorization": authorization})
    request._dont_enforce_csrf_checks = False
    assert csrf.is_ruled_out(request) == is_ruled_out


def test_bearer_token_beside_a_session_does_not_rule_csrf_out(browser):
    headers = {"Prefer": "respond-async", "Authorization": "Bearer made-up"}
    assert outcome(browser, "/by-hand/", headers) == 403
