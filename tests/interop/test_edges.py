"""django-cors-headers, whitenoise and django-debug-toolbar, which respond or rewrite around the views."""

from __future__ import annotations

import re

import pytest

from django_asyncexchange.models import AsyncTask

from .calls import call, content, twice

APP, OTHER = "https://app.example", "https://other.example"


# CORS -----------------------------------------------------------------------------------------------------------------


def test_page_of_an_allowed_origin_may_read_each_response(client):
    calls = twice(client, "/whoami/", Origin=APP)
    assert calls.is_equal
    for answer in (calls.accepted, calls.waiting, calls.polled, calls.later):
        assert answer["Access-Control-Allow-Origin"] == APP
        assert "Location" in answer["Access-Control-Expose-Headers"]


def test_preflight_allows_the_prefer_header(client):
    asked = {"Origin": APP, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "prefer"}
    answer = call(client, "/whoami/", None, "options", asked)
    assert "prefer" in answer["Access-Control-Allow-Headers"]


def test_result_has_the_origin_that_fetches_it(client):
    calls = twice(client, "/whoami/", Origin=APP)
    assert client.get(calls.polled["Location"], headers={"Origin": OTHER})["Access-Control-Allow-Origin"] == OTHER


# whitenoise -----------------------------------------------------------------------------------------------------------


def test_static_file_is_never_deferred(client):
    path = re.search(r'href="([^"]+)"', client.get("/page/").content.decode())[1]
    assert re.fullmatch(r"/static/notes/page\.[0-9a-f]+\.css", path)
    at_once, preferred = client.get(path), call(client, path, None, "", {"Prefer": "respond-async"})
    assert (at_once.status_code, preferred.status_code) == (200, 200)
    assert content(at_once) == content(preferred) == b"body { color: black }\n"
    assert not AsyncTask.objects.exists()


def test_deferred_page_names_the_same_static_files(client):
    calls = twice(client, "/page/")
    assert calls.is_equal
    assert b"/static/notes/page." in calls.later.content


# Debug Toolbar --------------------------------------------------------------------------------------------------------


@pytest.fixture
def debugging(settings):
    settings.DEBUG = True


def test_toolbar_leaves_an_api_unchanged(client, debugging):
    calls = twice(client, "/whoami/")
    assert calls.at_once.content == calls.later.content


def test_deferred_page_has_one_toolbar(client, debugging):
    calls = twice(client, "/page/")
    at_once, later = calls.at_once.content, calls.later.content
    assert later.count(b'id="djDebug"') == at_once.count(b'id="djDebug"') == 1


def test_toolbar_shows_in_the_admin(client, debugging, otto):
    client.force_login(otto, "django.contrib.auth.backends.ModelBackend")
    page = client.get("/admin/asyncexchange/asynctask/")
    assert page.status_code == 200
    assert b'id="djDebug"' in page.content
