"""Patience: a call that asked for nothing is answered as ever if it is quick, and led to its status if it is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection, connections
from django.test import AsyncClient, Client, RequestFactory, override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.decorators import allow_async
from django_asyncexchange.intake import patience
from django_asyncexchange.models import AsyncTask, Worker
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import presence, submit
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange, run_alone, runs, soon, stored, until
from .test_byte_fidelity import ZOO, body_of, essence

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous:Warning"),
]

SHORT = 0.05
"""Seconds of patience where nothing runs."""
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def anna(db):
    client = Client(raise_request_exception=False, headers={"Host": "testserver"})
    client.force_login(User.objects.create_user("anna", email="anna@example.com"))
    return client


@pytest.fixture(autouse=True)
def worker(db, monkeypatch):
    """There is a worker, although nothing runs by itself."""
    monkeypatch.setattr(presence, "_last_seen", -presence.SEEN_SECONDS)
    Worker.objects.create(name="here", heard=soon(seconds=-1))


def patient(seconds=SHORT, **changes):
    """``ASYNC_EXCHANGE`` with patience for all views of this file's URLs, where nothing runs."""
    views = ["/ran/*", "/answers/*", "/reveals/", "/fills/*", "/zoo/*", "/throttled/", "/raises/"]
    return override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, VIEWS=views, PATIENCE=seconds) | changes)


