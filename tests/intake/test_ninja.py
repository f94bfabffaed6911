"""Django Ninja as documented: API keys, bearer tokens and Basic, for all operations or for one."""

from __future__ import annotations

import base64
import dataclasses
import logging
import time
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path
from ninja import NinjaAPI
from ninja.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HttpBasicAuth, HttpBearer, django_auth
from ninja.throttling import BaseThrottle
from rest_framework.authtoken.models import Token

from django_asyncexchange.identity import restore, snapshot
from django_asyncexchange.identity.callers import HOLDER, Holder
from django_asyncexchange.intake import ninja
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol import log_once

from ..services import IDLE, answer, exchange, perform

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PREFER, SOLITUDE = {"Prefer": "respond-async"}, {"Solitude-Async": "yes"}
KEYS = {"secret-of-one", "secret-of-two"}
ran: list[str] = []
asked: list[str] = []


class InHeader(APIKeyHeader):
    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return key if key in KEYS else None


class InQuery(APIKeyQuery):
    param_name = "api_key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return Token.objects.filter(key=key).first()


class InCookie(APIKeyCookie):
    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return Group.objects.filter(name=key).first()


class RowInHeader(APIKeyHeader):
    param_name = "X-Token"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        asked.append("row")
        return Group.objects.filter(name=key).first()


class SecondRowInHeader(APIKeyHeader):
    """Another authenticator of the same rows."""

    param_name = "X-Second"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return Group.objects.filter(name=key).first()


class UserInHeader(APIKeyHeader):
    param_name = "X-Person"

    async def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return await User.objects.filter(username=key).afirst()


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> Any:
        kind, _, name = token.partition("-")
        if kind == "person":
            return User.objects.filter(username=name).first()
        if kind == "group":
            return Group.objects.filter(name=name).first()
        if kind == "claims":
            return {"sub": name, "exp": time.time() + 60}
        return token if kind == "supersecret" else None


class ScopedBearer(Bearer):
    """The same tokens with another identity."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        return {"client": token.removeprefix("group-")} if token.startswith("group-") else None


class Basic(HttpBasicAuth):
    def authenticate(self, request: HttpRequest, username: str, password: str) -> Any:
        if username == "leaky":
            return {"password": password}
        return username if password == "hush" else None


def from_inside(request: HttpRequest) -> Any:
    """A function, as in Ninja's documentation."""
    return request.META["REMOTE_ADDR"] == "127.0.0.1" and "127.0.0.1"


class Counting(BaseThrottle):
    asked = 0

    def allow_request(self, request: HttpRequest) -> bool:
        type(self).asked += 1
        return type(self).asked < 3


api = NinjaAPI(auth=InHeader(), urls_namespace="keys", docs_url=None, openapi_url=None)


def described(request: Any) -> dict[str, str]:
    ran.append(request.path)
    return {"auth": str(request.auth), "type": type(request.auth).__name__, "user": str(request.user)}


def operation(name: str, **options: Any) -> None:
    def described_by(request: HttpRequest) -> dict[str, str]:
        return described(request)

    api.api_operation(["GET", "POST"], f"/{name}", url_name=name, operation_id=name, **options)(described_by)


for name, authenticator in {
    "query": InQuery(),
    "cookie": InCookie(csrf=False),
    "row": RowInHeader(),
    "person": UserInHeader(),
    "bearer": Bearer(),
    "scoped": ScopedBearer(),
    "basic": Basic(),
    "inside": from_inside,
    "several": [InQuery(), InHeader(), django_auth],
    "two": [RowInHeader(), SecondRowInHeader()],
}.items():
    operation(name, auth=authenticator)
operation("header")
operation("open", auth=None)
operation("counted", auth=RowInHeader(), throttle=Counting())


@api.get("/later", auth=[Bearer(), UserInHeader()])
async def later_too(request: HttpRequest) -> dict[str, str]:
    return described(request)


def without_its_variable(is_there: bool = False) -> Any:
    """A view that refers to an unassigned closure variable."""
    if is_there:
        name = "a name"

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(name if request.GET else "nothing")

    return view


