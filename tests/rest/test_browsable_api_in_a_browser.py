"""The browsable API in a real browser, with the scripts of REST framework: calls by its link and its button."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.views import serve
from django.urls import include, path

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..project.serving import wsgi_server
from ..screens import opened
from ..services import IDLE, exchange, run_alone, until
from ..visitor import FRAMES, TOLD, visit
from ..visitor import urlpatterns as told_urls
from .test_browsable_api import Notes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__), pytest.mark.service]

VISITOR = """<!DOCTYPE html><body><script>
const frame = document.createElement("iframe"), ways = [
    page => page.querySelector("a[href*=_prefer]").click(),
    page => {
        page.querySelector("#post-object-form [name=text]").value = "Hello"
        page.querySelector("#post-object-form [formaction]").click()
    },
]
frame.onload = () => {
    const page = frame.contentDocument, place = frame.contentWindow.location
    const shown = page.querySelector(".response-info"), scripts = Boolean(frame.contentWindow.jQuery)
    const seen = {path: place.pathname, title: page.querySelector("h1").textContent.trim(), scripts,
                  request: shown && page.querySelector(".request-info").textContent.trim()}
    fetch("/told/", {method: "POST", body: JSON.stringify(seen)})
    if (place.pathname == "/notes/") ways.shift()(page)
    else if (shown && ways.length) frame.src = "/notes/"
}
frame.src = "/notes/"
document.body.append(frame)
</script>"""
"""Clicks the link, waits for the result, comes back, submits the form with the button, and tells what each page is."""


def visitor(request):
    return visit(request, VISITOR)


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("notes/", Notes.as_view()),
    path("visitor/", visitor),
    *told_urls,
    path("static/<path:path>", serve, {"insecure": True}),
]


@pytest.mark.slow
def test_link_and_button_lead_to_their_results(settings, tmp_path):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != FRAMES]
    User.objects.create(username="anna")
    TOLD.clear()
    with wsgi_server() as port, opened(f"http://127.0.0.1:{port}/visitor/", tmp_path, "--accept-lang=en"):
        for method in ("GET", "POST"):
            task = until(lambda method=method: AsyncTask.objects.filter(method=method).first())
            waiting = {"path": f"/async/tasks/{task.pk}", "title": "Waiting", "request": None, "scripts": False}
            until(lambda waiting=waiting: waiting in TOLD)
            run_alone(task.pk)
            request, place = f"{method} /notes/", f"/async/tasks/{task.pk}/result"
            result = {"path": place, "title": "Notes", "request": request, "scripts": True}
            until(lambda result=result: result in TOLD)
    assert set(AsyncTask.objects.values_list("method", "state")) == {("GET", State.DONE), ("POST", State.DONE)}
