"""Decorators that read the token themselves: a run has no token, so their views are never answered later."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from oauth2_provider.decorators import protected_resource, rw_protected_resource
from oauth2_provider.models import AccessToken, Application
from oauth2_provider.views.generic import ProtectedResourceView

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.resource_owner.username)


class Mixed(ProtectedResourceView):
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


@method_decorator(protected_resource(), name="dispatch")
class Dispatched(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


class Handled(View):
    @method_decorator(protected_resource())
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


VIEWS = {
    "decorated": protected_resource()(answer),
    "read-write": rw_protected_resource()(answer),
    "mixed": Mixed.as_view(),
    "dispatched": Dispatched.as_view(),
    "handled": Handled.as_view(),
}
urlpatterns = [path(f"{name}/", allow_async(view)) for name, view in VIEWS.items()]


@pytest.fixture
def client():
    """A client with a session, so that the caller is known, and a token."""
    anna = User.objects.create_user("anna")
    application = Application.objects.create(client_type="public", authorization_grant_type="password")
    expires = timezone.now() + dt.timedelta(hours=1)
    AccessToken.objects.create(user=anna, application=application, token="t", expires=expires, scope="read write")
    client = Client(headers={"Authorization": "Bearer t"})
    client.force_login(anna)
    return client


@pytest.mark.parametrize("name", VIEWS)
def test_prefer_is_ignored_for_a_view_that_reads_the_token(client, name):
    response = client.post(f"/{name}/", headers={"Prefer": "respond-async"})
    assert (response.status_code, response.content) == (200, b"anna")
    assert not AsyncTask.objects.exists()


@pytest.mark.usefixtures("moved_mounts")
@pytest.mark.parametrize("name", VIEWS)
def test_solitude_refuses_a_view_that_reads_the_token(client, name):
    response = client.post(f"/{name}/", headers={"Solitude-Async": "yes"})
    assert 400 <= response.status_code < 500
    assert response.json()["error"] == "caller_unknown"
    assert not AsyncTask.objects.exists()
