"""The browsable API with "Answer later", and the query parameter that its link and its button send."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.test import AsyncClient, Client
from django.urls import include, path
from rest_framework import generics, serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from django_asyncexchange.models import AsyncTask, Worker
from django_asyncexchange.protocol.states import State
from django_asyncexchange.rest.renderers import AsyncBrowsableAPIRenderer
from django_asyncexchange.tasks import presence

from ..pages import ROOT, blocks
from ..services import IDLE, exchange, run_alone, soon

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language": "en"}
LATER = "_prefer=respond-async"
LINK = re.compile(r'<a class="btn btn-default pull-right"[^>]* href="([^"]+)"[^>]*>([^<]+)</a>')
BUTTON = re.compile(r'<button type="submit"[^>]* formaction="([^"]+)">([^<]+)</button>')
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
OTHERS = {
    "another value": "_prefer=respond-sync",
    "no value": "_prefer",
    "in capitals": "_prefer=Respond-Async",
    "percent-encoded value": "_prefer=respond%2Dasync",
    "percent-encoded name": "%5Fprefer=respond-async",
    "another name": "my_prefer=respond-async",
    "within a value": "next=/?_prefer=respond-async",
}
"""Queries that are the view's own."""
HOWTO = ROOT / "docs" / "howto" / "waiting-page.rst"


class Note(serializers.Serializer[object]):
    text = serializers.CharField()


class Notes(generics.GenericAPIView):
    """Echoes the query, and the note of a form."""

    serializer_class = Note
    authentication_classes = (SessionAuthentication,)
    permission_classes = (AllowAny,)
    renderer_classes = (JSONRenderer, AsyncBrowsableAPIRenderer)
    async_exchange = True

    def get(self, request):
        return Response({"query": request.META["QUERY_STRING"], "path": request.get_full_path()})

    def post(self, request):
        note = self.get_serializer(data=request.data)
        note.is_valid(raise_exception=True)
        return Response({**note.data, "query": request.META["QUERY_STRING"]})


class Unmarked(Notes):
    async_exchange = False


class Readable(Notes):
    async_exchange = {"get"}


class WithoutForm(APIView):
    renderer_classes = (JSONRenderer, AsyncBrowsableAPIRenderer)
    async_exchange = True

    def post(self, request):
        return Response({})


def echo(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"query": request.META["QUERY_STRING"]})


def documented(request: HttpRequest) -> HttpResponse:
    """A page with the link and the form that the how-to shows."""
    return HttpResponse(engines["django"].from_string(shown("<a href=")).render({}, request))


def shown(beginning: str) -> str:
    """The block of the how-to that begins so."""
    [text] = [block.text for block in blocks(HOWTO) if block.text.startswith(beginning)]
    return text


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("notes/", Notes.as_view()),
    path("unmarked/", Unmarked.as_view()),
    path("readable/", Readable.as_view()),
    path("without-form/", WithoutForm.as_view()),
    path("echo/", echo),
    path("documented/", documented),
    path("reports/stock", echo),
    path("orders/import", echo),
]


@pytest.fixture(autouse=True)
def tasks_wait(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture
def anna():
    return User.objects.create(username="anna")


@pytest.fixture
def browser(anna):
    client = Client(headers=BROWSER, enforce_csrf_checks=True)
    client.force_login(anna)
    return client


def offers(client, address="/notes/", **more):
    """(address, text) of the links and of the buttons on a page."""
    page = client.get(address, **more).content.decode()
    assert "request-info" in page
    return [[(unescape(url), text) for url, text in each.findall(page)] for each in (LINK, BUTTON)]


def submit_form(client, page="/notes/", **headers):
    """Press the second button of the HTML form of ``page``."""
    page = client.get(page).content.decode()
    [(url, _text)] = BUTTON.findall(page)
    fields = {"csrfmiddlewaretoken": TOKEN.findall(page)[0], "text": "Hello"}
    return client.post(unescape(url), fields, headers=headers)


# The pages ------------------------------------------------------------------------------------------------------------


def test_page_has_a_link_for_get_and_a_button_for_post(browser):
    assert offers(browser) == [[(f"/notes/?{LATER}", "Answer later")]] * 2


def test_link_and_button_keep_the_query(browser):
    link, button = offers(browser, "/notes/?page=2&q=%22%26")
    assert link == button == [(f"/notes/?page=2&q=%22%26&{LATER}", "Answer later")]


def test_link_and_button_are_translated(browser):
    texts = [text for found in offers(browser, headers={"Accept-Language": "ru"}) for _url, text in found]
    assert texts == ["Ответить позже"] * 2


def test_enter_key_submits_the_form_as_ever(browser):
    """It presses the first button of a form."""
    form = browser.get("/notes/").content.decode().partition('id="post-object-form"')[2]
    assert re.findall(r"<button[^>]*>", form)[0] == '<button type="submit" hidden>'


def test_link_from_the_page_of_a_post_is_for_get(browser):
    token = TOKEN.findall(browser.get("/readable/").content.decode())[0]
    page = browser.post("/readable/", {"csrfmiddlewaretoken": token, "text": "Hello"}).content.decode()
    assert (len(LINK.findall(page)), BUTTON.findall(page)) == (1, [])


def test_view_that_is_not_marked_offers_nothing(browser):
    assert offers(browser, "/unmarked/") == [[], []]


def test_mark_of_one_method_offers_no_other(browser):
    link, button = offers(browser, "/readable/")
    assert (len(link), button) == (1, [])


def test_view_without_a_form_has_no_button(browser):
    assert offers(browser, "/without-form/") == [[], []]


@pytest.mark.parametrize(("allowed", "count"), [(False, 0), (True, 1)])
def test_anonymous_users_are_offered_what_they_may_do(settings, allowed, count):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=allowed)
    assert [len(found) for found in offers(Client(headers=BROWSER))] == [count] * 2


