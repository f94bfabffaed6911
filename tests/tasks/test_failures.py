"""Why a call failed is stored for the project's staff, and deleted with its result.

As a module it is also a URLconf.
"""

from __future__ import annotations

import html

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.views.decorators.debug import sensitive_variables

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import failures, lifecycle, pruning
from django_asyncexchange.worker import runner

from .. import services
from ..services import IDLE, captured, captured_by_asgi, exchange, soon, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SECRET = "hunter2"


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@sensitive_variables()
def guards(request):
    held = SECRET
    raise ValueError(f"{len(held)} letters")


def tells(request):
    raise ValueError(f"https://example.com/?token={SECRET}&a=1 {{'password': '{SECRET}'}} api_key={SECRET} kept=this")


def wraps(request):
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise LookupError("the outcome") from error


def screams(request):
    raise ValueError("x" * 10_000_000)


def falls(request):
    return falls(request)


def mumbles(request):
    raise Unprintable


def scripts(request):
    raise ValueError("<script>alert(1)</script>")


async def sinks(request):
    raise RuntimeError("an asynchronous mistake")


def tears(request):
    def chunks():
        yield b"x"
        raise OSError("the source is gone")

    return StreamingHttpResponse(chunks())


def quits(request):
    raise SystemExit(3)


def refuses(request):
    return HttpResponse(status=503)


VIEWS = (guards, tells, wraps, screams, falls, mumbles, scripts, sinks, tears, quits, refuses)
urlpatterns = [
    *services.urlpatterns,
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    *(path(f"{view.__name__}/", view) for view in VIEWS),
]


@pytest.fixture(autouse=True)
def defaults(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


def ran(view, **more):
    task = stored(to=f"/{view}/", **more) if isinstance(view, str) else stored(to=view, **more)
    runner.run(str(task.pk))
    task.refresh_from_db()
    assert task.state == State.ERROR
    return task


def kept(task):
    """The stored failure."""
    body = task.bodies.filter(kind=Body.FAILURE).first()
    return bodies.read(body).decode() if body else None


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("raises", "RuntimeError: a view's own mistake"),
        ("tears", "OSError: the source is gone"),
        ("quits", "SystemExit: 3"),
        ("mumbles", "Unprintable"),
        ("falls", "RecursionError"),
        ("wraps", "LookupError: the outcome"),
        ("wraps", "KeyError: 'the cause'"),
    ],
)
def test_exception_of_a_view_is_stored_with_its_traceback(view, said):
    text = kept(ran(view))
    assert said in text and f"in {'chunks' if view == 'tears' else view}\n" in text


def test_exception_of_an_async_view_is_stored():
    text = kept(ran(captured_by_asgi("/sinks/")))
    assert "RuntimeError: an asynchronous mistake" in text and "in sinks" in text


def test_error_response_without_an_exception_has_no_failure():
    task = ran("refuses")
    assert (task.status_code, kept(task)) == (503, None)


def test_storage_error_is_stored(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(storages["asyncexchange"], "save", refuse)
    task = ran("fills/200000")
    assert task.reason == Reason.STORAGE and "no space left" in kept(task)


def test_response_over_max_result_bytes_is_stored_as_too_large(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, MAX_RESULT_BYTES=10)
    task = ran("fills/11")
    assert task.reason == Reason.STORAGE and "TooLarge" in kept(task)


def test_interrupted_run_stores_its_traceback(settings):
    dialects = {"moysklad": {"PREFIX": "/api/remap/1.2", "RUN_LIMIT": 0.3}}
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, DIALECTS=dialects)
    task = ran("waits")
    assert task.reason == Reason.RUN_TIMEOUT and "in waits" in kept(task)


@pytest.mark.parametrize("view", ["guards", "tells"])
def test_secrets_are_not_stored(view):
    assert SECRET not in kept(ran(view))


def test_rest_of_a_redacted_message_is_stored():
    text = kept(ran("tells"))
    assert "a=1" in text and "kept=this" in text and "{'password': '***'}" in text


def test_length_is_bounded():
    text = kept(ran("screams"))
    assert "ValueError" in text and len(text) < 3 * failures.MAX_LENGTH


@pytest.mark.parametrize("text", ["half a pair: \ud800", "a zero: \0"], ids=["surrogate", "zero"])
def test_unstorable_characters_are_replaced(text):
    task = stored(to="/ran/")
    lifecycle.fail(lifecycle.claim(task.pk), Reason.EXCEPTION, text)
    assert kept(task).startswith(text[:6])


def test_failure_is_sealed():
    body = ran("raises").bodies.get(kind=Body.FAILURE)
    assert body.is_sealed and b"RuntimeError" not in bytes(body.content)


@pytest.mark.parametrize("view", ["raises", "scripts", "screams"])
def test_admin_shows_the_failure_escaped(view, admin_client):
    task = ran(view)
    page = admin_client.get(f"/admin/asyncexchange/asynctask/{task.pk}/change/").content.decode()
    assert "Traceback (most recent call last)" in html.unescape(page) and "<script>alert" not in page


def test_admin_says_that_a_failure_cannot_be_unsealed(admin_client, settings):
    task = ran("raises")
    with override_settings(SECRET_KEY_FALLBACKS=[], ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        body = task.bodies.get(kind=Body.FAILURE)
        Body.objects.filter(pk=body.pk).update(content=b"gAAAA-of-another-key\n")
        page = admin_client.get(f"/admin/asyncexchange/asynctask/{task.pk}/change/").content.decode()
    assert "The stored body cannot be read." in page


def test_clients_never_see_the_failure():
    anna = User.objects.create(username="anna")
    client = Client()
    client.force_login(anna)
    accepted = client.get("/raises/", headers={"Prefer": "respond-async"})
    task = AsyncTask.objects.get()
    runner.run(str(task.pk))
    task.refresh_from_db()
    assert kept(task)
    for address in (accepted["Location"], f"{accepted['Location']}/result", "/async/tasks"):
        assert b"own mistake" not in client.get(address, follow=True).content


def test_prune_deletes_the_failure_with_the_result():
    task = ran("raises")
    AsyncTask.objects.filter(pk=task.pk).update(deletion_date=soon(seconds=-1))
    pruning.prune()
    assert not task.bodies.exists()


def test_failure_does_not_count_as_stored_bytes_of_the_account():
    task = ran("quits")
    assert kept(task) and Body.objects.total_size(task.dialect, task.account) == 0


def test_failure_of_a_cancelled_task_is_not_stored():
    task = stored(to=captured("/raises/"))
    claimed = lifecycle.claim(task.pk)
    lifecycle.cancel(task)
    assert not lifecycle.fail(claimed, Reason.EXCEPTION, "why")
    assert kept(task) is None
