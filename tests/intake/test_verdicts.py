"""Class-based views with their own dispatch: whether a method is allowed is their decision."""

from __future__ import annotations

import pytest
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.test import Client
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask

from ..services import exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SOLITUDE = {"Solitude-Async": "yes"}
PREFER = {"Prefer": "respond-async"}


class Plain(View):
    def get(self, request):
        return HttpResponse(b"plain", headers={"X-Method": request.method})


class Rpc(View):
    """Without handlers: the body names what is called."""

    def dispatch(self, request, *args, **kwargs):
        return JsonResponse({"called": request.body.decode()}, status=200 if request.body else 404)


class Overridden(View):
    """A header says PUT where a browser can only send POST."""

    def dispatch(self, request, *args, **kwargs):
        request.method = request.headers.get("X-Method", request.method)
        return super().dispatch(request, *args, **kwargs)

    def put(self, request):
        return HttpResponse(b"put")


class OpenToSome(LoginRequiredMixin, View):
    def dispatch(self, request, *args, **kwargs):
        if request.headers.get("X-Key") == "good":
            return HttpResponse(b"open")
        return super().dispatch(request, *args, **kwargs)


class Polite(View):
    def http_method_not_allowed(self, request, *args, **kwargs):
        return JsonResponse({"try": "GET"}, status=405, headers={"Allow": "GET", "X-Polite": "yes"})


class PoliteAsync(View):
    async def get(self, request):
        return HttpResponse()


class RestRpc(APIView):
    def dispatch(self, request, *args, **kwargs):
        request.method = "PUT"
        return super().dispatch(request, *args, **kwargs)

    def put(self, request):
        return Response({"put": request.data})


@method_decorator(never_cache, name="dispatch")
class Decorated(Plain):
    pass


class Animals(ViewSet):
    @allow_async
    def list(self, request):
        return Response(["cat"])


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("plain/", Plain.as_view()),
    path("rpc/", Rpc.as_view()),
    path("overridden/", Overridden.as_view()),
    path("open/", OpenToSome.as_view()),
    path("polite/", Polite.as_view()),
    path("polite-async/", PoliteAsync.as_view()),
    path("rest-rpc/", RestRpc.as_view()),
    path("decorated/", Decorated.as_view()),
    path("animals/", Animals.as_view({"get": "list"})),
]


@pytest.fixture
def client(db):
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_user("anna"))
    return client


@pytest.fixture
def every_view(settings):
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/*"])


def later(client, accepted):
    assert accepted.status_code == 202
    return client.get(accepted.json()["replay"])


def test_head_is_accepted_for_a_class_with_get(client, every_view):
    accepted = client.head("/plain/", headers=PREFER)
    assert accepted.status_code == 202
    assert client.head(accepted["Location"] + "/result")["X-Method"] == "HEAD"


def test_mark_of_an_action_holds_for_head(client):
    assert client.head("/animals/", headers=PREFER).status_code == 202


@pytest.mark.parametrize(("body", "status", "answer"), [(b"add", 200, {"called": "add"}), (b"", 404, {"called": ""})])
def test_view_without_handlers_is_run(client, body, status, answer):
    response = later(client, client.post("/rpc/", body, content_type="text/plain", headers=SOLITUDE))
    assert (response.status_code, response.json()) == (status, answer)


def test_view_that_changes_the_method_is_run(client):
    response = later(client, client.post("/overridden/", headers={**SOLITUDE, "X-Method": "PUT"}))
    assert response.content == b"put"


def test_method_missing_after_the_change_is_refused_by_the_run(client):
    assert later(client, client.post("/overridden/", headers=SOLITUDE)).status_code == 405


def test_rest_view_that_changes_the_method_is_run(client):
    accepted = client.post("/rest-rpc/", b'{"a": 1}', content_type="application/json", headers=SOLITUDE)
    assert later(client, accepted).json() == {"put": {"a": 1}}


def test_view_with_its_own_access_check_is_run(client):
    assert later(client, client.post("/open/", headers={**SOLITUDE, "X-Key": "good"})).content == b"open"


def test_http_method_not_allowed_of_the_view_is_used(client):
    now = client.post("/polite/")
    refused = client.post("/polite/", headers=SOLITUDE)
    assert (refused.status_code, refused.json()) == (405, {"try": "GET"})
    assert (refused["X-Polite"], refused["Allow"]) == (now["X-Polite"], now["Allow"])
    assert not AsyncTask.objects.exists()


@pytest.mark.parametrize("address", ["/plain/", "/polite-async/", "/decorated/"])
def test_method_without_a_handler_is_refused_at_submit(client, address):
    refused = client.post(address, headers=SOLITUDE)
    assert (refused.status_code, refused["Allow"]) == (405, client.post(address)["Allow"])
    assert not AsyncTask.objects.exists()
