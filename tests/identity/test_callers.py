"""Callers of every kind, with the real packages: whose identity is stored, and whose cannot be."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import DataError, IntegrityError, connection
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxAuthentication
from knox.models import AuthToken
from oauth2_provider.contrib.rest_framework import OAuth2Authentication, TokenHasScope
from oauth2_provider.models import AccessToken, Application
from rest_framework.authentication import BaseAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication, JWTStatelessUserAuthentication
from rest_framework_simplejwt.models import TokenUser
from rest_framework_simplejwt.tokens import AccessToken as JWT

from django_asyncexchange.identity import callers, tokens
from django_asyncexchange.models import AsyncTask, Webhook
from django_asyncexchange.protocol import log_once

from ..services import IDLE, answer, exchange, perform

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PREFER, SOLITUDE = {"Prefer": "respond-async"}, {"Solitude-Async": "yes"}
RULES = "rules.permissions.ObjectPermissionBackend"
MODEL = "django.contrib.auth.backends.ModelBackend"
ran: list[str] = []


def described(request: Any) -> Response:
    ran.append(request.path)
    auth = request.auth
    return Response(
        {"user": str(request.user), "auth": type(auth).__name__, "plan": auth and getattr(auth, "get", {}.get)("plan")}
    )


class Counting(BaseThrottle):
    asked = 0

    def allow_request(self, request: Any, view: Any) -> bool:
        type(self).asked += 1
        return True


class View(APIView):
    async_exchange = True
    authentication_classes: Any = (JWTAuthentication,)
    permission_classes: Any = (IsAuthenticated,)
    throttle_classes: Any = (Counting,)

    def get(self, request: Any) -> Response:
        return described(request)

    def post(self, request: Any) -> Response:
        ran.append(request.path)
        return Response(request.data)


class KeyAuthentication(BaseAuthentication):
    """A project's own: ``request.auth`` is the key itself."""

    def authenticate(self, request: Any) -> Any:
        key = request.headers.get("X-Key")
        return (User.objects.get(username="anna"), key) if key else None


class KioskAuthentication(BaseAuthentication):
    """A device without a user."""

    def authenticate(self, request: Any) -> Any:
        return AnonymousUser(), Token.objects.get()


class NobodyAuthentication(BaseAuthentication):
    def authenticate(self, request: Any) -> Any:
        return (User(pk=1, username="made of claims"), None)


def view(*classes: Any, **attributes: Any) -> Any:
    return type("View", (View,), {"authentication_classes": classes, **attributes}).as_view()


urlpatterns = [
    path("jwt/", view(JWTAuthentication)),
    path("stateless/", view(JWTStatelessUserAuthentication)),
    path("oauth/", view(OAuth2Authentication, permission_classes=(TokenHasScope,), required_scopes=("read",))),
    path("knox/", view(KnoxAuthentication)),
    path("key/", view(KeyAuthentication)),
    path("kiosk/", view(KioskAuthentication, permission_classes=(AllowAny,))),
    path("claims/", view(NobodyAuthentication)),
    path("open/", view(JWTAuthentication, permission_classes=(AllowAny,))),
    path("", include("django_asyncexchange.urls")),
]


@pytest.fixture(autouse=True)
def later(settings, monkeypatch):
    ran.clear()
    monkeypatch.setattr(Counting, "asked", 0)
    monkeypatch.setattr(log_once, "_made", set())
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture
def polls(settings):
    """The task endpoints use these authentication classes."""

    def by(*classes):
        paths = [f"{cls.__module__}.{cls.__qualname__}" for cls in classes]
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "AUTHENTICATION_CLASSES": paths}

    return by


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", is_superuser=True, is_staff=True)


def bearer(token, scheme="Bearer"):
    return Client(headers={"Authorization": f"{scheme} {token}"})


def stateless(user_id):
    token = JWT()
    token["user_id"] = user_id
    token["plan"] = "gold"
    return bearer(token)


def submit(client, address):
    accepted = client.get(address, headers=PREFER)
    assert (accepted.status_code, ran) == (202, [])
    return AsyncTask.objects.latest("created")


# Callers who are no row of the user model -----------------------------------------------------------------------------


