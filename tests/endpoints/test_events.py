"""Server-Sent Events of a task: which are sent, in which order, when a stream ends, and where there is none."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import uuid

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path
from django.utils import translation

from django_asyncexchange.conf import conf
from django_asyncexchange.endpoints import events
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.tasks import changes, lifecycle, notifier

from ..pages import ROOT, blocks
from ..project.serving import asgi_server, ask, wsgi_server
from ..services import IDLE, PATIENCE, exchange, soon, stored, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning"),
]

GZIP = "django.middleware.gzip.GZipMiddleware"


[LISTENER] = [block.text for block in blocks(ROOT / "docs" / "howto" / "events.rst") if block.language == "js"]
PAGE = """<script>
const task = {links: {events: location.search.slice(1)}}, seen = [];
const showState = seen.push.bind(seen), showProgress = showState, showResult = address => seen.push(`${address}`);
%s
source.onerror = () => {
  if (source.readyState == EventSource.CLOSED) fetch("/told/?" + seen);
};
</script>"""
"""The how-to's listener; it tells what it has seen when it stops."""
TOLD: list[str] = []


def told(request):
    TOLD.append(request.META["QUERY_STRING"])
    return HttpResponse()


urlpatterns = [
    path("page/", lambda request: HttpResponse(PAGE % LISTENER)),
    path("told/", told),
    path("", include("django_asyncexchange.urls")),
]


@pytest.fixture(autouse=True)
def no_heartbeat(monkeypatch):
    """Whatever arrives, arrives because the task has changed."""
    monkeypatch.setattr(events, "HEARTBEAT", PATIENCE)


@pytest.fixture
def anna(db):
    return User.objects.create(username="anna")


@pytest.fixture
def client(anna):
    client = AsyncClient()
    client.force_login(anna)
    return client


@pytest.fixture
def allowed(settings):
    settings.ASYNC_EXCHANGE = exchange(WSGI_EVENTS=True)


def new_task(owner, state=State.PENDING, **fields):
    return stored(state, owner=owner, dialect="prefer", **fields)


def path_of(task):
    return f"/async/tasks/{task.pk}/events"


def report(task, done, total=None, message=""):
    """Save progress, as the worker does."""
    AsyncTask.objects.filter(pk=task.pk).update(progress_done=done, progress_total=total, progress_message=message)


def parsed(text):
    """(event, id, data) of each event in ``text``; comments and ``retry`` are skipped."""
    blocks = (dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if ": " in block)
    return [(block["event"], block["id"], json.loads(block["data"])) for block in blocks if "event" in block]


def names(text):
    return [name for name, _, _ in parsed(text)]


async def rest_of(stream):
    return "".join([chunk.decode() async for chunk in stream])


@async_to_sync
async def whole(client, task, **headers):
    """Status and all of the stream of a task that has finished, or soon will."""
    response = await client.get(path_of(task), headers=headers)
    return response.status_code, await rest_of(response) if response.streaming else response.content.decode()


@async_to_sync
async def following(client, task, *steps, **headers):
    """The chunks of a stream: the first one, then one after each of ``steps``."""
    response = await client.get(path_of(task), headers=headers)
    async with contextlib.aclosing(aiter(response)) as stream:
        seen = [(await anext(stream)).decode()]
        for step in steps:
            await sync_to_async(step)()
            seen.append((await anext(stream)).decode())
        return seen


# What is sent ---------------------------------------------------------------------------------------------------------


def test_stream_has_state_then_progress_then_end(client, anna):
    task = new_task(anna)
    chunks = following(
        client,
        task,
        lambda: lifecycle.claim(task.pk),
        lambda: report(task, 1, 4, "first"),
        lambda: report(task, 2, 4, "second"),
        lambda: lifecycle.cancel(AsyncTask.objects.get(pk=task.pk)),
    )
    assert [names(chunk) for chunk in chunks] == [["state"], ["state"], ["progress"], ["progress"], ["end"]]
    assert [parsed(chunk)[0][2].get("state") for chunk in chunks] == ["PENDING", "PROCESSING", None, None, "CANCEL"]
    assert parsed(chunks[2])[0][2] == {"done": 1, "total": 4, "message": "first", "percent": 25}


def test_retry_is_the_first_line_and_sent_once(client, anna):
    task = new_task(anna)
    first, second = following(client, task, lambda: lifecycle.claim(task.pk))
    assert first.startswith(f"retry: {events.RETRY}\n\n")
    assert "retry" not in second


