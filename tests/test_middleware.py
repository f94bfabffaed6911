"""The middleware: which calls it accepts, what it does to them, and that it leaves all others alone."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import Client, RequestFactory

from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base import Dialect, Trigger
from django_asyncexchange.dialects.prefer.dialect import Prefer
from django_asyncexchange.dialects.solitude import Solitude
from django_asyncexchange.middleware import AsyncExchangeMiddleware, detect
from django_asyncexchange.models import AsyncTask, Body

from .project.views import EVERY_BYTE

REPORT = "/api/remap/1.2/zoo/place/"
KLADANA = "/kladana/api/remap/1.2/zoo/place/"
SOLITUDE = {"Solitude-Async": "yes"}
FORM = "application/x-www-form-urlencoded"
SECRET = "s" * 32
PREFER = "django_asyncexchange.dialects.prefer.Prefer"


class PreferHere(Prefer):
    """Covers its own prefix only."""

    covers = Dialect.covers


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna", password="secret")


@pytest.fixture
def client(anna):
    client = Client(raise_request_exception=False)
    client.force_login(anna)
    return client


@pytest.fixture
def listed(settings):
    """The reports of the zoo may be called asynchronously in MoySklad's dialect."""
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/api/remap/1.2/zoo/*", "/kladana/*"]}


def seen(client, accepted):
    """What the view ``tests.project.views.place`` saw in its deferred run."""
    return json.loads(client.get(accepted.json()["result"]).json()["content"])


# Synchronous calls ----------------------------------------------------------------------------------------------------


class Unreadable(io.RawIOBase):
    """A body that must not be read."""

    def read(self, *args):
        raise AssertionError("the body was read")

    readline = readinto = read


def test_synchronous_call_passes_through_unchanged():
    answer = HttpResponse()
    request = RequestFactory().post("/anything/?asynchronous=1")
    assert AsyncExchangeMiddleware(lambda given: answer if given is request else None)(request) is answer


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/zoo/place/", {"HTTP_ACCEPT": "*/*"}),
        (f"{REPORT}?limit=1", {}),
        ("/async_apis/zoo/", {"HTTP_SOLITUDE": "yes", "HTTP_PREFERRED": "respond-async"}),
    ],
)
def test_dialects_are_not_asked_without_their_trigger(monkeypatch, path, asked):
    for mount in conf.mounts:
        monkeypatch.setattr(mount, "wants_async", lambda call, name=mount.name: pytest.fail(name))
    assert detect(RequestFactory().get(path, **asked)) is None


@pytest.mark.parametrize("trigger", Trigger)
def test_dialect_without_a_trigger_name_is_asked_about_each_call(trigger, monkeypatch):
    monkeypatch.setattr(Solitude, "TRIGGER", trigger)
    monkeypatch.setattr(Solitude, "TRIGGER_NAME", "")
    assert Solitude(name="nameless", prefix="/zoo").may_want_async("/zoo/place/", {"QUERY_STRING": ""})


def test_synchronous_call_costs_no_query(django_assert_num_queries):
    # The fixture fails on a query; without the mark ``django_db`` the database would refuse it as well.
    middleware = AsyncExchangeMiddleware(lambda request: HttpResponse())
    middleware(RequestFactory().post("/zoo/place/?a=1", {"a": "b"}))


def test_body_of_a_synchronous_call_is_not_read():
    request = RequestFactory().post("/zoo/raw/", b"x" * 100, content_type="text/plain")
    request._stream = Unreadable()
    assert AsyncExchangeMiddleware(lambda request: HttpResponse("passed"))(request).content == b"passed"