def test_token_user_with_the_pk_of_a_user_is_answered_synchronously(anna):
    response = stateless(anna.pk).get("/stateless/", headers=PREFER)
    assert (response.status_code, response.json()["user"]) == (200, f"TokenUser {anna.pk}")
    assert not AsyncTask.objects.exists()


def test_token_user_with_the_pk_of_a_user_is_refused_by_solitude(anna):
    response = stateless(anna.pk).post("/stateless/", headers=SOLITUDE)
    assert (response.status_code, response.json()["error"], ran) == (400, "caller_unknown", [])
    assert "Retry-After" not in response


def test_unsaved_user_made_of_claims_is_not_taken_for_the_saved_one(anna):
    assert Client().post("/claims/", headers=SOLITUDE).status_code == 400
    assert Client().get("/claims/", headers=PREFER).json()["user"] == "made of claims"
    assert not AsyncTask.objects.exists()


def test_token_user_does_not_read_the_tasks_of_the_user_with_its_pk(anna, polls, settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    task = submit(bearer(JWT.for_user(anna)), "/jwt/")
    polls(JWTStatelessUserAuthentication)
    stranger = stateless(anna.pk)
    for address in (f"/async/tasks/{task.pk}", f"/delay/result/{task.pk}/"):
        assert stranger.get(address).status_code == 404
    assert stranger.get("/async/tasks").json()["count"] == 0


def name_of(request):
    """``SNAPSHOT_USER``: the id at the service that issues the tokens."""
    return f"elsewhere {request.user.pk}" if isinstance(request.user, TokenUser) else ""


def user_of(name, auth):
    """``RESTORE_USER``"""
    return TokenUser(auth)


class TestNamed:
    """With ``SNAPSHOT_USER`` and ``RESTORE_USER``."""

    @pytest.fixture(autouse=True)
    def hooks(self, settings, polls):
        names = {"SNAPSHOT_USER": f"{__name__}.name_of", "RESTORE_USER": f"{__name__}.user_of"}
        settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, **names)
        polls(JWTStatelessUserAuthentication)

    def test_named_caller_runs_as_itself(self, anna):
        task = submit(stateless(anna.pk), "/stateless/")
        assert perform(task) == 200
        assert answer(task) == {"user": f"TokenUser {anna.pk}", "auth": "AccessToken", "plan": "gold"}
        assert (task.owner, task.auth_reference.count("gold")) == (None, 1)

    def test_named_caller_reads_its_own_tasks_only(self, anna):
        task = submit(stateless(anna.pk), "/stateless/")
        address = f"/async/tasks/{task.pk}"
        assert [stateless(pk).get(address).status_code for pk in (anna.pk, anna.pk + 1)] == [202, 404]
        client = Client()
        client.force_login(User.objects.create_user("otto"))
        assert client.get(address).status_code == 401

    def test_forged_name_in_the_database_does_not_run(self, anna):
        task = submit(stateless(anna.pk), "/stateless/")
        AsyncTask.objects.update(auth_backend="application")
        assert (perform(task), ran) == (401, [])


def test_account_of_a_user_in_a_schema_names_the_schema(anna, monkeypatch):
    monkeypatch.setattr(connection, "schema_name", "acme", raising=False)  # like django-tenants
    assert callers.owner_of(mock.Mock(user=anna, auth=None)).account == f":user:acme:{anna.pk}"


# OAuth2 applications --------------------------------------------------------------------------------------------------


@pytest.fixture
def application(anna):
    return Application.objects.create(
        name="shop", user=anna, client_type="confidential", authorization_grant_type="client-credentials"
    )


@pytest.fixture
def shop(application, polls):
    polls(OAuth2Authentication)
    return access(application)


def access(application, token="shop-token"):
    expires = timezone.now() + dt.timedelta(hours=1)
    AccessToken.objects.create(user=None, application=application, token=token, expires=expires, scope="read")
    return bearer(token)


def test_application_owns_its_task_and_runs_as_itself(shop, application):
    task = submit(shop, "/oauth/")
    assert (task.owner, task.owner_kind, task.owner_reference) == (
        None,
        "application",
        f"oauth2_provider.application:{application.pk}",
    )
    assert perform(task) == 200
    assert answer(task) == {"user": "None", "auth": "AccessToken", "plan": None}