def test_nothing_is_offered_without_the_dialect(settings, browser):
    settings.ASYNC_EXCHANGE = exchange(DIALECTS={"prefer": None})
    assert offers(browser) == [[], []]


def test_renderer_can_be_the_default_of_the_project():
    """The import of ``rest_framework.views`` loads it."""
    program = (
        "from django.conf import settings\n"
        f"{shown('REST_FRAMEWORK = {')}\n"
        "apps = ['django.contrib.auth', 'django.contrib.contenttypes', 'rest_framework', 'django_asyncexchange']\n"
        "settings.configure(INSTALLED_APPS=apps, REST_FRAMEWORK=REST_FRAMEWORK)\n"
        "from rest_framework.views import APIView\n"
        "print([each.__name__ for each in APIView.renderer_classes])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "['JSONRenderer', 'AsyncBrowsableAPIRenderer']\n", ran.stderr


# The call -------------------------------------------------------------------------------------------------------------


def test_link_leads_to_the_page_of_the_task_and_then_to_the_result(browser):
    response = browser.get(f"/notes/?page=2&{LATER}")
    task = AsyncTask.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/async/tasks/{task.pk}")
    assert response["Preference-Applied"] == "respond-async"
    assert "<h1>Waiting</h1>" in browser.get(response["Location"]).content.decode()
    run_alone(task.pk)
    page = browser.get(browser.get(response["Location"])["Location"]).content.decode()
    assert "<b>GET</b> /notes/?page=2" in page and "HTTP 200 OK" in page
    assert LATER not in page


def test_button_submits_the_form(browser):
    response = submit_form(browser)
    assert response.status_code == 303
    run_alone(AsyncTask.objects.get().pk)
    page = browser.get(browser.get(response["Location"])["Location"]).content.decode()
    assert "<b>POST</b> /notes/" in page and "&quot;text&quot;: &quot;Hello&quot;" in page


def test_form_in_the_page_of_a_result_can_be_submitted(browser):
    browser.get("/notes/")  # sets the cookie
    response = browser.get(f"/notes/?{LATER}")
    run_alone(AsyncTask.objects.get().pk)
    page = browser.get(browser.get(response["Location"])["Location"]).content.decode()
    form = {"csrfmiddlewaretoken": TOKEN.findall(page)[0], "text": "Hello"}
    assert 'action="/notes/"' in page
    assert browser.post("/notes/", form, headers={"Accept": "application/json"}).json()["text"] == "Hello"


def test_page_of_a_result_without_a_browsers_secret_has_no_form(browser):
    """Its CSRF token would match no cookie."""
    response = browser.get(f"/notes/?{LATER}")
    run_alone(AsyncTask.objects.get().pk)
    page = browser.get(browser.get(response["Location"])["Location"]).content.decode()
    assert re.findall('method="post"|data-method="(?!OPTIONS)', page, re.IGNORECASE) == []
    assert '<a class="btn btn-primary js-tooltip" href="/notes/"' in page


def test_page_of_a_result_offers_nothing(browser):
    response = browser.get(f"/notes/?{LATER}")
    run_alone(AsyncTask.objects.get().pk)
    assert offers(browser, browser.get(response["Location"])["Location"]) == [[], []]


def test_invalid_form_is_answered_later_too(browser):
    page = browser.get("/notes/").content.decode()
    browser.post(f"/notes/?{LATER}", {"csrfmiddlewaretoken": TOKEN.findall(page)[0], "text": ""})
    run_alone(AsyncTask.objects.get().pk)
    assert AsyncTask.objects.get().state == State.API_ERROR


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_other_clients_get_the_202(anna, accept):
    client = Client(headers={"Accept": accept})
    client.force_login(anna)
    response = client.get(f"/notes/?{LATER}")
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver/async/tasks/{AsyncTask.objects.get().pk}"


def test_browser_that_sends_the_header_gets_the_202(browser):
    assert browser.get("/notes/", headers={"Prefer": "respond-async"}).status_code == 202


def test_view_of_django_takes_the_parameter(settings, browser):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, VIEWS=["/echo/"])
    assert browser.get(f"/echo/?{LATER}").status_code == 303


