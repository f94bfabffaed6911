"""Canaries: each credential is sent along, and then searched for in everything that is stored, queued or logged.

Two tables are left out: Django's ``django_session`` holds session keys and REST framework's ``authtoken_token``
holds tokens, before any call and without us; statements on these tables are left out of the log as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.tasks.submit import rerun
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("moved_mounts"),
]

NOT_OURS = {"django_session", "authtoken_token"}
CSRF = "canarycsrf" + "0" * 22
HEADERS = {
    "X-Api-Key": "canary-api-key",
    "X-Auth-Token": "canary-auth-token",
    "X-Client-Secret": "canary-client-secret",
    "X-Password": "canary-password",
    "Proxy-Authorization": "Basic canary-proxy",
    "X-Forwarded-User": "canary-forwarded-user",
    "X-CSRFToken": CSRF,
}
QUERY = {"token": "canary-query-token", "api_key": "canary-query-key", "API%5Fkey": "canary-encoded-key"}
COOKIES = {"csrftoken": CSRF, "other": "canary-cookie"}
BODIES = {
    "json": {"data": {"name": "x" * 100}, "content_type": "application/json"},
    "form": {"data": {"name": "x" * 100}},
    "form with token": {"data": {"name": "x" * 100, "csrfmiddlewaretoken": CSRF}},
    "plain form": {"data": f"csrfmiddlewaretoken={CSRF}&x=1", "content_type": "application/x-www-form-urlencoded"},
    "large": {"data": b"x" * 200_000, "content_type": "application/octet-stream"},
}


def digests(request):
    return HttpResponse(hashlib.sha256(request.body).hexdigest(), content_type="text/plain")


def fails(request):
    raise RuntimeError("a view's own mistake")


class Rest(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    def post(self, request):
        return Response({"size": len(request.body)})


for view in (digests, fails, Rest):
    view.async_exchange = True

urlpatterns = [
    path("digests/", digests),
    path("fails/", fails),
    path("rest/", Rest.as_view()),
    path("", include("django_asyncexchange.urls")),
]


def mounted(**changes):
    return exchange(DIALECTS={"solitude": {}, "moysklad": {}, "prefer": {}}, **changes)


# The search -----------------------------------------------------------------------------------------------------------


def rows() -> Iterator[tuple[str, bytes]]:
    """Each value of each column of each table."""
    with connection.cursor() as cursor:
        for table in sorted(set(connection.introspection.table_names()) - NOT_OURS):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    yield f"{table}.{column}", raw


def messages() -> Iterator[tuple[str, bytes]]:
    """The queued messages, unpacked."""
    for message in OrmQ.objects.all():
        yield "a message", repr(SignedPackage.loads(message.payload)).encode()


def files() -> Iterator[tuple[str, bytes]]:
    for file in settings.STORAGES["asyncexchange"]["OPTIONS"]["location"].rglob("*"):
        if file.is_file():
            yield str(file), file.read_bytes()


class Recorder(logging.Handler):
    """Keeps everything that is logged, tracebacks included."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        line = self.format(record)
        if record.name != "django.db.backends" or not any(table in line for table in NOT_OURS):
            self.lines.append((record.name, line.encode()))


@contextlib.contextmanager
def recording():
    """Enable all loggers of the process at level DEBUG."""
    listener = Recorder()
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    deaf = [logger for logger in loggers if not logger.propagate or logger is logging.root]
    connection.force_debug_cursor = True
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    for logger in deaf:
        logger.addHandler(listener)
    try:
        yield listener
    finally:
        connection.force_debug_cursor = False
        for logger in deaf:
            logger.removeHandler(listener)
        for logger, level, disabled in before:
            logger.setLevel(level)
            logger.disabled = disabled


@pytest.fixture
def logs():
    with recording() as listener:
        yield listener.lines


def found(canaries, logs):
    """Where any of ``canaries`` is stored, queued or logged."""
    places = [*rows(), *messages(), *files(), *logs]
    assert len(places) > 20
    return {(where, canary) for where, text in places for canary in canaries if canary.encode() in text}


# The calls ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna")


