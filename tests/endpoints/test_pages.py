"""The pages of the default dialect: what a browser sees at the task addresses, and nobody else."""

from __future__ import annotations

import copy
import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.client import encode_multipart
from django.test.utils import CaptureQueriesContext, override_script_prefix
from django.urls import include, path, resolve
from rest_framework import generics, serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response

from django_asyncexchange.models import AsyncTask, Worker
from django_asyncexchange.protocol.states import State
from django_asyncexchange.responses import holds
from django_asyncexchange.tasks import presence

from ..pages import ROOT, blocks
from ..services import IDLE, exchange, run_alone, soon, stored

pytestmark = pytest.mark.django_db

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
TASKS = "/async/tasks"
OTHERS = {
    "curl and requests": "*/*",
    "axios": "application/json, text/plain, */*",
    "Java": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    "JSON first": "application/json, text/html;q=0.9",
    "anything first": "text/html;q=0.5, */*;q=0.8",
    "never HTML": "text/html;q=0, */*;q=0",
    "any text": "text/*",
    "nothing": "",
}
BROWSERS = {
    "Chrome": CHROME,
    "w3m": "text/html, text/*;q=0.5, image/*, */*",
    "both": "application/json, text/html",
    "HTML alone": "text/html",
}
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')

each_other = pytest.mark.parametrize("accept", OTHERS.values(), ids=OTHERS)
each_form = pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
each_browser = pytest.mark.parametrize("accept", BROWSERS.values(), ids=BROWSERS)


@pytest.fixture
def anna():
    return User.objects.create(username="anna")


@pytest.fixture
def client(anna):
    """Anna's browser, which is checked for CSRF."""
    client = Client(enforce_csrf_checks=True, headers={"Accept": CHROME, "Accept-Language": "en"})
    client.force_login(anna)
    return client


@pytest.fixture
def of_anna(anna):
    return lambda state=State.PROCESSING, **fields: stored(state, owner=anna, dialect="prefer", **fields)


def address(task):
    return f"{TASKS}/{task.pk}"


def text_of(response):
    assert response["Content-Type"] == "text/html; charset=utf-8"
    return response.content.decode()


def cancel(client, task, content_type="application/x-www-form-urlencoded", **headers):
    """Press the button on the page of ``task``."""
    page = text_of(client.get(address(task)))
    [action] = re.findall(r'<form method="post" action="([^"]+)">', page)
    return post(client, action, {"csrfmiddlewaretoken": TOKEN.findall(page)[0]}, content_type, **headers)


def post(client, path, fields, content_type="application/x-www-form-urlencoded", **headers):
    body = encode_multipart("x", fields) if "multipart" in content_type else urlencode(fields)
    return client.post(path, body, content_type, headers=headers)


# Who gets a page ------------------------------------------------------------------------------------------------------


