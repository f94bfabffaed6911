"""Users in a database per tenant, with the same primary keys, chosen by middleware from the host."""

from __future__ import annotations

import contextvars
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask, Body

from ..services import IDLE, exchange, perform

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

OTHER = "tenant_b"
PREFER = {"Prefer": "respond-async"}
ran: list[str] = []
tenant: contextvars.ContextVar[str | None] = contextvars.ContextVar("tenant", default=None)


class Tenants:
    """A router: users are in the database of the active tenant."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return tenant.get() if model._meta.app_label == "auth" else None

    db_for_write = db_for_read

    def allow_relation(self, *rows: Any, **hints: Any) -> bool:
        return True


class Middleware:
    """Activates the tenant of the host during the request."""

    hosts: dict[str, str] = {}

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        mark = tenant.set(self.hosts.get(request.get_host()))
        try:
            return self.get_response(request)
        finally:
            tenant.reset(mark)


@allow_async
def whoami(request: HttpRequest) -> HttpResponse:
    ran.append(request.user.username)
    return HttpResponse(request.user.username)


urlpatterns = [path("whoami/", whoami), path("", include("django_asyncexchange.urls"))]


@pytest.fixture(autouse=True)
def tenants(settings, monkeypatch, tmp_path, db):
    """A second database with a user table."""
    ran.clear()
    default = connections.settings["default"]
    file = {**default, "ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "b.sqlite3", "OPTIONS": {}}
    connections.settings[OTHER] = {**file, "CONN_MAX_AGE": None}
    connection = connections.create_connection(OTHER)
    with mock.patch.dict(connections.settings, clear=True):  # Django's test runner has no name for this database yet
        connection.ensure_connection()
    connections[OTHER] = connection
    with connection.schema_editor() as editor:
        editor.create_model(User)
    monkeypatch.setattr(Middleware, "hosts", {"b.example": OTHER})
    settings.DATABASE_ROUTERS = [Tenants()]
    settings.MIDDLEWARE = [f"{__name__}.Middleware", *settings.MIDDLEWARE]
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    yield
    connections[OTHER].close()
    del connections[OTHER], connections.settings[OTHER]


@pytest.fixture
def otto(tenants):
    """A user of the default tenant."""
    return User.objects.create_user("otto", is_superuser=True)


@pytest.fixture
def anna(otto):
    """A user of the other tenant with the same primary key."""
    return User.objects.db_manager(OTHER).create_user("anna", pk=otto.pk)


@pytest.fixture
def berta(tenants):
    """A user of the other tenant whose primary key ours does not have."""
    return User.objects.db_manager(OTHER).create_user("berta", pk=77777)


def signed_in(user, host):
    client = Client(headers={"Host": host})
    client.force_login(user)
    return client


def submit(client):
    assert (client.get("/whoami/", headers=PREFER).status_code, ran) == (202, [])
    return AsyncTask.objects.get()


def test_call_runs_as_the_user_of_its_tenant(anna, otto):
    task = submit(signed_in(anna, "b.example"))
    assert perform(task) == 200
    assert bytes(task.bodies.get(kind=Body.RESPONSE).content) == b"anna"


def test_task_has_no_foreign_key_to_another_database(anna, otto):
    task = submit(signed_in(anna, "b.example"))
    assert task.owner is None
    User.objects.all().delete()
    assert perform(task) == 200


def test_user_may_be_missing_in_the_database_of_the_tasks(berta):
    task = submit(signed_in(berta, "b.example"))
    assert (perform(task), ran) == (200, ["berta"])


def test_user_of_another_tenant_with_the_same_pk_sees_nothing(anna, otto):
    task = submit(signed_in(anna, "b.example"))
    perform(task)
    for mount, address in (
        ("prefer", f"/async/tasks/{task.pk}"),
        ("cisco", f"/unifiedconfig/config/asyncrequeststatus/{task.pk}"),
        ("solitude", f"/delay/replay/{task.pk}/"),
    ):
        AsyncTask.objects.update(dialect=mount)
        who = signed_in(anna, "b.example"), signed_in(otto, "a.example")
        assert [client.get(address).status_code == 404 for client in who] == [False, True], mount
    AsyncTask.objects.update(dialect="prefer")
    assert [client.get("/async/tasks").json()["count"] for client in who] == [1, 0]


def test_users_with_the_same_pk_have_separate_idempotency_keys(anna, otto):
    headers = {**PREFER, "Idempotency-Key": "one"}
    for client in (signed_in(anna, "b.example"), signed_in(otto, "a.example")):
        for _ in range(2):
            assert client.get("/whoami/", headers=headers).status_code == 202
    assert AsyncTask.objects.count() == 2
    assert {task.account for task in AsyncTask.objects.all()} == {f":user:{OTHER}:{anna.pk}", str(otto.pk)}


def test_call_does_not_run_in_another_tenant(anna, otto, monkeypatch):
    task = submit(signed_in(anna, "b.example"))
    monkeypatch.setattr(Middleware, "hosts", {})
    assert (perform(task), task.state, ran) == (401, "API_ERROR", [])


def test_account_of_a_user_in_the_default_database_is_the_pk(otto):
    assert submit(signed_in(otto, "a.example")).account == str(otto.pk)