@pytest.mark.parametrize(
    "address", ["/async/tasks/{}", "/delay/result/{}/", "/unifiedconfig/config/asyncrequeststatus/{}"]
)
def test_application_reads_its_own_tasks_only(shop, anna, address):
    mount = {"/a": "prefer", "/d": "solitude", "/u": "cisco"}[address[:2]]
    task = submit(shop, "/oauth/")
    AsyncTask.objects.update(dialect=mount)
    assert perform(task) == 200
    other = access(Application.objects.create(user=anna, client_type="confidential"), "other-token")
    statuses = [client.get(address.format(task.pk)).status_code for client in (shop, other)]
    assert (statuses[0] != 404, statuses[1]) == (True, 404)


def test_user_with_a_pk_like_an_application_has_another_account():
    user = User(pk=":application:oauth2_provider.application:1")
    user._state.adding = False
    assert callers.owner_of(mock.Mock(user=user, auth=None)).account == f":{user.pk}"


def test_application_may_have_webhooks(shop):
    made = shop.post("/async/webhooks", {"url": "https://hooks.example/"}, content_type="application/json")
    assert made.status_code == 201, made.content
    assert Webhook.objects.get().owner is None


def test_application_with_a_revoked_token_does_not_run(shop):
    task = submit(shop, "/oauth/")
    AccessToken.objects.all().delete()
    assert (perform(task), ran) == (401, [])


# Anonymous callers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def nameless(monkeypatch, settings):
    """``UNAUTHENTICATED_USER`` is None."""
    monkeypatch.setattr(api_settings, "UNAUTHENTICATED_USER", None)


@pytest.fixture
def without_users(settings):
    gone = ("AuthenticationMiddleware", "SessionMiddleware", "MessageMiddleware")
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith(gone)]


@pytest.mark.parametrize("project", ["nameless", "without_users"])
def test_anonymous_caller_needs_allow_anonymous(project, request, settings):
    request.getfixturevalue(project)
    assert Client().post("/open/", headers=SOLITUDE).status_code == 401
    assert Client().get("/open/", headers=PREFER).status_code == 200
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    ran.clear()
    task = submit(Client(), "/open/")
    assert (task.account, perform(task)) == ("", 200)
    assert Client().get(f"/async/tasks/{task.pk}/result").status_code == 200


@pytest.mark.parametrize("project", ["nameless", "without_users"])
def test_anonymous_caller_has_no_webhooks(project, request, settings):
    request.getfixturevalue(project)
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    assert Client().get("/async/tasks").status_code == 200
    assert Client().get("/async/webhooks").status_code == 401


def test_prefer_without_credentials_is_answered_synchronously():
    response = Client().get("/open/", headers=PREFER)
    assert (response.status_code, ran) == (200, ["/open/"])
    assert not AsyncTask.objects.exists()


def test_ignored_preference_leaves_body_and_throttle_to_the_view():
    response = Client().post("/open/", {"a": "1"}, content_type="application/json", headers=PREFER)
    assert (response.status_code, response.json(), Counting.asked) == (200, {"a": "1"}, 1)


def test_ignored_preference_leaves_the_form_to_the_view():
    response = Client().post("/open/", {"a": "1"}, headers=PREFER)
    assert (response.status_code, response.json()) == (200, {"a": "1"})


def test_prefer_without_permission_gets_the_views_401():
    response = Client().get("/jwt/", headers=PREFER)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert response.json() == Client().get("/jwt/").json()


def test_prefer_with_invalid_credentials_gets_the_views_401():
    later, now = bearer("nonsense").get("/open/", headers=PREFER), bearer("nonsense").get("/open/")
    assert (later.status_code, later.json()) == (now.status_code, now.json()) and now.status_code == 401


# Permanent refusals ---------------------------------------------------------------------------------------------------


def test_permanent_refusal_is_logged_once_for_each_kind(anna, caplog):
    for _ in range(3):
        stateless(anna.pk).post("/stateless/", headers=SOLITUDE)
        Client(headers={"X-Key": "k"}).get("/key/", headers=PREFER)
    said = [record.getMessage() for record in caplog.records if record.name == "django_asyncexchange"]
    assert [("TokenUser" in line, "builtins.str" in line) for line in said] == [(True, False), (False, True)]
    assert "SNAPSHOT_USER" in said[0] and "SNAPSHOT_AUTH" in said[1]


