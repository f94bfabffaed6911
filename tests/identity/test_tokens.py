"""JWT, OAuth2 and a project's own tokens: a run has the claims and scopes of the call, and no token is stored."""

from __future__ import annotations

import ast
import datetime as dt
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.urls import include, path
from django.utils import timezone
from oauth2_provider.contrib.rest_framework import OAuth2Authentication, TokenHasScope
from oauth2_provider.models import AccessToken, Application
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken as JWT

from django_asyncexchange import identity
from django_asyncexchange.models import AsyncTask, Body

from ..services import IDLE, exchange, perform

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SOLITUDE = {"Solitude-Async": "yes"}
ran: list[str] = []


# hooks: as docs/howto/authentication.rst shows them -------------------------------------------------------------------


def snapshot_auth(request: Any) -> str:
    """What of the claims of an identity provider the views ask for; a reference to any other token."""
    if isinstance(request.auth, dict):
        return json.dumps({"scope": request.auth["scope"], "exp": request.auth["exp"]})
    return identity.snapshot_auth(request)


def restore_auth(user: Any, reference: str) -> Any:
    """The same claims, unless they have expired; any other token as it is by default."""
    if not reference.startswith("{"):
        return identity.restore_auth(user, reference)
    claims = json.loads(reference)
    if claims["exp"] < time.time():
        raise identity.IdentityLost
    return claims


# end of hooks ---------------------------------------------------------------------------------------------------------


class Claims(APIView):
    authentication_classes = (JWTAuthentication,)
    permission_classes = (IsAuthenticated,)

    def post(self, request):
        ran.append(request.path)
        return Response({"user": request.user.username, "plan": request.auth["plan"]})


class Provider(BaseAuthentication):
    """A project's own: ``request.auth`` is what the identity provider says about the token."""

    def authenticate(self, request):
        return User.objects.get(), {"scope": "read", "exp": time.time() + 60, "secret": request.headers["X-Key"]}


class Provided(APIView):
    authentication_classes = (Provider,)

    def post(self, request):
        ran.append(request.path)
        return Response({"user": request.user.username, "scope": request.auth["scope"], "size": len(request.auth)})


class Scoped(APIView):
    authentication_classes = (OAuth2Authentication,)
    permission_classes = (TokenHasScope,)
    required_scopes = ("write",)

    def post(self, request):
        ran.append(request.path)
        return Response({"user": request.user.username, "scopes": sorted(request.auth.scopes)})


urlpatterns = [
    path("claims/", Claims.as_view()),
    path("scoped/", Scoped.as_view()),
    path("provided/", Provided.as_view()),
    path("", include("django_asyncexchange.urls")),
]


@pytest.fixture(autouse=True)
def later():
    ran.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        yield


@pytest.fixture
def hooks():
    changes = {"SNAPSHOT_AUTH": f"{__name__}.snapshot_auth", "RESTORE_AUTH": f"{__name__}.restore_auth"}
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, **changes)):
        yield


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna")


def bearer(token):
    return Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)


def submit(token, path):
    assert bearer(token).post(path, headers=SOLITUDE).status_code == 202
    assert ran == []
    return AsyncTask.objects.get()


def answer():
    return json.loads(bytes(Body.objects.get(kind=Body.RESPONSE).content))


def database(*but):
    """Everything that is stored, as text, except in the tables ``but``."""
    tables = set(connection.introspection.table_names()) - set(but)
    with connection.cursor() as cursor:
        for table in sorted(tables):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            yield from (f"{table}: {row!r}" for row in cursor.fetchall())


# JWT ------------------------------------------------------------------------------------------------------------------


def jwt(user, **claims):
    token = JWT.for_user(user)
    token.payload.update({"plan": "gold", **claims})
    return token


def test_run_has_the_user_and_claims_of_the_jwt(anna):
    task = submit(jwt(anna), "/claims/")
    assert perform(task) == 200
    assert answer() == {"user": "anna", "plan": "gold"}


def test_jwt_is_not_stored(anna):
    token = str(jwt(anna))
    task = submit(token, "/claims/")
    signature = token.rpartition(".")[2]
    assert [row for row in database() if signature in row or token in row] == []
    perform(task)
    assert [row for row in database() if signature in row or token in row] == []


def test_only_claims_of_a_jwt_are_stored(anna):
    task = submit(jwt(anna), "/claims/")
    assert set(json.loads(task.auth_reference.partition(":")[2])) == {
        "token_type",
        "exp",
        "iat",
        "jti",
        "user_id",
        "plan",
    }


def test_jwt_expired_before_the_run_does_not_run(anna):
    task = submit(jwt(anna), "/claims/")
    kind, _, claims = task.auth_reference.partition(":")
    past = {**json.loads(claims), "exp": json.loads(claims)["iat"] - 1}
    AsyncTask.objects.update(auth_reference=f"{kind}:{json.dumps(past)}")
    assert (perform(task), task.state, ran) == (401, "API_ERROR", [])