@each_browser
def test_browser_gets_a_page(client, of_anna, accept):
    response = client.get(address(of_anna()), headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")


@each_other
@pytest.mark.parametrize("state", [State.PROCESSING, State.DONE, State.CANCEL])
def test_other_clients_get_json(client, of_anna, accept, state):
    response = client.get(address(of_anna(state)), headers={"Accept": accept})
    assert response.status_code == (303 if state.is_final else 202)
    assert json.loads(response.content)["state"] == state
    assert response["Content-Type"] == "application/json"


@each_other
def test_other_clients_get_the_list_as_json(client, of_anna, accept):
    task = of_anna()
    response = client.get(TASKS, headers={"Accept": accept})
    assert [row["id"] for row in json.loads(response.content)["results"]] == [str(task.pk)]


def test_request_without_accept_gets_json(anna, of_anna):
    client = Client()
    client.force_login(anna)
    assert client.get(address(of_anna())).json()["state"] == "PROCESSING"


def test_monitor_stays_json(client, of_anna):
    assert client.get(f"/async/operations/{of_anna().pk}").json()["status"] == "Running"


@pytest.mark.parametrize("path", [f"{TASKS}/7d0a5f0c-8f0b-4c0e-9a56-0f6e2f1f7c11", f"{TASKS}?limit=x"])
def test_error_is_a_problem_document(client, path):
    assert client.get(path)["Content-Type"] == "application/problem+json"


# The page of a task ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "word"), [(State.PENDING, "Waiting"), (State.PROCESSING, "Running")])
def test_unfinished_task_has_a_page_that_reloads_itself(client, of_anna, state, word):
    page = text_of(client.get(address(of_anna(state))))
    assert f"<h1>{word}</h1>" in page
    assert "<code>GET http://testserver/ran/?async=true</code>" in page
    assert '<progress aria-label="progress"></progress>' in page


@pytest.mark.parametrize("rest", ["", "/", "?wait=20", "?a=1&wait=20&b='%22%3E"])
def test_page_reloads_its_own_address_with_the_query(client, of_anna, rest):
    path = address(of_anna()) + rest
    page = text_of(client.get(path))
    [content] = re.findall(r'<meta http-equiv="refresh" content="([^"]+)">', page)
    assert unescape(content) == f"2; url={path}"


def test_page_is_shown_at_once_although_its_address_holds_other_clients(client, of_anna, monkeypatch):
    held = []
    monkeypatch.setattr(holds, "put", lambda request, hold: held.append(hold.seconds))
    path = f"{address(of_anna())}?wait=20"
    assert "<h1>Running</h1>" in text_of(client.get(path))
    assert held == []
    client.get(path, headers={"Accept": "*/*"})
    assert held == [20]


@pytest.mark.parametrize("query", ["", "?wait=20"])
def test_page_is_not_cached(client, of_anna, query):
    response = client.get(address(of_anna()) + query)
    assert response["Cache-Control"] == "no-store"
    assert "Accept" in response["Vary"].split(", ")
    assert "ETag" not in response


def test_page_shows_the_progress(client, of_anna):
    task = of_anna(progress_done=1500, progress_total=20000, progress_message="of <rows>")
    page = text_of(client.get(address(task)))
    assert '<progress aria-label="progress" value="1500" max="20000"></progress>' in page
    assert "<p>1500 / 20000 of &lt;rows&gt;</p>" in page


def test_numbers_in_attributes_have_no_separators(client, of_anna, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    task = of_anna(progress_done=1500, progress_total=20000)
    page = text_of(client.get(address(task), headers={"Accept-Language": "en"}))
    assert 'value="1500" max="20000"' in page
    assert "<p>1,500 / 20,000" in page


@pytest.mark.parametrize("total", [None, 0])
def test_progress_without_a_total_is_indeterminate(client, of_anna, total):
    page = text_of(client.get(address(of_anna(progress_done=7, progress_total=total))))
    assert '<progress aria-label="progress"></progress>' in page
    assert "<p>7 </p>" in page


@pytest.mark.parametrize("state", [State.DONE, State.API_ERROR])
def test_browser_is_sent_to_the_result(client, of_anna, state):
    task = of_anna(state, answer=b"{}")
    response = client.get(address(task))
    assert (response.status_code, response["Location"]) == (303, f"http://testserver{address(task)}/result")
    assert client.get(response["Location"]).content == b"{}"


ENDS = {
    "cancelled": ({"state": State.CANCEL}, "Cancelled", "The task was cancelled."),
    "lost": ({"state": State.ERROR, "reason": "lost"}, "Failed", "Its worker stopped unexpectedly."),
    "run timeout": ({"state": State.ERROR, "reason": "run_timeout"}, "Failed", "It ran for too long."),
    "queue timeout": (
        {"state": State.ERROR, "reason": "queue_timeout"},
        "Failed",
        "It waited for too long and did not start.",
    ),
    "storage": ({"state": State.ERROR, "reason": "storage"}, "Failed", "Its response could not be stored."),
    "no response": ({"state": State.ERROR}, "Failed", "The task failed; submit the call again."),
    "deleted": ({"state": State.DONE, "deletion_date": soon(days=-1)}, "Done", "The result has been deleted."),
}


@pytest.mark.parametrize(("fields", "word", "text"), ENDS.values(), ids=ENDS)
def test_task_without_a_result_has_a_page_with_the_reason(client, of_anna, fields, word, text):
    response = client.get(address(of_anna(**fields)))
    page = text_of(response)
    assert response.status_code == 200
    assert f"<h1>{word}</h1>" in page
    assert f"<p>{text}</p>" in page
    assert not {"http-equiv", "<form", "<progress"} & set(re.findall(r"http-equiv|<form|<progress", page))


def test_page_is_in_the_clients_language(client, of_anna):
    page = text_of(client.get(address(of_anna(State.CANCEL)), headers={"Accept-Language": "ru"}))
    assert '<html lang="ru">' in page
    assert "<h1>Отменена</h1>" in page
    assert "<p>Задача была отменена.</p>" in page


@pytest.mark.parametrize("path", ["status", "list"])
def test_pages_have_no_script_and_escape_what_a_client_sends(client, of_anna, path):
    evil = "http://testserver/\"><script>alert(1)</script>'"
    task = of_anna(url=evil, method="<B>", progress_done=1, progress_message="<script>alert(2)</script>")
    page = text_of(client.get(TASKS if path == "list" else address(task)))
    assert "<script" not in page and "<B>" not in page
    assert evil in unescape(page)


@pytest.mark.parametrize("path", ["status", "list"])
def test_page_needs_no_more_queries_than_json(client, of_anna, path):
    tasks = [of_anna(), of_anna(State.CANCEL)]
    address_ = TASKS if path == "list" else address(tasks[0])
    counts = []
    client.get(address_)  # reads the recent run times, for some seconds
    for accept in (CHROME, "*/*"):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address_, headers={"Accept": accept}).status_code in (200, 202)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_head_of_a_page_has_no_body(client, of_anna):
    response = client.head(address(of_anna()))
    assert (response.status_code, response.content) == (200, b"")


# Cancelling -----------------------------------------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_button_cancels_and_shows_the_task(client, of_anna, state, content_type):
    task = of_anna(state)
    response = cancel(client, task, content_type)
    assert (response.status_code, response["Location"]) == (303, address(task))
    assert AsyncTask.objects.get(pk=task.pk).state == State.CANCEL
    assert "<h1>Cancelled</h1>" in text_of(client.get(response["Location"]))


@pytest.mark.parametrize("state", [State.DONE, State.ERROR, State.CANCEL])
def test_button_shows_a_task_that_has_finished_meanwhile(client, of_anna, state):
    running, finished = of_anna(), of_anna(state)
    [token] = TOKEN.findall(text_of(client.get(address(running))))
    response = post(client, f"{address(finished)}/cancel", {"csrfmiddlewaretoken": token})
    assert (response.status_code, response["Location"]) == (303, address(finished))
    assert AsyncTask.objects.get(pk=finished.pk).state == state


@each_form
@pytest.mark.parametrize("fields", [{}, {"csrfmiddlewaretoken": "x" * 64}])
def test_form_without_its_token_is_refused(client, of_anna, fields, content_type):
    task = of_anna()
    client.get(address(task))
    response = post(client, f"{address(task)}/cancel", fields, content_type)
    assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")
    assert AsyncTask.objects.get(pk=task.pk).state == State.PROCESSING


BROKEN = {
    "no boundary": ("multipart/form-data", b"--x"),
    "no end": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
    "no UTF-8": ("application/x-www-form-urlencoded", b"csrfmiddlewaretoken=%FF\xff&\0=1"),
    "strange charset": ("application/x-www-form-urlencoded; charset=nonsense", b"csrfmiddlewaretoken=x"),
    "many fields": ("application/x-www-form-urlencoded", b"a&" * 1500),
    "no JSON": ("application/json", b"{"),
    "strange type": ("x", b"csrfmiddlewaretoken=x"),
}


@pytest.mark.parametrize(("content_type", "body"), BROKEN.values(), ids=BROKEN)
def test_broken_form_is_a_refusal(client, of_anna, content_type, body):
    task = of_anna()
    client.get(address(task))
    response = client.generic("POST", f"{address(task)}/cancel", body, content_type)
    assert response.status_code in (400, 403)
    assert response["Content-Type"] == "application/problem+json"
    assert AsyncTask.objects.get(pk=task.pk).state == State.PROCESSING


def test_form_of_another_account_finds_no_task(client):
    task = stored(State.PROCESSING, owner=User.objects.create(username="otto"), dialect="prefer")
    own = stored(State.PROCESSING, owner=User.objects.get(username="anna"), dialect="prefer")
    [token] = TOKEN.findall(text_of(client.get(address(own))))
    response = post(client, f"{address(task)}/cancel", {"csrfmiddlewaretoken": token})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert AsyncTask.objects.get(pk=task.pk).state == State.PROCESSING


def test_button_leads_below_the_script_name(client, of_anna):
    task = of_anna()
    token = {"csrfmiddlewaretoken": TOKEN.findall(text_of(client.get(address(task))))[0]}
    with override_script_prefix("/shop/"):
        assert f'action="/shop{address(task)}/cancel"' in text_of(client.get(address(task)))
        assert post(client, f"{address(task)}/cancel", token)["Location"] == f"/shop{address(task)}"


def test_token_may_be_kept_in_the_session(client, of_anna, settings):
    settings.CSRF_USE_SESSIONS = True
    assert cancel(client, of_anna()).status_code == 303


def test_other_clients_get_204_from_the_forms_address(client, of_anna):
    response = cancel(client, of_anna(), Accept="*/*")
    assert (response.status_code, response.content) == (204, b"")


def test_button_is_missing_where_a_dialect_has_no_such_route(client, of_anna, monkeypatch):
    dialect = resolve(TASKS).func.initkwargs["dialect"]
    monkeypatch.setattr(dialect, "ROUTES", {name: dialect.ROUTES[name] for name in ("status", "result")})
    page = text_of(client.get(address(of_anna())))
    assert "<form" not in page and "<a " not in page


# The list -------------------------------------------------------------------------------------------------------------


def test_list_is_a_table_of_the_callers_tasks(client, of_anna):
    stored(State.DONE, owner=User.objects.create(username="otto"), dialect="prefer")
    running, done = of_anna(), of_anna(State.DONE, answer=b"{}")
    page = text_of(client.get(TASKS))
    assert page.count("<tr>") == 3
    assert f'<a href="{address(running)}">Running</a>' in page
    assert f'<a href="{address(done)}">Done</a>' in page
    assert re.findall(r'"([^"]+/result)"', page) == [f"{address(done)}/result"]


def test_list_links_to_its_neighbours(client, of_anna):
    for _ in range(3):
        of_anna()
    page = text_of(client.get(f"{TASKS}?limit=1&offset=1&state=PROCESSING"))
    assert f'<a rel="prev" href="{TASKS}?state=PROCESSING&amp;limit=1">Previous page</a>' in page
    assert f'<a rel="next" href="{TASKS}?state=PROCESSING&amp;limit=1&amp;offset=2">Next page</a>' in page


def test_empty_list_says_so(client):
    page = text_of(client.get(TASKS, headers={"Accept-Language": "ru"}))
    assert "<p>Задач нет.</p>" in page
    assert "<table" not in page


# Templates ------------------------------------------------------------------------------------------------------------

BASE = "<title>Ours</title>{% block head %}{% endblock %}{% block content %}{% endblock %}"
HOWTO = ROOT / "docs" / "howto" / "waiting-page.rst"


def with_templates(settings, **changes):
    [given] = copy.deepcopy(settings.TEMPLATES)
    settings.TEMPLATES = [{**given, **changes}]


def own_base(place, text=BASE):
    (place / "asyncexchange").mkdir()
    (place / "asyncexchange" / "base.html").write_text(text)
    return place


@pytest.mark.parametrize("templates", [[], [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]])
def test_pages_need_no_template_settings(client, of_anna, settings, templates):
    settings.TEMPLATES = templates
    assert "<h1>Running</h1>" in text_of(client.get(address(of_anna())))
    assert "<table>" in text_of(client.get(TASKS))
    assert TOKEN.search(text_of(client.get(address(of_anna()))))


def test_project_overrides_a_template(client, of_anna, settings, tmp_path: Path):
    with_templates(settings, DIRS=[own_base(tmp_path)])
    page = text_of(client.get(address(of_anna())))
    assert page.startswith("<title>Ours</title>")
    assert "<h1>Running</h1>" in page


def test_documented_template_puts_pages_into_the_sites_layout(client, of_anna, settings, tmp_path: Path):
    [block] = [block for block in blocks(HOWTO) if block.text.startswith("{# templates")]
    (own_base(tmp_path, block.text) / "base.html").write_text(BASE)
    with_templates(settings, DIRS=[tmp_path])
    page = text_of(client.get(address(of_anna())))
    assert page.strip().startswith("<title>Ours</title><meta http-equiv=")
    assert "<h1>Running</h1>" in page and "<style>" not in page


def test_project_whose_engine_does_not_search_apps_overrides_a_template(client, of_anna, settings, tmp_path: Path):
    with_templates(settings, DIRS=[own_base(tmp_path)], APP_DIRS=False, OPTIONS={})
    assert text_of(client.get(address(of_anna()))).startswith("<title>Ours</title>")


def test_error_in_a_projects_template_is_a_500(client, of_anna, settings, tmp_path: Path):
    with_templates(settings, DIRS=[own_base(tmp_path, "{% nonsense %}")])
    client.raise_request_exception = False
    response = client.get(address(of_anna()))
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")


# Other mounts ---------------------------------------------------------------------------------------------------------


def test_other_dialects_have_no_pages(client, anna):
    task = stored(State.PROCESSING, owner=anna)
    assert client.get(f"/api/remap/1.2/async/{task.pk}").json()["state"] == "PROCESSING"


def test_anonymous_browser_sees_an_anonymous_task(settings):
    settings.ASYNC_EXCHANGE = exchange(ALLOW_ANONYMOUS=True)
    task = stored(State.PROCESSING, dialect="prefer")
    assert "<h1>Running</h1>" in text_of(Client(headers={"Accept": CHROME}).get(address(task)))


# Patience -------------------------------------------------------------------------------------------------------------


class Note(serializers.Serializer):
    text = serializers.CharField()


class Notes(generics.GenericAPIView):
    """A view with the pages of REST framework's browsable API."""

    serializer_class = Note
    authentication_classes = (SessionAuthentication,)
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer)
    async_exchange = True

    def get(self, request):
        return Response({"text": "Hello"})

    def post(self, request):
        note = self.get_serializer(data=request.data)
        note.is_valid(raise_exception=True)
        return Response(note.data)


urlpatterns = [path("", include("tests.urls")), path("notes/", Notes.as_view())]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.urls(__name__)
def test_slow_call_of_the_browsable_api_ends_on_its_own_page(anna, settings, monkeypatch, method):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, PATIENCE=0.01)
    monkeypatch.setattr(presence, "_last_seen", -presence.SEEN_SECONDS)
    Worker.objects.create(name="here", heard=soon(seconds=-1))
    client = Client(headers={"Accept": CHROME, "Accept-Language": "en"})
    client.force_login(anna)
    response = client.get("/notes/") if method == "GET" else post(client, "/notes/", {"text": "Hello"})
    assert response.status_code == 303
    assert "<h1>Waiting</h1>" in text_of(client.get(response["Location"]))
    run_alone(AsyncTask.objects.get().pk)
    result = client.get(client.get(response["Location"])["Location"])
    assert (result.status_code, result["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"<b>{method}</b> /notes/" in result.content.decode()
    assert "&quot;text&quot;: &quot;Hello&quot;" in result.content.decode()