def test_running_task_with_progress_sends_both_at_once(client, anna):
    task = new_task(anna, State.PROCESSING, progress_done=3)
    [chunk] = following(client, task)
    assert names(chunk) == ["state", "progress"]
    assert parsed(chunk)[1][2] == {"done": 3, "total": None, "message": "", "percent": None}


def test_finished_task_sends_only_the_end_with_the_address_of_its_result(client, anna):
    task = new_task(anna, State.DONE, answer=b"{}")
    status, text = whole(client, task)
    [(name, id, document)] = parsed(text)
    assert (status, name, id, document["state"]) == (200, "end", "end", "DONE")
    assert document["links"]["result"] == f"http://testserver/async/tasks/{task.pk}/result"


def test_data_of_state_is_the_status_document(client, anna):
    task = new_task(anna)
    [chunk] = following(client, task)
    document = async_to_sync(client.get)(f"/async/tasks/{task.pk}").json()
    assert parsed(chunk)[0][2] == document


def test_message_with_line_breaks_is_one_line_of_data(client, anna):
    task = new_task(anna, State.PROCESSING, progress_done=1, progress_message="a\r\nb\n\nevent: end")
    [chunk] = following(client, task)
    assert names(chunk) == ["state", "progress"]
    assert parsed(chunk)[1][2]["message"] == "a\r\nb\n\nevent: end"


def test_next_attempt_is_a_new_state(client, anna):
    task = new_task(anna, State.PROCESSING)
    again = AsyncTask.objects.filter(pk=task.pk)
    _, second = following(client, task, lambda: again.update(attempt=2))
    assert names(second) == ["state"]