@pytest.fixture
def client(anna):
    """Anna's browser, with CSRF checks."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(anna)
    client.cookies.load(COOKIES)
    return client


@pytest.fixture(autouse=True)
def clean():
    """Delete the files that the test has left behind."""
    before = {where for where, _ in files()}
    yield
    place = settings.STORAGES["asyncexchange"]["OPTIONS"]["location"]
    for file in place.rglob("*"):
        if file.is_file() and str(file) not in before:
            file.unlink()


def ask(client, dialect, to="digests", body="json", **headers):
    """Submit a call with every canary; return the canaries."""
    secret = "&".join(f"{name}={text}" for name, text in QUERY.items())
    headers = {"Authorization": "Bearer canary-authorization", **HEADERS, **headers}
    if dialect == "moysklad":
        response = client.get(f"/{to}/?async=true&{secret}&x=1", headers=headers)
    else:
        trigger = {"solitude": {"Solitude-Async": "yes"}, "prefer": {"Prefer": "respond-async"}}[dialect]
        response = client.post(f"/{to}/?{secret}&x=1", headers={**headers, **trigger}, **BODIES[body])
    assert response.status_code == 202
    cookies = [morsel.value for morsel in client.cookies.values()]
    return {*HEADERS.values(), *QUERY.values(), *cookies, headers["Authorization"].partition(" ")[2], "canary-"}


CALLS = pytest.mark.parametrize(
    ("dialect", "body"),
    [("moysklad", "json")] + [(dialect, body) for dialect in ("solitude", "prefer") for body in BODIES],
)


@CALLS
def test_finished_call_leaves_no_credential(client, logs, dialect, body):
    with override_settings(ASYNC_EXCHANGE=mounted()):
        canaries = ask(client, dialect, body=body)
    assert AsyncTask.objects.get().status_code == 200
    assert found(canaries, logs) == set()


@CALLS
def test_pending_call_leaves_no_credential(client, logs, dialect, body):
    with override_settings(ASYNC_EXCHANGE=mounted(EXECUTOR=IDLE)):
        canaries = ask(client, dialect, body=body)
    assert found(canaries, logs) == set()


@pytest.mark.parametrize("dialect", ["moysklad", "solitude", "prefer"])
def test_failed_call_leaves_no_credential(client, logs, dialect):
    with override_settings(ASYNC_EXCHANGE=mounted()):
        canaries = ask(client, dialect, to="fails")
    assert AsyncTask.objects.get().state == "ERROR"
    assert any(b"a view's own mistake" in line for _, line in logs)
    assert found(canaries, logs) == set()


@pytest.mark.parametrize("dialect", ["solitude", "prefer"])
def test_token_is_neither_stored_nor_logged(anna, logs, dialect):
    token = Token.objects.create(user=anna, key="canary" + "7" * 34)
    client = Client(raise_request_exception=False)
    with override_settings(ASYNC_EXCHANGE=mounted()):
        canaries = ask(client, dialect, to="rest", Authorization=f"Token {token.key}")
    assert AsyncTask.objects.get().status_code == 200
    assert AsyncTask.objects.get().auth_reference
    assert found(canaries, logs) == set()


@pytest.mark.parametrize("dialect", ["moysklad", "solitude", "prefer"])
def test_django_q2_message_has_no_credential(client, logs, dialect):
    with override_settings(ASYNC_EXCHANGE=mounted(EXECUTOR="django_asyncexchange.executors.django_q.DjangoQ")):
        canaries = ask(client, dialect, body="large" if dialect == "solitude" else "json")
        task = AsyncTask.objects.get()
        assert SignedPackage.loads(OrmQ.objects.get().payload)["args"] == (str(task.pk),)
        assert found(canaries, logs) == set()
        runner.run(str(task.pk))
        assert AsyncTask.objects.get().state == "DONE"
        assert found(canaries, logs) == set()


def test_kept_request_and_rerun_leave_no_credential(client, logs):
    with override_settings(ASYNC_EXCHANGE=mounted(KEEP_REQUESTS=True)):
        canaries = ask(client, "solitude")
        rerun(AsyncTask.objects.get())
        assert AsyncTask.objects.filter(state="DONE").count() == 2
        assert found(canaries, logs) == set()


def test_task_endpoints_log_no_credential(client, logs):
    with override_settings(ASYNC_EXCHANGE=mounted()):
        canaries = ask(client, "moysklad")
        pk = AsyncTask.objects.get().pk
        for address in (f"/async/{pk}", f"/async/{pk}/result", "/async", "/async?filter=request~async", "/async/x"):
            client.get(address, headers=HEADERS)
        assert found(canaries, logs) == set()


@pytest.mark.parametrize("headers", [{}, {"Solitude-Async": "yes"}])
def test_refused_call_leaves_no_credential(logs, headers):
    client = Client(raise_request_exception=False)
    with override_settings(ASYNC_EXCHANGE=mounted()):
        refused = client.post("/rest/?token=canary-query-token", headers={**HEADERS, **headers})
    assert (refused.status_code, AsyncTask.objects.count()) == (401, 0)
    assert found({"canary-"}, logs) == set()


# The search itself ----------------------------------------------------------------------------------------------------


def test_search_finds_what_is_stored_queued_and_logged(client, logs):
    with override_settings(ASYNC_EXCHANGE=mounted(EXECUTOR=IDLE)):
        ask(client, "solitude", body="large", **{"X-Harmless": "bait-in-a-header"})
        client.post(
            "/digests/?x=bait-in-a-query", b"bait-in-a-body", "text/plain", headers={"Solitude-Async": "yes", **HEADERS}
        )
    logging.getLogger("django-q").debug("bait-in-a-log")
    OrmQ.objects.create(key="x", payload=SignedPackage.dumps({"args": ("bait-in-a-message",)}))
    baits = {f"bait-in-a-{place}" for place in ("query", "log", "message")}
    assert {canary for _, canary in found(baits, logs)} == baits
    assert any("bait-in-a-header" in str(task.captured) for task in AsyncTask.objects.all())
    assert any(text.startswith(b"gAAAA") for _, text in files())  # how sealed text begins
    assert any(name == "django.db.backends" for name, _ in logs)
    assert Body.objects.exclude(name="").exists()
