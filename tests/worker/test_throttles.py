"""Throttles of Django REST framework count a call at its submit, and not again in its run."""

from __future__ import annotations

import functools

import pytest
from django.urls import include, path
from rest_framework.decorators import api_view, permission_classes, throttle_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.worker import runner, throttles

from ..services import stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

counted: list[str] = []


class Counting(BaseThrottle):
    """Allows nothing, and notes the view."""

    def allow_request(self, request, view):
        counted.append(type(view).__name__)
        return False


class Plain(APIView):
    permission_classes = (AllowAny,)
    throttle_classes = (Counting,)

    def get(self, request):
        return Response({})


class OwnThrottles(Plain):
    def get_throttles(self):
        return [Counting()]


class OwnCheck(Plain):
    def check_throttles(self, request):
        Counting().allow_request(request, self)
        self.throttled(request, 1)


class Inner(Plain):
    """Called by another view: nobody asked it at the submit."""


class Outer(Plain):
    def get(self, request):
        return Inner.as_view()(request._request)


class Things(ViewSet):
    permission_classes = (AllowAny,)
    throttle_classes = (Counting,)

    def list(self, request):
        return Response({})


@api_view()
@permission_classes([AllowAny])
@throttle_classes([Counting])
def function(request):
    return Response({})


def decorated(view):
    @functools.wraps(view)
    def wrapper(request, *args, **kwargs):
        return view(request, *args, **kwargs)

    return wrapper


router = SimpleRouter()
router.register("things", Things, basename="things")
urlpatterns = [
    path("plain/", Plain.as_view()),
    path("own-throttles/", OwnThrottles.as_view()),
    path("own-check/", OwnCheck.as_view()),
    path("decorated/", decorated(decorated(Plain.as_view()))),
    path("function/", function),
    path("outer/", Outer.as_view()),
    path("", include(router.urls)),
]


@pytest.fixture(autouse=True)
def _nothing_counted():
    counted.clear()


def run(to):
    task = stored(to=to)
    runner.run(str(task.pk))
    return AsyncTask.objects.get(pk=task.pk)


@pytest.mark.parametrize("view", ["plain", "own-throttles", "own-check", "decorated", "function", "things"])
def test_run_is_not_throttled(view):
    assert (run(f"/{view}/").status_code, counted) == (200, [])


def test_ordinary_call_is_throttled_after_a_run(client):
    run("/plain/")
    assert (client.get("/plain/").status_code, counted) == (429, ["Plain"])


def test_view_that_is_called_by_the_run_s_view_is_throttled():
    assert (run("/outer/").status_code, counted) == (429, ["Inner"])


def test_classes_of_the_project_are_not_changed():
    before = dict(vars(Plain))
    run("/plain/")
    assert dict(vars(Plain)) == before


def test_drf_is_wrapped_once():
    run("/plain/")
    wrapped = APIView.get_parser_context
    throttles.skip_in_runs()
    assert APIView.get_parser_context is wrapped
    assert wrapped.__wrapped__.__module__ == "rest_framework.views"