@pytest.mark.parametrize("error", [DataError("too long"), IntegrityError("no such user"), ValueError("NUL")])
def test_permanent_database_error_is_refused_without_retry_after(anna, error, caplog):
    def refuse(execute, sql, params, many, context):
        if sql.lstrip().startswith("INSERT"):
            raise error
        return execute(sql, params, many, context)

    client = bearer(JWT.for_user(anna))
    with connection.execute_wrapper(refuse):
        for _ in range(2):
            response = client.post("/jwt/", headers=SOLITUDE)
            assert (response.status_code, "Retry-After" in response) == (400, False)
        assert client.get("/jwt/", headers=PREFER).status_code == 200
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING and record.exc_info]) == 1


# request.auth ---------------------------------------------------------------------------------------------------------


def test_run_has_the_claims_of_a_jwt(anna):
    token = JWT.for_user(anna)
    token["plan"] = "gold"
    task = submit(bearer(token), "/jwt/")
    assert str(token).rpartition(".")[2] not in task.auth_reference
    assert perform(task) == 200
    assert answer(task) == {"user": "anna", "auth": "AccessToken", "plan": "gold"}


def test_jwt_expired_meanwhile_does_not_run(anna):
    task = submit(bearer(JWT.for_user(anna)), "/jwt/")
    label, _, claims = task.auth_reference.partition(":")
    AsyncTask.objects.update(auth_reference=f"{label}:{json.dumps({**json.loads(claims), 'exp': 1})}")
    assert (perform(task), ran) == (401, [])


def test_run_has_the_knox_token(anna):
    _, token = AuthToken.objects.create(anna)
    task = submit(bearer(token, "Token"), "/knox/")
    assert perform(task) == 200
    assert answer(task) == {"user": "anna", "auth": "AuthToken", "plan": None}


@pytest.mark.parametrize(
    "end", [lambda: AuthToken.objects.all().delete(), lambda: AuthToken.objects.update(expiry=timezone.now())]
)
def test_invalidated_knox_token_does_not_run(anna, end):
    _, token = AuthToken.objects.create(anna)
    task = submit(bearer(token, "Token"), "/knox/")
    end()
    assert (perform(task), ran) == (401, [])


def test_unknown_type_of_auth_is_answered_synchronously(anna):
    client = Client(headers={"X-Key": "k"})
    assert client.get("/key/", headers=PREFER).json() == {"user": "anna", "auth": "str", "plan": None}
    assert client.post("/key/", headers=SOLITUDE).status_code == 400
    assert not AsyncTask.objects.exists()


def test_run_of_an_anonymous_caller_has_its_token(anna, settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    Token.objects.create(user=anna)
    task = submit(Client(), "/kiosk/")
    assert perform(task) == 200
    assert answer(task) == {"user": "AnonymousUser", "auth": "Token", "plan": None}


def test_token_with_an_integer_pk_is_restored_by_one_query(shop, django_assert_num_queries):
    task = submit(shop, "/oauth/")
    for number in range(3):
        AccessToken.objects.create(token=f"another {number}", expires=timezone.now(), scope="")
    with django_assert_num_queries(1):
        token = tokens.restore_auth(None, task.auth_reference)
    assert token.token == "shop-token"


# Backends for permissions only ----------------------------------------------------------------------------------------


def test_backend_without_users_is_skipped(anna, settings):
    settings.AUTHENTICATION_BACKENDS = [RULES, MODEL]
    key = Token.objects.create(user=anna)
    task = submit(bearer(JWT.for_user(anna)), "/jwt/")
    assert (task.auth_backend, perform(task), key.user) == (MODEL, 200, anna)


def test_user_without_a_backend_is_answered_synchronously(anna, settings):
    settings.AUTHENTICATION_BACKENDS = [RULES]
    assert bearer(JWT.for_user(anna)).get("/jwt/", headers=PREFER).status_code == 200
    assert bearer(JWT.for_user(anna)).post("/jwt/", headers=SOLITUDE).status_code == 400
    assert not AsyncTask.objects.exists()