urlpatterns = [
    path("api/lost/", without_its_variable()),
    path("api/", api.urls),
    path("", include("django_asyncexchange.urls")),
]


@pytest.fixture(autouse=True)
def later(settings, monkeypatch):
    ran.clear()
    asked.clear()
    monkeypatch.setattr(Counting, "asked", 0)
    monkeypatch.setattr(log_once, "_made", set())
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, VIEWS=["/api/*"])


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna")


@pytest.fixture
def shop(db):
    return Group.objects.create(name="shop")


@pytest.fixture
def token(anna):
    return Token.objects.create(user=anna)


def basic(credentials):
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


def submit(address, **options):
    accepted = Client().get(address, **options)
    assert (accepted.status_code, ran) == (202, [])
    return AsyncTask.objects.latest("created")


def call(name, anna, shop, token):
    """(URL, headers, cookies) of a call for each authenticator."""
    return {
        "header": ("/api/header", {"X-API-Key": "secret-of-one"}, {}),
        "query": (f"/api/query?api_key={token.key}", {}, {}),
        "cookie": ("/api/cookie", {}, {"key": "shop"}),
        "row": ("/api/row", {"X-Token": "shop"}, {}),
        "person": ("/api/person", {"X-Person": "anna"}, {}),
        "bearer to a user": ("/api/bearer", {"Authorization": "Bearer person-anna"}, {}),
        "bearer to a row": ("/api/bearer", {"Authorization": "Bearer group-shop"}, {}),
        "basic": ("/api/basic", basic("anna:hush"), {}),
        "the second of several": ("/api/several", {"X-API-Key": "secret-of-two"}, {}),
        "asynchronous": ("/api/later", {"X-Person": "anna"}, {}),
        "bearer, asynchronous": ("/api/later", {"Authorization": "Bearer group-shop"}, {}),
    }[name]


EACH = pytest.mark.parametrize(
    "name",
    [
        "header",
        "query",
        "cookie",
        "row",
        "person",
        "bearer to a user",
        "bearer to a row",
        "basic",
        "the second of several",
        "asynchronous",
        "bearer, asynchronous",
    ],
)


@EACH
def test_run_equals_the_synchronous_call_and_is_read_by_its_caller(name, anna, shop, token):
    address, headers, cookies = call(name, anna, shop, token)
    client = Client()
    client.cookies.load(cookies)
    at_once = client.get(address, headers=headers)
    assert at_once.status_code == 200
    ran.clear()
    accepted = client.get(address, headers={**headers, **PREFER})
    assert (accepted.status_code, ran) == (202, [])
    task = AsyncTask.objects.get()
    assert perform(task) == 200
    query = f"?{address.partition('?')[2]}"
    found = client.get(f"/async/tasks/{task.pk}/result{query}", headers=headers)
    assert (found.status_code, found.content) == (200, at_once.content)
    assert Client().get(f"/async/tasks/{task.pk}").status_code in (401, 403)


@EACH
def test_key_is_not_stored_in_plain_text(name, anna, shop, token):
    address, headers, cookies = call(name, anna, shop, token)
    client = Client()
    client.cookies.load(cookies)
    assert client.get(address, headers={**headers, **PREFER}).status_code == 202
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {AsyncTask._meta.db_table}")
        row = str(cursor.fetchall())
    assert not [key for key in (*KEYS, token.key, "hush", "person-anna", "group-shop") if key in row]


@pytest.mark.parametrize("headers", [PREFER, SOLITUDE])
def test_wrong_key_gets_ninjas_401_at_submit(headers):
    refused = Client().post("/api/header", headers={"X-API-Key": "guessed", **headers})
    assert (refused.status_code, refused.json()) == (401, {"detail": "Unauthorized"})
    assert not AsyncTask.objects.exists()


def test_unknown_method_is_a_405_at_submit():
    assert Client().delete("/api/header", headers=PREFER).status_code == 405


