"""The page of a task in a real browser: it reloads itself, and its button cancels."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import include, path

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..project.serving import wsgi_server
from ..screens import opened
from ..services import stored, until
from ..visitor import FRAMES, TOLD, visit
from ..visitor import urlpatterns as told_urls

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__), pytest.mark.service]

VISITOR = """<!DOCTYPE html><body><script>
const frame = document.createElement("iframe")
frame.onload = () => {
    const page = frame.contentDocument, bar = page.querySelector("progress"), button = page.querySelector("button")
    const seen = {title: page.querySelector("h1").textContent, button: button && button.textContent,
                  progress: bar && bar.value, query: frame.contentWindow.location.search}
    fetch("/told/", {method: "POST", body: JSON.stringify(seen)})
    if (bar && bar.value == 7) button.click()
}
frame.src = "%s"
document.body.append(frame)
</script>"""
"""Looks at a task in a frame, tells what each page shows, and presses the button once the progress is 7."""


def visitor(request):
    return visit(request, VISITOR % request.GET["task"])


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("visitor/", visitor),
    *told_urls,
]

WORDS = {"en": ("Running", "Cancel", "Cancelled"), "ru": ("Выполняется", "Отменить", "Отменена")}


@pytest.mark.slow
@pytest.mark.parametrize("language", WORDS)
def test_page_reloads_itself_and_its_button_cancels(settings, tmp_path, language):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != FRAMES]
    anna = User.objects.create(username="anna")
    task = stored(State.PROCESSING, owner=anna, dialect="prefer", progress_done=3, progress_total=10)
    running, cancel, cancelled = WORDS[language]
    TOLD.clear()
    address = f"/visitor/?task=/async/tasks/{task.pk}%3Fwait=20"
    with wsgi_server() as port, opened(f"http://127.0.0.1:{port}{address}", tmp_path, f"--accept-lang={language}"):
        until(lambda: TOLD)
        AsyncTask.objects.update(progress_done=7)
        until(lambda: TOLD[-1]["button"] is None)
    waiting = {"title": running, "button": cancel, "query": "?wait=20"}
    assert TOLD[0] == {**waiting, "progress": 3}
    assert TOLD[-2] == {**waiting, "progress": 7}
    assert TOLD[-1] == {"title": cancelled, "button": None, "progress": None, "query": ""}
    assert AsyncTask.objects.get().state == State.CANCEL
