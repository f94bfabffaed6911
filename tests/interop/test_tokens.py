"""Simple JWT, OAuth Toolkit, Django Ninja, allauth's session tokens: the same user, immediately and deferred."""

from __future__ import annotations

import datetime as dt

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application
from rest_framework_simplejwt.tokens import RefreshToken

from django_asyncexchange.models import AsyncTask

from .calls import call, key_of, perform, twice


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def jwt(anna):
    """From Simple JWT's own view."""
    return Client().post("/api/token/", {"username": "anna", "password": "secret"}).json()


@pytest.fixture
def access(anna):
    """An access token of a user."""
    application = Application.objects.create(
        name="a browser", client_type="public", authorization_grant_type="password"
    )
    return _token(user=anna, application=application, scope="read write")


@pytest.fixture
def service(transactional_db):
    """An access token of an application without a user."""
    application = Application.objects.create(
        name="a service", client_type="confidential", authorization_grant_type="client-credentials"
    )
    return _token(application=application, scope="read")


def _token(**fields):
    expires = timezone.now() + dt.timedelta(hours=1)
    return AccessToken.objects.create(token=fields["application"].name.replace(" ", "-"), expires=expires, **fields)


# Simple JWT -----------------------------------------------------------------------------------------------------------


def test_user_and_claims_of_a_jwt_are_the_same_in_the_run(jwt, anna):
    calls = twice(Client(), "/api/whoami/", **bearer(jwt["access"]))
    assert calls.is_equal
    said = calls.later.json()
    assert (said["user"], said["auth"], said["claim"]) == (anna.pk, "AccessToken", str(anna.pk))


def test_next_access_token_of_the_same_user_reads_the_task_of_a_jwt(jwt):
    calls = twice(Client(), "/api/whoami/", **bearer(jwt["access"]))
    fresh = RefreshToken(jwt["refresh"]).access_token
    assert Client().get(calls.polled["Location"], headers=bearer(fresh)).content == calls.later.content


def test_jwt_that_expires_before_the_run_ends_with_401(anna, monkeypatch):
    token = RefreshToken.for_user(anna).access_token
    accepted = call(Client(), "/api/whoami/", None, "", {**bearer(token), "Prefer": "respond-async"})
    later = timezone.now() + dt.timedelta(hours=1)
    monkeypatch.setattr("rest_framework_simplejwt.tokens.aware_utcnow", lambda: later)
    perform(key_of(accepted["Location"]))
    assert AsyncTask.objects.get().status_code == 401


def test_session_of_the_same_user_reads_the_task_of_a_jwt(jwt, client):
    calls = twice(Client(), "/api/whoami/", **bearer(jwt["access"]))
    assert client.get(calls.polled["Location"]).content == calls.later.content


# OAuth Toolkit --------------------------------------------------------------------------------------------------------


def test_user_of_an_access_token_is_the_same_in_the_run(access, anna):
    calls = twice(Client(), "/api/scoped/", **bearer(access.token))
    assert calls.is_equal
    said = calls.later.json()
    assert (said["user"], said["client"], said["scope"]) == (anna.pk, "a browser", "read write")


def test_application_without_a_user_is_the_same_in_the_run(service):
    calls = twice(Client(), "/api/scoped/", **bearer(service.token))
    assert calls.is_equal
    assert (calls.later.json()["user"], calls.later.json()["client"]) == (None, "a service")


def test_access_token_without_the_scope_is_refused_at_submit(access):
    AccessToken.objects.update(scope="write")
    at_once, preferred = (
        call(Client(), "/api/scoped/", None, "", {**bearer(access.token), **prefer})
        for prefer in ({}, {"Prefer": "respond-async"})
    )
    assert (at_once.status_code, at_once.content) == (preferred.status_code, preferred.content)
    assert at_once.status_code == 403


@pytest.fixture
def token_middleware(settings):
    """OAuth Toolkit's own, for views outside of REST framework. django-axes counts each JWT that it sees as a
    wrong password, with or without us, so that a project has one or the other.
    """
    place = settings.MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1
    ours = "oauth2_provider.middleware.OAuth2TokenMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:place], ours, *settings.MIDDLEWARE[place:]]
    settings.AUTHENTICATION_BACKENDS = [
        "oauth2_provider.backends.OAuth2Backend",
        "django.contrib.auth.backends.ModelBackend",
    ]


def test_user_of_the_token_middleware_is_the_same_in_the_run(token_middleware, access, anna):
    calls = twice(Client(), "/whoami/", **bearer(access.token))
    assert calls.is_equal
    assert calls.later.json()["user"] == anna.pk


@pytest.mark.parametrize("path", ["/protected/", "/protected-class/"])
def test_view_that_reads_the_token_itself_is_not_deferred(token_middleware, access, anna, path):
    """A run has no token."""
    answer = call(Client(), path, None, "", {**bearer(access.token), "Prefer": "respond-async"})
    assert (answer.status_code, answer.json()["owner"]) == (200, anna.pk)
    assert not AsyncTask.objects.exists()


# Django Ninja ---------------------------------------------------------------------------------------------------------


def test_session_user_of_ninja_is_the_same_in_the_run(client, anna):
    calls = twice(client, "/ninja/whoami")
    assert calls.is_equal
    assert calls.later.json()["user"] == anna.pk


def test_forged_call_of_ninja_is_refused_when_deferred_too(anna):
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(anna, "django.contrib.auth.backends.ModelBackend")
    at_once = call(forged, "/ninja/write?text=a", {}, "", {})
    accepted = call(forged, "/ninja/write?text=a", {}, "", {"Prefer": "respond-async"})
    assert at_once.status_code == 403
    if accepted.status_code == 202:
        perform(key_of(accepted["Location"]))
        assert AsyncTask.objects.get().status_code == 403
    else:
        assert accepted.status_code == 403


def test_bearer_of_ninja_gets_the_same_response(transactional_db):
    at_once = call(Client(), "/ninja/machine", None, "", bearer("the token"))
    answer = call(Client(), "/ninja/machine", None, "", {**bearer("the token"), "Prefer": "respond-async"})
    perform(key_of(answer["Location"]))
    answer = Client().get(f"{answer['Location']}/result", headers=bearer("the token"))
    assert (answer.status_code, answer.content) == (at_once.status_code, at_once.content)
    assert answer.json() == {"auth": "a machine"}


# allauth --------------------------------------------------------------------------------------------------------------


def test_call_with_allauths_session_token_is_not_deferred(anna):
    """Its ``request.auth`` is a session, which cannot be stored."""
    EmailAddress.objects.create(user=anna, email=anna.email, verified=True, primary=True)
    login = Client().post(
        "/_allauth/app/v1/auth/login",
        {"username": "anna", "password": "secret"},
        content_type="application/json",
    )
    token = {"X-Session-Token": login.json()["meta"]["session_token"]}
    answer = call(Client(), "/api/whoami/", None, "", {**token, "Prefer": "respond-async"})
    assert (answer.status_code, answer.json()["user"]) == (200, anna.pk)
    assert not AsyncTask.objects.exists()
