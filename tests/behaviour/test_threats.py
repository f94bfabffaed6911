"""Threats not covered elsewhere: widened lists, open redirects, stored scripts in a real browser."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..project.serving import wsgi_server
from ..screens import opened
from ..services import stored, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

LIST = "/api/remap/1.2/async"
SCRIPT = "<script>parent.postMessage(location.pathname, '*')</script>"
FRAMES = """<script>
const tell = (what) => fetch("/told/?what=" + encodeURIComponent(what))
addEventListener("message", (event) => tell(event.data))
const show = (src) => Object.assign(document.body.appendChild(document.createElement("iframe")), { src })
onload = () => {
    show("%s")
    setTimeout(() => show("/inline/"), 1000)  // by then a script of the first frame has had its time
}
</script>"""
TOLD: list[str] = []
FIELDS = ["state", "request", "deletionDate", "owner", "account", "id", "owner__password__startswith", "_connector"]
CONDITIONS = st.lists(
    st.tuples(
        st.sampled_from(FIELDS),
        st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "~", "__regex="]),
        st.sampled_from(["DONE", "", "OR", "2026-01-01 00:00:00", ".*", "pbkdf2", "1"]),
    ),
    max_size=4,
)


@allow_async
def page(request):
    return HttpResponse(SCRIPT)


def frames(request):
    return HttpResponse(FRAMES % quote(request.GET["src"], "/?&=%"))


def told(request):
    TOLD.append(request.GET["what"])
    return HttpResponse()


@allow_async
def elsewhere(request):
    return HttpResponse(status=302, headers={"Location": "//evil.example/"})


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("inline/", page),
    path("frames/", frames),
    path("told/", told),
    path("api/remap/1.2/page", page),
    path("api/remap/1.2/elsewhere", elsewhere),
]


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def people(db):
    return [User.objects.create(username=name) for name in ("anna", "otto")]


class TestLists:
    @pytest.fixture
    def tasks(self, people):
        return {person: {str(stored(State.DONE, owner=person).pk) for _ in range(50)} for person in people}

    def test_pages_together_are_the_callers_own_tasks(self, people, tasks):
        client = signed_in(people[0])
        pages = [client.get(f"{LIST}?limit=20&offset={offset}").json()["rows"] for offset in range(0, 60, 20)]
        assert sum(len(rows) for rows in pages) == 50
        assert {row["id"] for rows in pages for row in rows} == tasks[people[0]]

    def test_filters_do_not_widen_the_list(self, people, tasks):
        client = signed_in(people[0])

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(CONDITIONS, st.sampled_from([LIST, "/async/tasks"]))
        def narrow(conditions, address):
            text = ";".join("".join(condition) for condition in conditions)
            plain = "&".join(f"{field}{quote(operator, '=_')}{quote(value)}" for field, operator, value in conditions)
            answer = client.get(f"{address}?filter={quote(text)}&{plain}")
            assert answer.status_code in (200, 400)
            rows = answer.json().get("rows") or answer.json().get("results") or []
            assert {row["id"] for row in rows} <= tasks[people[0]]

        narrow()


class TestRedirects:
    @pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example/x", "///evil.example"])
    def test_path_of_the_client_does_not_redirect_to_another_host(self, people, path):
        answer = signed_in(people[0]).get(f"/api/remap/1.2{path}?async=true")
        assert "evil" not in answer.headers.get("Location", "")
        assert "evil" not in answer.headers.get("Content-Location", "")

    def test_redirect_of_the_view_is_stored_not_followed(self, people):
        client = signed_in(people[0])
        accepted = client.get("/api/remap/1.2/elsewhere?async=true")
        assert AsyncTask.objects.get().status_code == 302
        link = client.get(accepted["Location"])["Location"]
        assert urlsplit(link).netloc == "testserver"
        assert "Location" not in client.get(link)


@pytest.mark.service
class TestBrowser:
    def test_script_in_a_stored_response_does_not_run(self, people, tmp_path, settings):
        frames = "django.middleware.clickjacking.XFrameOptionsMiddleware"  # would hide the frame that the test looks at
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != frames]
        client = signed_in(people[0])
        accepted = client.get("/api/remap/1.2/page?async=true")
        link = urlsplit(client.get(accepted["Location"])["Location"])
        TOLD.clear()
        frames_of = f"/frames/?src={quote(f'{link.path}?{link.query}')}"
        with wsgi_server() as port, opened(f"http://127.0.0.1:{port}{frames_of}", tmp_path):
            until(lambda: "/inline/" in TOLD)  # proves that this browser runs scripts
        assert set(TOLD) == {"/inline/"}
