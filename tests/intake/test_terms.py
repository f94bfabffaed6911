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


def test_an_answer_is_kept_as_long_as_its_view_says(submit):
    assert lifetime(submit("/kept/")) == DAYS


def test_a_failed_call_is_kept_as_its_dialect_says(submit):
    assert lifetime(submit("/kept/404/")) == dt.timedelta(hours=24)


def test_a_view_that_says_nothing_leaves_it_to_the_dialect(submit):
    assert lifetime(submit("/once/")) == dt.timedelta(hours=24)


def test_the_task_stays_known_as_long_as_its_answer(submit):
    task = submit("/kept/")
    AsyncTask.objects.update(retention=dt.timedelta(days=30))
    lifetime(task)
    assert task.purge_date == task.deletion_date


@pytest.mark.parametrize(("method", "days"), [("get", 2), ("post", 9)])
def test_a_handler_speaks_before_its_class(submit, method, days):
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
def test_a_view_says_whether_its_calls_may_run_again_and_else_their_method_does(submit, address, method, again):
    assert submit(address, method).is_repeatable is again


def test_a_decorator_with_terms_leaves_the_view_itself():
    def view(request):
        return HttpResponse()

    assert allow_async(retention=DAYS)(view) is view
