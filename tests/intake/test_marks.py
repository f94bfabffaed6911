"""``@allow_async`` and ``@never_async`` work above and below other decorators."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from django_asyncexchange.decorators import allow_async, never_async

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def plain(request):
    return HttpResponse("done")


def other(request):
    return HttpResponse("done")


def fresh():
    """A function for DRF without marks."""

    def rest(request):
        return Response("done")

    return rest


api = NinjaAPI(urls_namespace="heard")


@api.get("below")
@allow_async
def ninja_below(request):
    return "done"


@allow_async
@api.get("above")
def ninja_above(request):
    return "done"


@api.get("async-below")
@allow_async
async def ninja_async_below(request):
    return "done"


@api.post("split")
@never_async
def ninja_post(request):
    return "done"


@api.get("split")
@allow_async
def ninja_get(request):
    return "done"


class Things(ViewSet):
    @action(detail=False)
    @allow_async
    def below(self, request):
        return Response("done")

    @allow_async
    @action(detail=False)
    def above(self, request):
        return Response("done")


urlpatterns = [
    path("ninja/", api.urls),
    path("api-view/above/", allow_async(api_view(["GET"])(fresh()))),
    path("api-view/below/", api_view(["GET"])(allow_async(fresh()))),
    path("wrapped/above/", allow_async(csrf_exempt(other))),
    path("wrapped/below/", csrf_exempt(allow_async(plain))),
    path("action/below/", Things.as_view({"get": "below"})),
    path("action/above/", Things.as_view({"get": "above"})),
    path("never/", api_view(["GET"])(never_async(fresh()))),
    path("", include("django_asyncexchange.urls")),
]
PATHS = [
    *("/ninja/below", "/ninja/above", "/ninja/async-below", "/ninja/split"),
    *("/api-view/above/", "/api-view/below/"),
    *("/wrapped/above/", "/wrapped/below/", "/action/below/", "/action/above/"),
]


@pytest.mark.parametrize("url", PATHS)
def test_allow_async_works_above_and_below_other_decorators(url, admin_client):
    assert admin_client.get(url, headers={"Prefer": "respond-async"}).status_code == 202


def test_never_async_works_below_other_decorators(admin_client, settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/never/"]}
    assert admin_client.get("/never/", headers={"Prefer": "respond-async"}).status_code == 200


def test_marks_of_a_ninja_operation_are_per_method(admin_client):
    assert admin_client.post("/ninja/split", headers={"Prefer": "respond-async"}).status_code == 200