@pytest.mark.parametrize("end", [lambda: User.objects.update(is_active=False), lambda: User.objects.all().delete()])
def test_jwt_of_a_deactivated_or_deleted_user_does_not_run(anna, settings, end):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ON_USER_DELETE": "keep"}
    task = submit(jwt(anna), "/claims/")
    end()
    assert (perform(task), ran) == (401, [])


def test_expired_jwt_is_refused_at_submit(anna):
    token = jwt(anna, exp=int((timezone.now() - dt.timedelta(minutes=1)).timestamp()))
    response = bearer(token).post("/claims/", headers=SOLITUDE)
    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    assert not AsyncTask.objects.exists()


# OAuth2 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def access(anna):
    """Creates access tokens of Anna's."""
    application = Application.objects.create(
        user=anna,
        name="an application",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )

    def make(scope="read write", user=anna):
        expires, token = timezone.now() + dt.timedelta(hours=1), f"oauth-canary-{scope.replace(' ', '-')}"
        return AccessToken.objects.create(user=user, application=application, token=token, expires=expires, scope=scope)

    return make


@pytest.fixture(params=["with the hooks", "by default"])
def default(request):
    """Once more with hooks that are meant for other tokens."""
    if request.param == "with the hooks":
        request.getfixturevalue("hooks")


def test_run_has_the_user_and_scopes_of_the_access_token(access, default):
    task = submit(access().token, "/scoped/")
    assert perform(task) == 200
    assert answer() == {"user": "anna", "scopes": ["read", "write"]}


def test_access_token_without_the_scope_is_refused_at_submit(access, default):
    response = bearer(access("read").token).post("/scoped/", headers=SOLITUDE)
    assert (response.status_code, ran) == (403, [])
    assert not AsyncTask.objects.exists()


def test_scope_removed_meanwhile_is_a_403_in_the_run(access, default):
    task = submit(access().token, "/scoped/")
    AccessToken.objects.update(scope="read")
    assert (perform(task), task.state, ran) == (403, "API_ERROR", [])


def revoke():
    AccessToken.objects.get().revoke()


def expire():
    AccessToken.objects.update(expires=timezone.now() - dt.timedelta(seconds=1))


@pytest.mark.parametrize("end", [revoke, expire, lambda: User.objects.update(is_active=False)])
def test_invalidated_access_token_does_not_run(access, default, end):
    task = submit(access().token, "/scoped/")
    end()
    assert (perform(task), task.state, ran) == (401, "API_ERROR", [])


def test_other_token_of_the_same_user_is_not_used(access, default):
    task = submit(access().token, "/scoped/")
    revoke()
    access("write")
    assert (perform(task), ran) == (401, [])


def test_access_token_is_stored_by_its_own_app_only(access, default):
    task = submit(access().token, "/scoped/")
    for _ in range(2):
        rows = [row for row in database("oauth2_provider_accesstoken") if "oauth-canary" in row]
        assert rows == []
        perform(task)


# A project's own ------------------------------------------------------------------------------------------------------


def provided():
    assert Client(headers={"X-Key": "provider-canary"}).post("/provided/", headers=SOLITUDE).status_code == 202
    return AsyncTask.objects.get()


def test_run_has_the_snapshot_of_the_projects_token(anna, hooks):
    task = provided()
    assert (perform(task), answer()) == (200, {"user": "anna", "scope": "read", "size": 2})
    assert [row for row in database() if "provider-canary" in row] == []


def test_token_expired_by_the_projects_hook_does_not_run(anna, hooks):
    task = provided()
    AsyncTask.objects.update(auth_reference=json.dumps({"scope": "read", "exp": 1}))
    assert (perform(task), ran) == (401, [])


# docs/howto/identity.rst ----------------------------------------------------------------------------------------------


def bare(function):
    """The code of a function without annotations and docstring."""
    function.returns = None
    for argument in function.args.args:
        argument.annotation = None
    if ast.get_docstring(function):
        function.body = function.body[1:]
    return ast.unparse(function)


def functions(source):
    return {node.name: bare(node) for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("shown", "tested", "names"),
    [
        ("tokens.py", "test_tokens.py", ("snapshot_auth", "restore_auth")),
        ("callers.py", "test_callers.py", ("name_of", "user_of")),
    ],
)
def test_guide_shows_the_hooks_of_these_tests(shown, tested, names):
    guide = (Path(__file__).parents[2] / "docs" / "howto" / "authentication.rst").read_text(encoding="utf-8")
    code = guide.partition(f"   # myproject/{shown}\n")[2].partition("\n.. code-block")[0]
    here = functions(Path(__file__).with_name(tested).read_text(encoding="utf-8"))
    assert functions(textwrap.dedent(code)) == {name: here[name] for name in names}