def test_holder_of_another_key_reads_nothing(anna, shop, token):
    task = submit("/api/header", headers={"X-API-Key": "secret-of-one", **PREFER})
    for headers in ({"X-API-Key": "secret-of-two"}, {"X-Token": "shop"}, {"X-Person": "anna"}, {"X-API-Key": "none"}):
        assert Client().get(f"/async/tasks/{task.pk}", headers=headers).status_code in (401, 403, 404)
    assert Client().get(f"/async/tasks/{task.pk}", headers={"X-API-Key": "secret-of-one"}).status_code == 202


def test_user_of_a_key_polls_with_a_session(anna):
    task = submit("/api/person", headers={"X-Person": "anna", **PREFER})
    client = Client()
    client.force_login(anna)
    assert (task.owner, client.get(f"/async/tasks/{task.pk}").status_code) == (anna, 202)


@pytest.mark.parametrize("address", ["/api/bearer", "/api/scoped"])
def test_token_with_two_identities_reads_the_task_of_the_called_operation(shop, address):
    task = submit(address, headers={**PREFER, "Authorization": "Bearer group-shop"})
    perform(task)
    polled = Client().get(f"/async/tasks/{task.pk}/result", headers={"Authorization": "Bearer group-shop"})
    assert polled.status_code == 200


def test_caller_with_key_and_session_reads_the_task_of_the_key(anna):
    task = submit("/api/header", headers={"X-API-Key": "secret-of-one", **PREFER})
    client = Client()
    client.force_login(anna)
    found = [client.get(f"/async/tasks/{task.pk}", headers={"X-API-Key": key}) for key in ("secret-of-one", "none")]
    assert [response.status_code for response in found] == [202, 404]


def test_cookie_key_needs_a_csrf_token_to_cancel(shop, monkeypatch):
    task = submit("/api/row", headers={"X-Token": "shop", **PREFER})
    client = Client(enforce_csrf_checks=True)
    client.cookies.load({"key": "shop"})
    monkeypatch.setattr(ninja, "authenticators", lambda: (InCookie(), Bearer()))
    refused = client.delete(f"/async/tasks/{task.pk}")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    assert Client(enforce_csrf_checks=True).delete(f"/async/tasks/{task.pk}").status_code == 401


def test_401_of_a_poll_lists_the_schemes_of_the_operations():
    challenge = Client().get("/async/tasks")["WWW-Authenticate"]
    assert challenge.startswith('Bearer, Basic realm="api"')


def test_revoked_key_does_not_run(monkeypatch):
    task = submit("/api/header", headers={"X-API-Key": "secret-of-one", **PREFER})
    monkeypatch.setitem(globals(), "KEYS", {"secret-of-two"})
    assert (perform(task), ran) == (401, [])


def test_key_reassigned_to_another_row_does_not_run(shop):
    task = submit("/api/row", headers={"X-Token": "shop", **PREFER})
    shop.name = "former"
    shop.save()
    Group.objects.create(name="shop")
    assert (perform(task), ran) == (401, [])


def test_revoked_key_is_not_replaced_by_another_of_the_caller(shop, monkeypatch):
    task = submit("/api/two", headers={"X-Token": "shop", "X-Second": "shop", **PREFER})
    monkeypatch.setattr(RowInHeader, "authenticate", lambda *args: None)
    assert (perform(task), ran) == (401, [])


def test_forged_name_of_a_key_is_not_restored():
    task = submit("/api/header", headers={"X-API-Key": "secret-of-one", **PREFER})
    who = snapshot.of(task, task.captured)
    request = RequestFactory().get("/api/header", headers={"X-API-Key": "secret-of-two"})
    request.user = AnonymousUser()
    holder = Holder(authenticator=who.authenticator, found="secret-of-two", key="secret-of-two")
    setattr(request, HOLDER, holder)
    assert not restore.is_same_key(dataclasses.replace(who, name=holder.name), request)


def test_identity_with_a_password_is_refused():
    headers = {**basic("leaky:hush hush"), **SOLITUDE}
    assert Client().post("/api/basic", headers=headers).json()["error"] == "caller_unknown"


@pytest.mark.parametrize("who", ["person-anna", "group-shop"])
def test_bearer_whose_row_is_gone_does_not_run(anna, shop, who):
    task = submit("/api/bearer", headers={"Authorization": f"Bearer {who}", **PREFER})
    User.objects.update(is_active=False)
    Group.objects.all().delete()
    assert (perform(task), ran) == (401, [])