def test_documented_link_and_form_are_answered_later(settings, browser):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, VIEWS=["/reports/*", "/orders/*"])
    page = browser.get("/documented/").content.decode()
    [link], [action] = re.findall('<a href="([^"]+)"', page), re.findall('formaction="([^"]+)"', page)
    assert browser.get(unescape(link)).status_code == 303
    form = {"csrfmiddlewaretoken": TOKEN.findall(page)[0], "orders": SimpleUploadedFile("orders.csv", b"1,2")}
    assert browser.post(action, form).status_code == 303
    calls = {(task.method, task.captured.path, task.captured.query) for task in AsyncTask.objects.all()}
    assert calls == {("GET", "/reports/stock", "year=2026"), ("POST", "/orders/import", "")}


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (LATER, ""),
        (f"a=1&{LATER}&b=%D1%8F&a=%zz", "a=1&b=%D1%8F&a=%zz"),
        (f"{LATER}&{LATER}&x", "x"),
        (f"{LATER}&_prefer=own", "_prefer=own"),
    ],
)
def test_captured_call_is_without_the_parameter(browser, query, left):
    assert browser.get(f"/notes/?{query}").status_code == 303
    task = AsyncTask.objects.get()
    assert (task.captured.path, task.captured.query) == ("/notes/", left)
    assert task.url == f"http://testserver/notes/?{query}"


@pytest.mark.parametrize("query", OTHERS.values(), ids=OTHERS)
def test_other_spellings_belong_to_the_view(client, anna, query):
    client.force_login(anna)
    assert client.get(f"/notes/?{query}").json()["query"] == query
    assert not AsyncTask.objects.exists()


@pytest.mark.parametrize("address", ["/unmarked/", "/echo/"])
def test_view_that_is_not_marked_answers_at_once_without_the_parameter(client, anna, address):
    client.force_login(anna)
    response = client.get(f"{address}?a=1&{LATER}")
    assert (response.status_code, response.json()["query"]) == (200, "a=1")
    assert not AsyncTask.objects.exists()


def test_anonymous_call_is_answered_at_once_without_the_parameter(client):
    assert client.get(f"/notes/?a=1&{LATER}").json() == {"query": "a=1", "path": "/notes/?a=1"}


def test_body_that_is_too_large_is_answered_at_once_without_the_parameter(settings, client, anna):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, MAX_REQUEST_BYTES=10)
    client.force_login(anna)
    response = client.post(f"/notes/?{LATER}", {"text": "Hello"})
    assert (response.status_code, response.json()) == (200, {"text": "Hello", "query": ""})


def test_missing_slash_is_appended_with_the_parameter(browser):
    assert browser.get(f"/notes?{LATER}")["Location"] == f"/notes/?{LATER}"


def test_idempotency_key_is_the_same_for_parameter_and_header(browser):
    first = browser.get(f"/notes/?{LATER}", headers={"Idempotency-Key": "one"})
    second = browser.get("/notes/", headers={"Idempotency-Key": "one", "Prefer": "respond-async"})
    assert first["Location"] == second["Location"]
    assert second["Idempotency-Replayed"] == "true"
    assert AsyncTask.objects.count() == 1


def test_asgi_call_is_captured_without_the_parameter(anna):
    client = AsyncClient()
    client.force_login(anna)
    response = async_to_sync(client.get)(f"/notes/?a=1&{LATER}", headers=BROWSER)
    task = AsyncTask.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/async/tasks/{task.pk}")
    run_alone(task.pk)
    page = async_to_sync(client.get)(f"/async/tasks/{task.pk}/result").content.decode()
    assert "<b>GET</b> /notes/?a=1</pre>" in page


# Forgery --------------------------------------------------------------------------------------------------------------


def test_form_without_a_token_is_refused(browser):
    assert browser.post(f"/notes/?{LATER}", {"text": "Hello"}).status_code == 403
    assert not AsyncTask.objects.exists()


def test_link_of_another_site_is_answered_at_once(browser):
    response = browser.get(f"/notes/?{LATER}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f'href="/notes/?{LATER}"' in response.content.decode()
    assert not AsyncTask.objects.exists()


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_link_of_the_own_site_or_a_bookmark_is_answered_later(browser, site):
    assert browser.get(f"/notes/?{LATER}", headers={"Sec-Fetch-Site": site}).status_code == 303


@pytest.mark.parametrize(("address", "status"), [("/notes/", 202), (f"/notes/?{LATER}", 303)])
def test_script_of_another_site_may_send_the_header(browser, address, status):
    headers = {"Sec-Fetch-Site": "cross-site", "Prefer": "respond-async"}
    assert browser.get(address, headers=headers).status_code == status


def test_patience_is_the_same_for_other_sites(settings, monkeypatch, browser):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, PATIENCE=0.01)
    monkeypatch.setattr(presence, "_last_seen", -presence.SEEN_SECONDS)
    Worker.objects.create(name="here", heard=soon(seconds=-1))
    assert browser.get("/notes/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 303