@pytest.fixture
def worker_thread():
    """Runs the next submitted call in another thread."""

    def act():
        try:
            run_alone(until(AsyncTask.objects.filter(state=State.PENDING).first).pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(act)


# Quick calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("animal", ZOO, ids=str)
def test_quick_call_is_answered_as_ever(anna, animal):
    Group.objects.create(pk=1, name="first")
    now = animal.call(anna)
    with patient(60, EXECUTOR="django_asyncexchange.executors.inline.Inline"):
        later = animal.call(anna)
    assert AsyncTask.objects.count() == 1 or now.status_code in (403, 404, 405)  # refused before it is accepted
    assert (later.status_code, later.reason_phrase) == (now.status_code, now.reason_phrase)
    assert varied(later) == varied(now)
    assert body_of(later) == body_of(now)
    assert essential(later.cookies) == essential(now.cookies)


def essential(cookies):
    """The lines of ``Set-Cookie``. A new secret differs, and so does the signature of messages."""
    return [name if name in ("csrftoken", "messages") else cookies[name].OutputString() for name in cookies]


def varied(response):
    """The headers; a view that may be called asynchronously has ``Vary: Prefer`` besides."""
    lines = [(name, words(text) if name == "Vary" else text) for name, text in essence(list(response.items()))]
    return sorted((name, text) for name, text in lines if text != [])


def words(text):
    return [word for word in text.split(", ") if word != "Prefer"]


@pytest.mark.urls("tests.services")
def test_call_that_a_worker_runs_in_time_is_answered_as_ever(anna, worker_thread):
    with patient(60):
        work = worker_thread()
        response = anna.post("/answers/201/")
        work.result()
    assert (response.status_code, response.content, response["X-Own"]) == (201, b"the answer", "kept")
    assert "Preference-Applied" not in response
    assert AsyncTask.objects.get().state == State.DONE


@pytest.mark.urls("tests.services")
def test_asgi_call_is_held_in_the_event_loop(worker_thread):
    client = AsyncClient()
    client.force_login(User.objects.create(username="anna"))
    with patient(60):
        work = worker_thread()
        response = async_to_sync(client.post)("/answers/201/")
        work.result()
    assert (response.status_code, response.content) == (201, b"the answer")


def test_client_that_has_the_response_gets_304(anna):
    with patient(60, EXECUTOR="django_asyncexchange.executors.inline.Inline"):
        modified = anna.get("/zoo/cacheable/").headers["Last-Modified"]
        assert anna.get("/zoo/cacheable/", headers={"If-Modified-Since": modified}).status_code == 304


@pytest.mark.parametrize(
    "headers",
    [{"If-Match": '"one"'}, {"If-Unmodified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}],
    ids=lambda each: [*each],
)
def test_precondition_of_a_response_without_a_validator_is_ignored(anna, headers):
    with patient(60, EXECUTOR="django_asyncexchange.executors.inline.Inline"):
        response = anna.get("/zoo/binary/", headers=headers)
    assert (response.status_code, "ETag" in response, AsyncTask.objects.count()) == (200, False, 1)


def test_uploaded_files_reach_the_view(anna):
    files = {"title": "two", "first": SimpleUploadedFile("a.txt", b"abc"), "second": SimpleUploadedFile("b.txt", b"")}
    now = anna.post("/zoo/upload/", files)
    files["first"].seek(0)
    with patient(60, EXECUTOR="django_asyncexchange.executors.inline.Inline"):
        assert anna.post("/zoo/upload/", files).content == now.content


def test_form_with_a_csrf_token_reaches_the_view(anna):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = anna.cookies
    strict.cookies["csrftoken"] = "s" * 32
    with patient(60, EXECUTOR="django_asyncexchange.executors.inline.Inline"):
        values = {"name": "Anna", "file": SimpleUploadedFile("a", b"abc")}
        response = strict.post("/zoo/guarded-form/", {**values, "csrfmiddlewaretoken": "s" * 32})
        refused = strict.post("/zoo/guarded-form/", {"name": "Anna"})
    assert (response.status_code, refused.status_code) == (200, 403)
    assert AsyncTask.objects.count() == 1


# Slow calls -----------------------------------------------------------------------------------------------------------

services = pytest.mark.urls("tests.services")


@services
def test_slow_get_is_redirected_to_its_status(anna):
    with patient():
        response = anna.get("/ran/")
    task = AsyncTask.objects.get()
    assert response.status_code == 303
    assert response["Location"] == f"http://testserver/async/tasks/{task.pk}?wait={SHORT:g}"
    assert response["Cache-Control"] == "no-store"
    assert response.json()["state"] == "PENDING"


@services
def test_slow_post_is_answered_with_202(anna):
    with patient():
        response = anna.post("/ran/", {"a": 1}, content_type="application/json")
    assert response.status_code == 202
    assert response["Location"].endswith(f"/async/tasks/{AsyncTask.objects.get().pk}")


@services
def test_slow_form_of_a_browser_is_redirected(anna):
    with patient():
        assert anna.post("/ran/", "a=1", content_type=FORM, headers=HTML).status_code == 303
        assert anna.post("/ran/", "a=1", content_type=FORM).status_code == 202


@services
@pytest.mark.parametrize(("after", "method", "status"), [("redirect", "post", 303), ("accepted", "get", 202)])
def test_mount_chooses_how_slow_calls_are_answered(anna, after, method, status):
    with patient(DIALECTS={"prefer": {"AFTER_PATIENCE": after}}):
        assert getattr(anna, method)("/ran/").status_code == status


@services
def test_redirects_are_held_and_end_at_the_result(anna, worker_thread):
    with patient():
        status = anna.get("/answers/200/")["Location"]
        assert anna.get(status)["Location"] == status  # it was held for as long, and leads on
        work = worker_thread()
        with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
            result = anna.get(status.replace(f"{SHORT:g}", "30"), follow=True)
        work.result()
    assert (result.status_code, result.content) == (200, b"the answer")
    assert [status for _, status in result.redirect_chain] == [303]


@services
def test_address_leads_to_itself_only_where_it_may_hold(anna):
    """Otherwise a client would follow the redirects as fast as it can."""
    with patient(MAX_WAIT_SECONDS=0):
        assert anna.get(anna.get("/ran/")["Location"]).status_code == 202


@services
@pytest.mark.parametrize("wait", ["", "-1", "soon", "1e9", "inf", "٥", "1.5.2", "9999999"])
def test_malformed_wait_of_an_address_is_ignored(anna, wait):
    task = stored(dialect="prefer", owner=User.objects.get(), account=account())
    with patient():
        assert anna.get(f"/async/tasks/{task.pk}?wait={wait}").status_code == 202


def account():
    return str(User.objects.get().pk)


@services
def test_client_that_waits_less_long_is_answered_earlier(anna):
    with patient(3600):
        response = anna.get("/ran/", headers={"Prefer": "wait=1"})
    assert response["Location"].endswith("?wait=1")


# Which views, which calls ---------------------------------------------------------------------------------------------


def of(view, dialect="prefer", method="GET", **headers):
    return patience.of(RequestFactory().generic(method, "/", headers=headers), view, conf.dialect(dialect))


@allow_async(patience=20)
def slow(request): ...


@allow_async(patience=0)
def impatient(request): ...


@allow_async
def plain(request): ...


def test_view_may_have_a_patience_of_its_own():
    with patient(5):
        assert [of(slow), of(impatient), of(plain)] == [20, 0, 5]


def test_mount_may_have_a_patience_of_its_own():
    with patient(5, DIALECTS={"prefer": {"PATIENCE": 7}}):
        assert [of(slow), of(plain)] == [20, 7]


def test_options_are_answered_at_once():
    assert of(slow, method="OPTIONS") == 0


def test_view_that_is_not_marked_is_called_at_once(anna):
    with patient(VIEWS=[]):
        assert anna.get("/zoo/binary/").status_code == 200
    assert not AsyncTask.objects.exists()


@services
def test_client_that_asks_for_later_is_not_held(anna):
    with patient(3600):
        assert anna.get("/ran/", headers={"Prefer": "respond-async"}).status_code == 202


@services
def test_run_has_no_patience(anna):
    with patient():
        anna.get("/ran/")
        runner.run(str(AsyncTask.objects.get().pk))
    assert (AsyncTask.objects.count(), runs()) == (1, 1)


# Calls that run at once -----------------------------------------------------------------------------------------------


@services
def test_without_a_worker_in_sight_the_call_runs_at_once(anna):
    Worker.objects.update(heard=soon(minutes=-5))
    with patient():
        assert anna.post("/ran/", b"abc", content_type="text/plain").json()["body"] == "abc"
    assert not AsyncTask.objects.exists()


@services
@pytest.mark.parametrize("options", [{"CAPACITY": 1}, {"RATE": 1}, {"STORED_BYTES": 1}])
def test_without_capacity_the_call_runs_at_once(anna, options):
    with patient(DIALECTS={"prefer": options}):
        anna.post("/ran/", b"abcdef", content_type="text/plain", headers={"Prefer": "respond-async"})
        assert anna.post("/ran/", b"abc", content_type="text/plain").json()["body"] == "abc"
    assert AsyncTask.objects.count() == 1


@services
def test_anonymous_caller_who_may_not_be_answered_later_is_answered_at_once():
    with patient():
        assert Client().get("/ran/").status_code == 200
    assert not AsyncTask.objects.exists()


@services
def test_body_that_is_too_large_to_be_stored_reaches_the_view_at_once(anna):
    with patient(MAX_REQUEST_BYTES=10):
        assert anna.post("/ran/", b"x" * 20, content_type="text/plain").json()["body"] == "x" * 20
    assert not AsyncTask.objects.exists()


@services
def test_key_of_another_request_is_refused(anna):
    with patient():
        anna.post("/ran/", b"a", content_type="text/plain", headers={"Idempotency-Key": "one"})
        response = anna.post("/ran/", b"b", content_type="text/plain", headers={"Idempotency-Key": "one"})
    assert (response.status_code, runs()) == (422, 0)


@services
def test_repeated_call_with_the_same_key_finds_the_same_task(anna):
    with patient():
        first = anna.post("/ran/", b"a", content_type="text/plain", headers={"Idempotency-Key": "one"})
        again = anna.post("/ran/", b"a", content_type="text/plain", headers={"Idempotency-Key": "one"})
    assert again.json()["id"] == first.json()["id"]
    assert AsyncTask.objects.count() == 1


@services
@pytest.mark.parametrize(("method", "status", "ran"), [("get", 200, 1), ("post", 503, 0)])
def test_only_a_safe_call_runs_at_once_where_its_commit_may_have_succeeded(anna, monkeypatch, method, status, ran):
    def fail(*_, **__):
        raise DatabaseError("the connection was lost")

    monkeypatch.setattr(submit.lifecycle, "accept", fail)
    with patient():
        assert getattr(anna, method)("/ran/").status_code == status
    assert runs() == ran


@services
def test_view_of_a_call_that_runs_at_once_sees_the_query_that_a_middleware_has_changed(rf, anna):
    with patient(), override_settings(MIDDLEWARE=[*conf.project("MIDDLEWARE")[:-1], f"{__name__}.Changing", LAST]):
        Worker.objects.all().delete()
        assert anna.get("/ran/?a=1").wsgi_request.GET == {"changed": ["yes"]}


LAST = "django_asyncexchange.middleware.AsyncExchangeMiddleware"


def Changing(get_response):
    def middleware(request):
        request.GET = {"changed": ["yes"]}
        return get_response(request)

    return middleware


# The connection -------------------------------------------------------------------------------------------------------


@services
def test_long_wait_holds_no_database_connection(anna, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("the connection of a database in memory is never closed")
    held = []
    monkeypatch.setattr("django_asyncexchange.tasks.waiting.SHORT", 0.01)
    close = connection.close
    monkeypatch.setattr(connection, "close", lambda: (held.append(1), close())[1])
    with patient(0.1):
        anna.get("/ran/")
    assert held


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/logout/"])
def test_login_and_logout_run_at_once_whatever_views_are_listed(path):
    User.objects.create_superuser("boss", password="secret")
    listed = {"VIEWS": ["/*"], "PATIENCE": SHORT, "ALLOW_ANONYMOUS": True, "EXECUTOR": IDLE}
    caller = Client()
    if path.endswith("logout/"):
        caller.login(username="boss", password="secret")
    with override_settings(ASYNC_EXCHANGE=exchange(**listed)):
        response = caller.post(path, {"username": "boss", "password": "secret", "next": "/admin/"})
    assert "sessionid" in response.cookies
    assert AsyncTask.objects.count() == 0
