"""Options of ``@allow_async``: ``retention`` and ``repeatable``."""

from __future__ import annotations

import datetime as dt

import pytest
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.views.generic import View

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

DAYS = dt.timedelta(days=2)


@allow_async(retention=DAYS)
def kept(request, status=200):
    return HttpResponse(b"the answer", status=status)


@allow_async(repeatable=True)
def idempotent(request):
    return HttpResponse()


@allow_async(repeatable=False)
def once(request):
    return HttpResponse()


@allow_async(retention=dt.timedelta(days=9))
class Parent(View):
    @allow_async(retention=DAYS)
    def get(self, request):
        return HttpResponse()

    def post(self, request):
        return HttpResponse()


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("kept/", kept),
    path("kept/<int:status>/", kept),
    path("idempotent/", idempotent),
    path("once/", once),
    path("class/", Parent.as_view()),
]


@pytest.fixture
def submit():
    """Submits a call; returns its pending task."""

    def call(address, method="get"):
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)):
            response = getattr(Client(), method)(address, headers={"Prefer": "respond-async"})
        assert response.status_code == 202, response.content
        return AsyncTask.objects.get()

    return call


def lifetime(task):
    runner.run(str(task.pk))
    task.refresh_from_db()
    return task.deletion_date - task.finished


def test_result_is_kept_for_the_views_retention(submit):
    assert lifetime(submit("/kept/")) == DAYS


def test_failed_call_is_kept_for_the_dialects_retention(submit):
    assert lifetime(submit("/kept/404/")) == dt.timedelta(hours=24)


def test_view_without_retention_uses_the_dialects(submit):
    assert lifetime(submit("/once/")) == dt.timedelta(hours=24)


def test_purge_date_is_not_before_the_deletion_date(submit):
    task = submit("/kept/")
    AsyncTask.objects.update(retention=dt.timedelta(days=30))
    lifetime(task)
    assert task.purge_date == task.deletion_date


@pytest.mark.parametrize(("method", "days"), [("get", 2), ("post", 9)])
def test_option_of_a_handler_wins_over_its_class(submit, method, days):
    assert submit("/class/", method).retention == dt.timedelta(days=days)


@pytest.mark.parametrize(
    ("address", "method", "again"),
    [
        ("/kept/", "get", True),
        ("/kept/", "post", False),
        ("/kept/", "put", False),
        ("/idempotent/", "post", True),
        ("/once/", "get", False),
    ],
)
def test_repeatable_of_the_view_wins_over_the_method(submit, address, method, again):
    assert submit(address, method).is_repeatable is again


def test_decorator_with_options_returns_the_view_itself():
    def view(request):
        return HttpResponse()

    assert allow_async(retention=DAYS)(view) is view