def test_bearer_is_restored_by_its_own_authenticator_only(shop, monkeypatch):
    task = submit("/api/bearer", headers={"Authorization": "Bearer group-shop", **PREFER})
    view = next(each for each in api.urls[0] if each.name == "bearer").callback
    [operation] = view.__closure__[0].cell_contents.operations
    monkeypatch.setattr(operation, "auth_callbacks", [Basic()])
    assert (perform(task), ran) == (401, [])


def test_claims_are_restored_until_they_expire(monkeypatch):
    task = submit("/api/bearer", headers={"Authorization": "Bearer claims-x", **PREFER})
    assert (perform(task), answer(task)["type"]) == (200, "dict")
    late = submit_again("/api/bearer", {"Authorization": "Bearer claims-x", **PREFER})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    assert perform(late) == 401


def submit_again(address, headers):
    ran.clear()
    return submit(address, headers=headers)


def test_token_as_its_own_identity_is_refused_and_logged(caplog):
    headers = {"Authorization": "Bearer supersecret"}
    with caplog.at_level(logging.WARNING, "django_asyncexchange"):
        refused = Client().post("/api/bearer", headers={**headers, **SOLITUDE})
    assert (refused.status_code, refused.json()["error"]) == (400, "caller_unknown")
    assert "SNAPSHOT_AUTH" in caplog.text and "supersecret" not in caplog.text
    assert Client().get("/api/bearer", headers={**headers, **PREFER}).json()["auth"] == "supersecret"
    assert not AsyncTask.objects.exists()


def test_caller_without_a_key_is_unknown_and_logged(caplog):
    with caplog.at_level(logging.WARNING, "django_asyncexchange"):
        assert Client().post("/api/inside", headers=SOLITUDE).status_code == 400
    assert "SNAPSHOT_USER" in caplog.text
    assert Client().get("/api/inside", headers=PREFER).status_code == 200


def name_of(request):
    """``SNAPSHOT_USER``"""
    return f"host {request.auth}" if getattr(request, "auth", None) == "127.0.0.1" else ""


def user_of(name, auth):
    """``RESTORE_USER``"""
    return User(username=name)


def test_snapshot_user_names_a_caller_without_a_key(settings):
    hooks = {"SNAPSHOT_USER": f"{__name__}.name_of", "RESTORE_USER": f"{__name__}.user_of"}
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, VIEWS=["/api/*"], **hooks)
    task = submit("/api/inside", headers=PREFER)
    assert (perform(task), answer(task)["auth"]) == (200, "127.0.0.1")
    assert Client().get(f"/async/tasks/{task.pk}/result").status_code == 200


def test_open_operation_needs_allow_anonymous(settings):
    assert Client().post("/api/open", headers=SOLITUDE).status_code == 401
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, VIEWS=["/api/*"], ALLOW_ANONYMOUS=True)
    assert submit("/api/open", headers=PREFER).account == ""


def test_call_is_throttled_once_and_at_submit(shop):
    task = submit("/api/counted", headers={"X-Token": "shop", **PREFER})
    assert (perform(task), Counting.asked) == (200, 1)
    ran.clear()
    submit("/api/counted", headers={"X-Token": "shop", **PREFER})
    assert Client().get("/api/counted", headers={"X-Token": "shop", **PREFER}).status_code == 429


def test_synchronous_call_is_authenticated_once(shop):
    perform(submit("/api/row", headers={"X-Token": "shop", **PREFER}))
    asked.clear()
    assert Client().get("/api/row", headers={"X-Token": "shop"}).json()["auth"] == "shop"
    assert (Client().get("/api/row").status_code, len(asked)) == (401, 2)


def test_key_runs_after_a_secret_key_rotation(settings):
    task = submit("/api/header", headers={"X-API-Key": "secret-of-one", **PREFER})
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert perform(task) == 200


def test_view_with_an_empty_closure_cell_is_accepted(anna):
    client = Client()
    client.force_login(anna)
    assert client.get("/api/lost/", headers=PREFER).status_code == 202