def test_headers_keep_proxies_from_storing_buffering_and_compressing(client, anna):
    response = async_to_sync(client.get)(path_of(new_task(anna, State.DONE)), headers={"Accept": "text/event-stream"})
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-store, no-transform"
    assert response["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in response


def test_gzip_middleware_does_not_compress_a_stream(client, anna, settings):
    settings.MIDDLEWARE = [GZIP, *settings.MIDDLEWARE]
    _, text = whole(client, new_task(anna, State.DONE), **{"Accept-Encoding": "gzip"})
    assert names(text) == ["end"]


def test_content_encoding_is_not_sent(client, anna):
    response = async_to_sync(client.get)(path_of(new_task(anna, State.DONE)))
    assert "Content-Encoding" not in dict(response.items())


def test_head_has_the_headers_and_no_stream(client, anna):
    response = async_to_sync(client.head)(path_of(new_task(anna)))
    assert (response.status_code, response["Content-Type"], response.streaming) == (200, "text/event-stream", False)


# Reconnecting ---------------------------------------------------------------------------------------------------------


def last_id(chunk):
    return parsed(chunk)[-1][1]


def test_client_that_reconnects_is_not_told_again_what_it_has_seen(client, anna):
    task = new_task(anna, State.PROCESSING, progress_done=1, progress_total=4)
    [seen] = following(client, task)
    first, second = following(client, task, lambda: report(task, 2, 4), **{"Last-Event-ID": last_id(seen)})
    assert names(first) == []
    assert names(second) == ["progress"]


def test_client_that_reconnects_is_told_what_it_has_missed(client, anna):
    task = new_task(anna)
    [seen] = following(client, task)
    lifecycle.claim(task.pk)
    report(task, 2)
    [chunk] = following(client, task, **{"Last-Event-ID": last_id(seen)})
    assert names(chunk) == ["state", "progress"]


def test_client_that_has_seen_the_state_only_gets_the_progress_only(client, anna):
    task = new_task(anna, State.PROCESSING)
    [seen] = following(client, task)
    report(task, 2)
    [chunk] = following(client, task, **{"Last-Event-ID": last_id(seen)})
    assert names(chunk) == ["progress"]


def test_client_that_reconnects_after_the_end_gets_204(client, anna):
    task = new_task(anna, State.DONE)
    _, text = whole(client, task)
    assert whole(client, task, **{"Last-Event-ID": last_id(text)}) == (204, "")


@pytest.mark.parametrize("seen", ["", "end", "x", "...", "1.PENDING.", "\xe9", "9" * 500])
def test_unknown_last_event_id_is_ignored(client, anna, seen):
    [chunk] = following(client, new_task(anna, State.PROCESSING), **{"Last-Event-ID": seen})
    assert names(chunk) == ["state"]


# Ending ---------------------------------------------------------------------------------------------------------------


def test_idle_stream_sends_comments(client, anna, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0)
    _, *others = following(client, new_task(anna), lambda: None, lambda: None)
    assert others == [":\n\n", ":\n\n"]


def test_stream_ends_after_its_longest_time(client, anna, monkeypatch):
    monkeypatch.setattr(events, "LONGEST", 0)
    _, text = whole(client, new_task(anna))
    assert names(text) == ["state"]


def test_stream_ends_when_the_task_is_deleted(client, anna):
    task = new_task(anna)

    @async_to_sync
    async def play():
        stream = aiter(await client.get(path_of(task)))
        await anext(stream)
        await sync_to_async(AsyncTask.objects.filter(pk=task.pk).delete)()
        return await rest_of(stream)

    assert names(play()) == []


def test_stream_outlives_an_outage_of_the_database(client, anna, monkeypatch):
    task = new_task(anna)
    real, outages = changes.auntil_changed, [OperationalError("the database is away")]

    async def failing_once(*args):
        if outages:
            raise outages.pop()
        return await real(*args)

    monkeypatch.setattr(events, "HEARTBEAT", 0)
    monkeypatch.setattr(changes, "auntil_changed", failing_once)
    _, second, third = following(client, task, lambda: None, lambda: lifecycle.claim(task.pk))
    assert (second, names(third)) == (":\n\n", ["state"])


def test_stream_ends_a_task_that_has_waited_too_long(client, anna, settings, monkeypatch):
    dialects = settings.ASYNC_EXCHANGE["DIALECTS"]
    monkeypatch.setattr(events, "HEARTBEAT", 0)
    task = new_task(anna)

    def grow_old():
        AsyncTask.objects.filter(pk=task.pk).update(created=soon(minutes=-2))

    settings.ASYNC_EXCHANGE = exchange(DIALECTS={**dialects, "prefer": {**dialects["prefer"], "QUEUE_LIMIT": 60}})
    _, second = following(client, task, grow_old)
    assert [document["reason"] for _, _, document in parsed(second)] == ["queue_timeout"]


# Who sees it ----------------------------------------------------------------------------------------------------------


def test_task_of_another_account_is_answered_like_an_unknown_one(client):
    other = new_task(User.objects.create(username="otto"))
    get = async_to_sync(client.get)
    found, unknown = get(path_of(other)), get(f"/async/tasks/{uuid.uuid4()}/events")
    assert found.status_code == 404
    assert (found.content, sorted(found.items())) == (unknown.content, sorted(unknown.items()))


def test_anonymous_caller_gets_401(anna):
    assert async_to_sync(AsyncClient().get)(path_of(new_task(anna))).status_code == 401


def test_only_the_default_dialect_has_events():
    assert [mount.name for mount in conf.mounts if "events" in mount.ROUTES] == ["prefer"]


# Where it is served ---------------------------------------------------------------------------------------------------


@pytest.fixture
def wsgi(anna):
    client = Client()
    client.force_login(anna)
    return client


def test_wsgi_server_refuses_and_names_the_address_to_wait_at(wsgi, anna):
    task = new_task(anna)
    response = wsgi.get(path_of(task))
    assert (response.status_code, response["Content-Type"]) == (501, "application/problem+json")
    assert response["Link"] == f'<http://testserver/async/tasks/{task.pk}>; rel="alternate"'
    assert (response.json()["code"], "Prefer: wait=N" in response.json()["detail"]) == ("no_events", True)


def test_refusal_is_translated(wsgi, anna):
    with translation.override(None):
        response = wsgi.get(path_of(new_task(anna)), headers={"Accept-Language": "ru"})
    assert response.json()["detail"].startswith("Этот сервер не отправляет событий.")


def test_wsgi_server_streams_where_the_setting_allows_it(wsgi, anna, allowed):
    task = new_task(anna)
    stream = iter(wsgi.get(path_of(task)))
    first = next(stream).decode()
    lifecycle.cancel(task)
    assert (names(first), names(next(stream).decode()), list(stream)) == (["state"], ["end"], [])


def test_idle_stream_under_wsgi_sends_comments(wsgi, anna, allowed, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0)
    stream = iter(wsgi.get(path_of(new_task(anna))))
    next(stream)
    assert next(stream) == b":\n\n"


def test_unfinished_task_links_to_its_events_under_asgi(client, anna):
    task = new_task(anna)
    links = async_to_sync(client.get)(f"/async/tasks/{task.pk}").json()["links"]
    assert links["events"] == f"http://testserver{path_of(task)}"


@pytest.mark.urls("tests.services")
def test_202_links_to_the_events_under_asgi(client, settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    accepted = async_to_sync(client.get)("/answers/200/", headers={"Prefer": "respond-async"})
    assert (accepted.status_code, accepted.json()["links"]["events"]) == (202, f"{accepted['Location']}/events")


def test_finished_task_does_not_link_to_its_events(client, anna):
    links = async_to_sync(client.get)(f"/async/tasks/{new_task(anna, State.DONE).pk}").json()["links"]
    assert "events" not in links


def test_task_does_not_link_to_events_that_are_not_served(wsgi, anna):
    assert "events" not in wsgi.get(f"/async/tasks/{new_task(anna).pk}").json()["links"]


def test_task_links_to_its_events_under_wsgi_where_the_setting_allows_it(wsgi, anna, allowed):
    assert "events" in wsgi.get(f"/async/tasks/{new_task(anna).pk}").json()["links"]


# Real servers ---------------------------------------------------------------------------------------------------------


class Reading:
    """The stream of ``task`` on a connection of its own."""

    def __init__(self, port, task, cookie):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.connection.request("GET", path_of(task), headers={"Cookie": cookie})
        self.response = self.connection.getresponse()

    def event(self):
        """The name of the next event."""
        while line := self.response.readline():
            if line.startswith(b"event: "):
                return line.decode().removeprefix("event: ").strip()
        return None

    def close(self):
        self.response.close()
        self.connection.close()


@pytest.fixture
def cookie(client):
    return f"sessionid={client.cookies['sessionid'].value}"


def watches():
    return notifier._notifier._watches


def test_events_arrive_as_they_happen_over_asgi(anna, cookie):
    task = new_task(anna)
    with asgi_server() as port, contextlib.closing(Reading(port, task, cookie)) as reading:
        assert reading.event() == "state"
        lifecycle.claim(task.pk)
        assert reading.event() == "state"
        report(task, 1)
        assert reading.event() == "progress"
        lifecycle.cancel(AsyncTask.objects.get(pk=task.pk))
        assert (reading.event(), reading.event()) == ("end", None)


def test_nothing_is_left_of_a_client_that_disconnects_over_asgi(anna, cookie):
    task = new_task(anna)
    with asgi_server() as port:
        reading = Reading(port, task, cookie)
        until(lambda: task.pk in watches())
        reading.close()
        until(lambda: task.pk not in watches())


def test_events_arrive_as_they_happen_over_wsgi(anna, cookie, allowed):
    task = new_task(anna)
    with wsgi_server() as port, contextlib.closing(Reading(port, task, cookie)) as reading:
        assert reading.event() == "state"
        lifecycle.cancel(task)
        assert (reading.event(), reading.event()) == ("end", None)


def test_reconnect_after_the_end_is_a_204_over_asgi(anna, cookie):
    task = new_task(anna, State.DONE)
    with asgi_server() as port:
        assert ask(port, "GET", path_of(task), headers={"Cookie": cookie, "Last-Event-ID": "end"})[0] == 204


def test_more_waiting_streams_take_no_more_threads_over_asgi(anna, cookie):
    tasks = [new_task(anna) for _ in range(8)]
    with asgi_server() as port, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(Reading(port, tasks[0], cookie)))
        until(lambda: tasks[0].pk in watches())
        before = threading.active_count()
        for task in tasks[1:]:
            stack.enter_context(contextlib.closing(Reading(port, task, cookie)))
        until(lambda: len(watches()) == len(tasks))
        until(lambda: threading.active_count() <= before)


@pytest.mark.service
@pytest.mark.urls(__name__)
def test_event_source_of_a_browser_reads_to_the_end_and_stops(settings, tmp_path):
    program = shutil.which("chromium")
    if program is None:
        assert not os.environ.get("CI"), "CI has to have chromium"
        pytest.skip("chromium is not installed")
    settings.ASYNC_EXCHANGE = exchange(ALLOW_ANONYMOUS=True)
    task = new_task(None, State.PROCESSING, progress_done=1, progress_total=4)
    TOLD.clear()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}"]
    with asgi_server() as port:
        address = f"http://127.0.0.1:{port}/page/?{path_of(task)}"
        command = [program, *options, "--disable-background-networking", "--remote-debugging-port=0", address]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            until(lambda: task.pk in watches())
            lifecycle.cancel(task)
            until(lambda: TOLD)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert TOLD == ["PROCESSING,25,undefined"]