@pytest.mark.django_db
def test_synchronous_view_runs_without_our_queries(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.post("/zoo/raw/", b"abc", content_type="text/plain").content == b"abc"


def test_async_task_is_none_in_a_synchronous_view():
    tasks = []
    AsyncExchangeMiddleware(lambda request: tasks.append(request.async_task))(RequestFactory().get("/"))
    assert tasks == [None]


@pytest.mark.seed("S004-1")
@pytest.mark.parametrize("headers", [{}, {"Solitude-Async": ""}, {"Solitude-Async": " "}])
def test_empty_or_missing_header_is_synchronous(client, db, headers):
    assert client.post("/zoo/place/", headers=headers).json()["path"] == "/zoo/place/"
    assert not AsyncTask.objects.exists()


@pytest.mark.seed("S002-16", "S002-17")
@pytest.mark.parametrize(
    "query", ["", "?async=false", "?async=FALSE", "?asyncs=true", "?a=async", "?async=true&async=false"]
)
def test_report_without_async_true_is_synchronous(client, db, listed, query):
    assert client.get(REPORT + query).status_code == 200
    assert not AsyncTask.objects.exists()


def test_async_parameter_outside_a_mount_belongs_to_the_view(client, db):
    assert client.get("/zoo/place/?async=true").json()["query"] == [["async", ["true"]]]


# Which dialect accepts a call -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestMounts:
    def dialects(self):
        return list(AsyncTask.objects.values_list("dialect", flat=True))

    def test_mount_accepts_calls_below_its_prefix(self, client, listed):
        assert client.get(f"{REPORT}?async=true").status_code == 202
        assert self.dialects() == ["moysklad"]

    def test_longest_prefix_wins(self, client, settings):
        settings.ASYNC_EXCHANGE = {
            **settings.ASYNC_EXCHANGE,
            "VIEWS": ["/api/*"],
            "DIALECTS": {
                "short": {"CLASS": "django_asyncexchange.dialects.moysklad.MoySklad", "PREFIX": "/api"},
                "moysklad": {"PREFIX": "/api/remap/1.2"},
            },
        }
        client.get(f"{REPORT}?async=true")
        assert self.dialects() == ["moysklad"]

    def test_prefer_mount_with_its_own_paths_wins_over_one_for_all(self, client, settings, moved_mounts):
        """Even if the other's prefix is longer: it is for its tasks, and its calls are everywhere."""
        everywhere = {"CLASS": PREFER, "PREFIX": "/a/much/longer/prefix"}
        mounts = {
            "everywhere": everywhere,
            "here": {"CLASS": f"{__name__}.PreferHere", "PREFIX": "/zoo"},
            "prefer": None,
        }
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/*"], "DIALECTS": mounts}
        client.get("/zoo/place/", headers={"Prefer": "respond-async"})
        client.get("/api/remap/1.2/zoo/place/", headers={"Prefer": "respond-async"})
        assert sorted(self.dialects()) == ["everywhere", "here"]

    def test_prefer_mount_that_lists_the_view_wins(self, client, settings, moved_mounts):
        others = {"CLASS": PREFER, "PREFIX": "/a/much/longer/prefix", "VIEWS": ["/others/*"]}
        mounts = {"others": others, "these": {"CLASS": PREFER, "PREFIX": "/these", "VIEWS": ["/zoo/*"]}, "prefer": None}
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "DIALECTS": mounts}
        assert client.get("/zoo/place/", headers={"Prefer": "respond-async"}).status_code == 202
        assert self.dialects() == ["these"]

    def test_prefix_ends_at_a_slash(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "DIALECTS": {"moysklad": {"PREFIX": "/zo"}}}
        assert client.get("/zoo/place/?async=true").status_code == 200
        assert self.dialects() == []

    def test_header_wins_over_the_query(self, client, listed):
        response = client.get(f"{REPORT}?async=true", headers=SOLITUDE)
        assert (response.status_code, response.headers["Allow"]) == (405, "PATCH, POST, PUT")

    def test_header_and_query_together_make_one_task(self, client, listed):
        response = client.post(f"{REPORT}?async=true", headers=SOLITUDE)
        assert response.status_code == 202
        assert self.dialects() == ["solitude"]

    def test_query_trigger_of_another_dialect_reaches_the_view(self, client, listed):
        accepted = client.post(f"{REPORT}?async=true", headers=SOLITUDE)
        assert seen(client, accepted)["raw"] == "async=true"

    @pytest.mark.seed("S004-3", "S004-4", "S004-5", "S004-6", "S004-9", "S004-10", "S004-11")
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    def test_call_with_the_header_is_accepted(self, client, method):
        response = client.generic(method, "/zoo/place/", headers=SOLITUDE)
        task = AsyncTask.objects.get()
        assert response.status_code == 202
        assert response.json() == {"replay": f"/delay/replay/{task.pk}/", "result": f"/delay/result/{task.pk}/"}

    @pytest.mark.seed("S004-7")
    @pytest.mark.parametrize("value", ["yes", "no", "0", "false", "да".encode().decode("latin-1")])
    def test_any_value_of_the_header_is_a_trigger(self, client, value):
        assert client.post("/zoo/place/", headers={"Solitude-Async": value}).status_code == 202

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "PROPFIND"])
    def test_other_method_with_the_header_is_a_405(self, client, method):
        response = client.generic(method, "/zoo/place/", headers=SOLITUDE)
        assert (response.status_code, response.headers["Allow"]) == (405, "PATCH, POST, PUT")
        assert self.dialects() == []

    @pytest.mark.seed("S001-4", "S001-5", "S001-6", "S001-7", "S001-8", "S002-10", "S002-11", "S002-12", "S002-13")
    def test_report_with_async_true_is_accepted(self, client, listed):
        response = client.get(f"{REPORT}?async=true")
        base = f"http://testserver/api/remap/1.2/async/{AsyncTask.objects.get().pk}"
        assert (response.status_code, response.content) == (202, b"")
        assert (response.headers["Location"], response.headers["Content-Location"]) == (f"{base}/result", base)

    @pytest.mark.parametrize("spelling", ["async=true", "async=TRUE", "async=%74rue", "a=1&async=false&async=true"])
    def test_every_spelling_of_async_true_is_a_trigger(self, client, listed, spelling):
        assert client.get(f"{REPORT}?{spelling}").status_code == 202

    @pytest.mark.parametrize("value", ["", "1", "yes", "да", "%FF"])
    def test_other_value_of_async_is_refused(self, client, listed, value):
        response = client.get(f"{REPORT}?async={value}")
        assert response.status_code == 400
        assert response.json()["errors"][0]["code"] == 1084
        assert self.dialects() == []

    @pytest.mark.seed("S002-14", "S002-15")
    @pytest.mark.parametrize("paging", ["limit=10", "offset=0", "limit=", "offset"])
    def test_paging_with_async_true_is_refused(self, client, listed, paging):
        response = client.get(f"{REPORT}?async=true&{paging}")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (412, 61001)
        assert self.dialects() == []

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
    def test_only_reports_are_accepted(self, client, listed, method):
        response = client.generic(method, f"{REPORT}?async=true")
        assert response.status_code == 412
        assert self.dialects() == []

    def test_task_is_served_by_its_own_dialect_only(self, client, listed, settings):
        accepted = client.get(f"{REPORT}?async=true").headers["Content-Location"]
        assert client.get(accepted.replace("/api/", "/kladana/api/")).status_code == 404
        assert client.get(f"/delay/result/{AsyncTask.objects.get().pk}/").status_code == 404


# What the deferred run sees -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestRun:
    def document(self, client, accepted):
        return client.get(client.get(accepted.headers["Location"]).headers["Location"]).json()

    @pytest.mark.parametrize(
        ("query", "left"),
        [
            ("async=true", ""),
            ("a=1&async=true&b=%D1%8F+x&a=2", "a=1&b=%D1%8F+x&a=2"),
            ("a&async=false&&async=true&b=", "a&&b="),
        ],
    )
    def test_view_does_not_see_the_trigger(self, client, listed, query, left):
        assert self.document(client, client.get(f"{REPORT}?{query}"))["raw"] == left

    @pytest.mark.seed("S001-18", "S002-46")
    def test_stored_url_has_the_trigger(self, client, listed):
        client.get(f"{REPORT}?b=2&async=true&a=1")
        assert AsyncTask.objects.get().url == f"http://testserver{REPORT}?b=2&async=true&a=1"

    def test_deferred_run_is_not_deferred_again(self, client, listed):
        assert self.document(client, client.get(f"{REPORT}?async=true"))["method"] == "GET"
        assert AsyncTask.objects.count() == 1

    def test_deferred_run_with_another_trigger_is_not_deferred_again(self, client, listed):
        accepted = client.post("/api/remap/1.2/zoo/place/?async=true", headers=SOLITUDE)
        assert seen(client, accepted)["method"] == "POST"
        assert AsyncTask.objects.count() == 1

    def test_view_gets_its_task(self, client):
        accepted = client.post("/zoo/task/", headers=SOLITUDE)
        task = AsyncTask.objects.get()
        assert seen(client, accepted) == {
            "id": str(task.pk),
            "url": "http://testserver/zoo/task/",
            "state": "PROCESSING",
        }

    def test_query_read_by_earlier_middleware_is_reset_for_the_run(self, client, listed, settings):
        settings.MIDDLEWARE = ["tests.project.middleware.Curious", *settings.MIDDLEWARE]
        assert self.document(client, client.get(f"{REPORT}?async=true&a=1"))["query"] == [["a", ["1"]]]

    def test_body_read_by_earlier_middleware_is_captured(self, client, settings):
        settings.MIDDLEWARE = ["tests.project.middleware.Curious", *settings.MIDDLEWARE]
        accepted = client.post("/zoo/raw/", EVERY_BYTE, content_type="application/octet-stream", headers=SOLITUDE)
        assert client.get(accepted.json()["replay"]).content == EVERY_BYTE

    def test_form_read_by_earlier_middleware_is_captured(self, client, settings):
        settings.MIDDLEWARE = ["tests.project.middleware.Curious", *settings.MIDDLEWARE]
        accepted = client.post("/zoo/form/", "a=1", content_type=FORM, headers=SOLITUDE)
        assert client.get(accepted.json()["replay"]).json() == {"a": ["1"]}

    def test_upload_read_by_earlier_middleware_is_captured(self, client, settings):
        settings.MIDDLEWARE = ["tests.project.middleware.Curious", *settings.MIDDLEWARE]
        accepted = client.post("/zoo/upload/", {"a": "1"}, headers=SOLITUDE)
        assert client.get(accepted.json()["replay"]).json()["fields"] == {"a": ["1"]}


# Order of middleware --------------------------------------------------------------------------------------------------

OURS = "django_asyncexchange.middleware.AsyncExchangeMiddleware"


@pytest.mark.django_db  # checks of models ask what the database can do
def test_check_reports_middleware_after_ours(settings):
    settings.MIDDLEWARE = [OURS, *(name for name in settings.MIDDLEWARE if name != OURS)]
    assert "asyncexchange.E002" in {message.id for message in run_checks()}


@pytest.mark.django_db  # checks of models ask what the database can do
def test_check_reports_missing_middleware(settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != OURS]
    assert "asyncexchange.E001" in {message.id for message in run_checks()}


@pytest.mark.django_db  # checks of models ask what the database can do
def test_check_passes_with_ours_last():
    assert not {"asyncexchange.E001", "asyncexchange.E002"} & {message.id for message in run_checks()}


# CSRF -----------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestCsrf:
    @pytest.fixture
    def browser(self, anna):
        browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
        browser.force_login(anna)
        browser.cookies["csrftoken"] = SECRET
        return browser

    def test_form_without_a_token_is_refused(self, browser):
        response = browser.post("/zoo/guarded-form/", {"name": "Anna"}, headers=SOLITUDE)
        assert response.status_code == 403
        assert not AsyncTask.objects.exists()

    def test_csrf_refusal_has_the_dialects_format(self, browser):
        response = browser.post("/zoo/guarded-form/", {"name": "Anna"}, headers=SOLITUDE)
        assert response.json()["error"] == "forbidden"

    def test_synchronous_csrf_refusal_is_djangos(self, browser):
        assert (
            browser.post("/zoo/guarded-form/", {"name": "Anna"}).headers["Content-Type"] == "text/html; charset=utf-8"
        )

    @pytest.mark.parametrize("content_type", [FORM, None])
    def test_form_with_a_token_in_its_body_is_accepted(self, browser, content_type):
        fields = {"name": "Anna", "csrfmiddlewaretoken": SECRET}
        values = {} if content_type is None else {"content_type": content_type}
        data = fields if content_type is None else f"name=Anna&csrfmiddlewaretoken={SECRET}"
        accepted = browser.post("/zoo/guarded-form/", data, headers=SOLITUDE, **values)
        assert accepted.status_code == 202
        assert browser.get(accepted.json()["replay"]).content == b"saved Anna"

    def test_body_with_a_token_in_a_header_is_accepted(self, browser):
        headers = {**SOLITUDE, "X-CSRFToken": SECRET}
        accepted = browser.post("/zoo/guarded-form/", "name=Anna", content_type=FORM, headers=headers)
        assert browser.get(accepted.json()["replay"]).content == b"saved Anna"

    def test_drf_view_with_a_session_needs_a_token(self, browser):
        response = browser.post("/zoo/rest/", b"{}", content_type="application/json", headers=SOLITUDE)
        assert (response.status_code, response.json()) == (403, {"detail": "CSRF Failed: CSRF token missing."})
        assert not AsyncTask.objects.exists()

    def test_drf_view_accepts_a_form_with_a_token(self, browser):
        data = f"name=a&amount=1&csrfmiddlewaretoken={SECRET}"
        accepted = browser.post("/zoo/rest/", data, content_type=FORM, headers=SOLITUDE)
        assert accepted.status_code == 202
        assert browser.get(accepted.json()["replay"]).status_code == 201


# Refusals before a view -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
class TestRefusals:
    def test_unknown_url_is_a_404_in_solitudes_format(self, client):
        response = client.post("/nowhere/", headers=SOLITUDE)
        assert (response.status_code, response.headers["Solitude-Async"], response.content) == (404, "no", b"")
        assert not AsyncTask.objects.exists()

    def test_unknown_url_is_a_404_in_moysklads_format(self, client):
        response = client.get("/api/remap/1.2/nowhere?async=true")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 1002)
        assert not AsyncTask.objects.exists()

    def test_body_over_max_request_bytes_is_refused(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "MAX_REQUEST_BYTES": 10}
        response = client.post("/zoo/raw/", b"x" * 11, content_type="text/plain", headers=SOLITUDE)
        assert (response.status_code, response.json()["error"]) == (413, "too_large")
        assert not AsyncTask.objects.exists()
        assert not Body.objects.exists()

    def test_body_of_max_request_bytes_is_accepted(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "MAX_REQUEST_BYTES": 10}
        assert client.post("/zoo/raw/", b"x" * 10, content_type="text/plain", headers=SOLITUDE).status_code == 202

    def test_synchronous_body_has_no_limit(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "MAX_REQUEST_BYTES": 10}
        assert client.post("/zoo/raw/", b"x" * 11, content_type="text/plain").status_code == 200

    @pytest.mark.parametrize(
        "length", ["abc", "-1", "1e3", " ", "9" * 5000], ids=["word", "-1", "float", "blank", "long"]
    )
    def test_invalid_content_length_is_no_server_error(self, client, length):
        assert client.post("/zoo/raw/", headers=SOLITUDE, CONTENT_LENGTH=length).status_code in (202, 400, 413)

    def test_disallowed_host_is_refused(self, client, settings):
        settings.ALLOWED_HOSTS = ["testserver"]
        assert client.post("/zoo/place/", headers={**SOLITUDE, "Host": "evil.example"}).status_code == 400
        assert not AsyncTask.objects.exists()

    def test_post_without_slash_is_redirected_as_synchronously(self, client):
        assert client.post("/zoo/place", headers=SOLITUDE).status_code == client.post("/zoo/place").status_code == 301
        assert not AsyncTask.objects.exists()

    def test_get_without_slash_is_redirected(self, client, listed):
        response = client.get("/api/remap/1.2/zoo/place?async=true")
        assert (response.status_code, response.headers["Location"]) == (301, f"{REPORT}?async=true")
        assert not AsyncTask.objects.exists()

    def test_task_endpoint_is_never_deferred(self, client):
        response = client.put("/api/remap/1.2/async/x/cancel", headers=SOLITUDE)
        assert (response.status_code, response.json()["error"]) == (400, "not_eligible")

    def test_exception_of_a_hook_is_a_500(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "OWNER": "tests.project.views.broken"}
        response = client.post("/zoo/place/", headers=SOLITUDE)
        assert (response.status_code, response.json()["error"]) == (500, "internal_error")
        assert not AsyncTask.objects.exists()

    def test_database_outage_before_the_submit_is_a_503_with_retry_after(self, client, settings):
        settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "OWNER": "tests.project.views.cut_off"}
        response = client.post("/zoo/place/", headers=SOLITUDE)
        assert (response.status_code, response.json()["error"]) == (503, "unavailable")
        assert response.headers["Retry-After"] == "5"
        assert not AsyncTask.objects.exists()
