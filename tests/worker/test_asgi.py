"""A call received over ASGI runs over ASGI: scope, asynchronous middleware, tasks, streams, interruptions."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import http.client
import json
import socket
import threading
import time

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.contrib.auth.models import Group, User
from django.core import signals
from django.core.handlers.asgi import ASGIRequest
from django.db import connection, transaction
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, override_settings
from django.urls import get_script_prefix, include, path
from django.utils import timezone, translation
from django.utils.decorators import async_only_middleware, sync_only_middleware

from django_asyncexchange.intake import asgi_scope, capture
from django_asyncexchange.models import AsyncTask, encode
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import asgi, event_loops, runner

from ..project.serving import asgi_server
from ..services import (
    IDLE,
    PATIENCE,
    Counting,
    Throttled,
    captured,
    captured_by_asgi,
    exchange,
    meanwhile,
    stage,
    stored,
    until,
)
from ..store.test_db_sessions import begin_by_hand, executed, forbid_writing
from .test_runner import UnknownBaseException, limited
from .test_watchdog import LONG

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PREFER = {"Prefer": "respond-async"}
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="clean")
SEEN = []
"""What views leave for tests."""


# Views ----------------------------------------------------------------------------------------------------------------


async def tells(request, rest=""):
    """The scope of the request, and what Django makes of it."""
    shown = {name: repr(said) for name, said in request.scope.items()}
    shown["headers"] = [[name.decode(), text.decode("latin-1")] for name, text in request.scope["headers"]]
    meta = {name: said for name, said in request.META.items() if isinstance(said, str | int)}
    return JsonResponse({"scope": shown, "META": meta, "body": request.body.decode(), "GET": request.GET.dict()})


def is_synchronous(request):
    with transaction.atomic():
        Group.objects.create(name="synchronous")
    return JsonResponse([type(request).__name__, threading.current_thread() is threading.main_thread()], safe=False)


async def is_asynchronous(request):
    group = await Group.objects.acreate(name="asynchronous")
    thread = await sync_to_async(threading.current_thread)()
    return JsonResponse(
        [
            type(request).__name__,
            isinstance(request, ASGIRequest),
            group.pk is not None,
            thread is threading.main_thread(),
        ],
        safe=False,
    )


def goes_there_and_back(request):
    """Synchronous code that calls asynchronous code with queries."""

    async def count():
        await Group.objects.acreate(name="there")
        return await sync_to_async(Group.objects.count)()

    return JsonResponse(async_to_sync(count)(), safe=False)


async def renders(request):
    class Rendered(HttpResponse):
        async def render(self):
            self.content = f"{await Group.objects.acount()} groups".encode()
            return self

    return Rendered()


async def begins_tasks(request):
    async def write(name):
        await asyncio.sleep(0.05)
        await Group.objects.acreate(name=name)
        if name == "outer":
            KEPT.append(asyncio.create_task(write("inner")))

    KEPT.append(asyncio.create_task(write("outer")))
    return HttpResponse(b"accepted")


KEPT = []


async def begins_a_task_that_fails(request):
    async def fail():
        raise RuntimeError("a task's own mistake")

    asyncio.create_task(fail())  # noqa: RUF006
    return HttpResponse(b"accepted")


async def begins_a_task_without_end(request):
    async def idle():
        try:
            await asyncio.Event().wait()
        finally:
            await Group.objects.acreate(name="cleaned up")

    KEPT.append(asyncio.create_task(idle()))
    return HttpResponse(b"accepted")


async def streams(request):
    async def chunks():
        yield b"x" * 1000
        stage.entered.set()
        await asyncio.to_thread(stage.released.wait, PATIENCE)
        yield b"x" * 3000

    return StreamingHttpResponse(chunks(), headers={"Content-Length": "4000"})


async def streams_without_end(request):
    async def chunks():
        try:
            while True:
                stage.entered.set()
                yield b"x" * 10_000
                await asyncio.sleep(0)
        finally:
            SEEN.append("closed")

    return StreamingHttpResponse(chunks())


async def streams_in_one_context(request):
    """Like a library with context variables or a timeout in its stream."""
    VARIABLE.set("the view's")

    async def chunks():
        token = VARIABLE.set("the stream's")
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                yield b"x" * asgi.CHUNK_SIZE
                names = [group.name async for group in Group.objects.all()]
                assert names == []
        assert VARIABLE.get() == "the stream's"
        VARIABLE.reset(token)
        yield VARIABLE.get().encode()

    return StreamingHttpResponse(chunks())


async def streams_synchronously(request):
    VARIABLE.set("the view's")
    translation.activate("ru")

    def chunks():
        token = VARIABLE.set(VARIABLE.get() + " stream")
        yield b"x" * 200_000
        yield f"{VARIABLE.get()} {translation.get_language()}".encode()
        VARIABLE.reset(token)

    return StreamingHttpResponse(chunks())


async def waits_for_its_tasks_within_its_stream(request):
    """A task fills the queue that the stream empties, with queries of its own."""
    filled = asyncio.Queue()

    async def fill():
        for number in range(50):
            await Group.objects.acreate(name=f"group {number}")
            await filled.put(b"x" * 10_000)
        await filled.put(None)

    async def chunks():
        KEPT.append(asyncio.create_task(fill()))
        while (chunk := await filled.get()) is not None:
            yield chunk

    return StreamingHttpResponse(chunks())


async def sleeps(request):
    stage.entered.set()
    try:
        await asyncio.sleep(PATIENCE)
    except asyncio.CancelledError:
        await Group.objects.acreate(name="cancelled")
        raise
    return HttpResponse(b"slept")


def sleeps_synchronously(request):
    stage.entered.set()
    time.sleep(PATIENCE)
    return HttpResponse(b"slept")


async def asks(request):
    """A slow query."""
    stage.entered.set()
    await sync_to_async(executed)(LONG[connection.vendor])
    return HttpResponse(b"asked")


async def streams_slowly(request):
    async def chunks():
        yield b"x"
        stage.entered.set()
        await asyncio.sleep(PATIENCE)

    return StreamingHttpResponse(chunks())


async def leaves_a_task_asleep(request):
    KEPT.append(asyncio.create_task(asyncio.sleep(PATIENCE)))
    stage.entered.set()
    return HttpResponse(b"accepted")


async def waits_in_a_thread(request):
    await asyncio.gather(*(asyncio.to_thread(Group.objects.count) for _ in range(3)))
    return HttpResponse(b"waited")


class Pool:
    """Like a client of HTTP, Redis or a database: a kept connection, and a lock that tasks wait for."""

    streams = None
    lock = asyncio.Lock()

    @classmethod
    async def ask(cls):
        async with cls.lock:
            if cls.streams is None:
                ours, theirs = socket.socketpair()
                threading.Thread(target=echo, args=(theirs,), daemon=True).start()
                cls.streams = await asyncio.open_connection(sock=ours)
            reader, writer = cls.streams
            writer.write(b"ping\n")
            return (await reader.readline()).decode().strip()


def echo(line):
    with line, line.makefile("rwb") as file:
        for _ in file:
            file.write(b"pong\n")
            file.flush()


async def shares(request):
    answers = await asyncio.gather(Pool.ask(), Pool.ask())
    return JsonResponse([answers[0], answers[0] == answers[1]], safe=False)


async def stops_its_loop(request):
    asyncio.get_running_loop().stop()
    return HttpResponse(b"stopped")


async def runs_another(request):
    await sync_to_async(runner.run)(request.GET["id"])
    return HttpResponse(await asyncio.to_thread(lambda: b"ran"))


async def letters(name):
    try:
        for letter in "ab":
            yield letter
    finally:
        await asyncio.sleep(0.05)
        await Group.objects.acreate(name=name)


async def leaves_generators(request):
    """One generator without references, and one that is kept."""
    KEPT.append(letters("kept"))
    for generator in (letters("dropped"), KEPT[-1]):
        await anext(generator)
    return HttpResponse(b"left")


async def streams_a_generator_without_end(request):
    async def chunks():
        try:
            while True:
                stage.entered.set()
                yield b"x" * 100_000
        finally:
            await asyncio.sleep(0.05)
            await Group.objects.acreate(name="closed")

    return StreamingHttpResponse(chunks())


async def says_where_it_is_mounted(request):
    return HttpResponse(get_script_prefix())


async def fails(request):
    raise RuntimeError("a view's own mistake")


async def cancels_itself(request):
    asyncio.current_task().cancel()
    await asyncio.sleep(PATIENCE)


async def leaves(request):
    raise SystemExit(1)


def leaves_synchronously(request):
    raise SystemExit(1)


async def raises_beyond_exceptions(request):
    raise UnknownBaseException


async def streams_and_is_cancelled(request):
    async def chunks():
        yield b"x" * 200_000
        raise asyncio.CancelledError

    return StreamingHttpResponse(chunks())


async def streams_and_fails(request):
    async def chunks():
        yield b"x" * 200_000
        raise RuntimeError("the source is gone")

    return StreamingHttpResponse(chunks())


async def closes_badly(request):
    class Answer(HttpResponse):
        def close(self):
            super().close()
            raise UnknownBaseException

    return Answer()


async def leave():
    raise SystemExit(1)


async def begins_a_task_that_leaves(request):
    await asyncio.create_task(leave())


async def begins_a_task_that_leaves_it_alone(request):
    KEPT.append(asyncio.create_task(leave()))
    await asyncio.sleep(PATIENCE)


BEYOND = [
    cancels_itself,
    leaves,
    leaves_synchronously,
    raises_beyond_exceptions,
    streams_and_is_cancelled,
    streams_and_fails,
    closes_badly,
    begins_a_task_that_leaves,
    begins_a_task_that_leaves_it_alone,
]


async def reveals(request):
    seen = {
        "variable": VARIABLE.get(),
        "language": translation.get_language(),
        "zone": timezone.get_current_timezone_name(),
        "synchronous": await sync_to_async(lambda: [VARIABLE.get(), translation.get_language()])(),
    }
    VARIABLE.set("spoilt")
    translation.activate("ru")
    timezone.activate("Asia/Tokyo")
    return JsonResponse(seen)


async def spoils(request, by):
    return await sync_to_async({"begin": begin_by_hand, "forbid": forbid_writing}[by])(request)


async def knows(request):
    user = await request.auser()
    return JsonResponse([user.username, request.user.username, str(request.async_task.id)], safe=False)


async def has_one_task(request):
    return JsonResponse([request.task is asyncio.current_task(), VARIABLE.get()], safe=False)


@async_only_middleware
def noting(get_response):
    async def middleware(request):
        request.task = asyncio.current_task()
        VARIABLE.set("the middleware's")
        return await get_response(request)

    return middleware


@sync_only_middleware
def synchronous(get_response):
    def middleware(request):
        SEEN.append(threading.current_thread() is threading.main_thread())
        return get_response(request)

    return middleware


VIEWS = (
    *BEYOND,
    is_synchronous,
    is_asynchronous,
    goes_there_and_back,
    renders,
    begins_tasks,
    begins_a_task_that_fails,
    begins_a_task_without_end,
    streams,
    streams_without_end,
    streams_in_one_context,
    streams_synchronously,
    waits_for_its_tasks_within_its_stream,
    sleeps,
    sleeps_synchronously,
    asks,
    streams_slowly,
    leaves_a_task_asleep,
    waits_in_a_thread,
    shares,
    stops_its_loop,
    runs_another,
    leaves_generators,
    streams_a_generator_without_end,
    says_where_it_is_mounted,
    fails,
    reveals,
    knows,
    has_one_task,
)
for view in (*VIEWS, tells, spoils):
    view.async_exchange = True
urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("tells/", tells),
    path("tells/<path:rest>", tells),
    path("api/remap/1.2/tells/", tells),
    path("spoils/<str:by>/", spoils),
    path("throttled/", Throttled.as_view()),
    *(path(f"{view.__name__}/", view) for view in VIEWS),
]


# Calls ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def waiting(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    stage.reset()
    SEEN.clear()
    yield
    stage.released.set()


def sent(to, client=None, **headers):
    """The task of a call of the view at ``to``, submitted over ASGI."""
    submit = async_to_sync((client or AsyncClient()).get)
    accepted = contextvars.copy_context().run(submit, to, headers={**PREFER, **headers})
    assert accepted.status_code == 202, accepted.content
    return AsyncTask.objects.latest("created")


def ended(task):
    """``task`` after its run."""
    assert runner.run(str(task.pk)) is None
    return AsyncTask.objects.get(pk=task.pk)


def answer(task):
    return bodies.read(task.response_body())


def names():
    return set(Group.objects.values_list("name", flat=True))


# The scope ------------------------------------------------------------------------------------------------------------

NOT_OF_A_RUN = {"extensions", "state"}
HEADERS_NOT_OF_A_RUN = {"cookie", "authorization", "prefer", "te"}


def conversed(port, *calls):
    """The responses to ``calls``, all on one connection."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as talk:
        for method, target, body, headers in calls:
            talk.putrequest(method, target, skip_accept_encoding=True)
            for name, text in headers:
                talk.putheader(name, text)
            talk.endheaders(body)
            response = talk.getresponse()
            yield response.status, response.read()


@pytest.mark.parametrize("body", [b"", b"a=1&b=2"])
def test_run_has_the_scope_of_the_synchronous_call(client, body):
    client.force_login(User.objects.create_user("anna"))
    headers = [
        ("Cookie", f"sessionid={client.cookies['sessionid'].value}; csrftoken={'s' * 32}"),
        ("X-CSRFToken", "s" * 32),
        ("Accept-Encoding", "gzip"),
        ("X-Twice", "one"),
        ("x-between", "caf\xe9"),
        ("X-Twice", "two"),
        ("X_underscore", "dropped by Django, and not by ASGI"),
        ("Prefer", "return=minimal"),
        ("TE", "trailers"),
        ("Content-Type", "text/plain"),
        *([("Content-Length", str(len(body)))] if body else []),
    ]
    target = "/tells/%D1%8F%20x/a%2Fb?a=%D1%8F&b=1&b=2"
    with asgi_server() as port:
        (_, now), (status, accepted) = conversed(
            port, ("POST", target, body, headers), ("POST", target, body, [*headers, ("Prefer", "respond-async")])
        )
    assert status == 202, accepted
    plain, later = json.loads(now), json.loads(answer(ended(AsyncTask.objects.get())))
    is_kept = lambda pair: pair[0] not in HEADERS_NOT_OF_A_RUN or pair == ["prefer", "return=minimal"]  # noqa: E731
    assert later["scope"].pop("headers") == [pair for pair in plain["scope"].pop("headers") if is_kept(pair)]
    assert later["scope"] == {name: said for name, said in plain["scope"].items() if name not in NOT_OF_A_RUN}
    assert (later["body"], later["GET"]) == (plain["body"], plain["GET"])
    dropped = {"HTTP_COOKIE", "HTTP_TE"}
    assert later["META"] == {name: said for name, said in plain["META"].items() if name not in dropped}


FULL = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "2",
    "method": "GET",
    "scheme": "https",
    "path": "/app/api/\u044f/x",
    "raw_path": b"/app/api/%D1%8F/x",
    "query_string": b"a=%D1%8F&b=\xd1\x8f",
    "root_path": "/app",
    "headers": [(b"host", b"example.org"), (b"x-twice", b"1"), (b"x-twice", b"2")],
    "client": ("::1", 4711),
    "server": ("/run/app.sock", None),
}


def rebuilt(scope, target=None):
    call = capture.capture(ASGIRequest(scope, None), target)
    with capture.rebuilt(json_of(call), []) as request:
        return request.scope


def json_of(call):
    """``call`` as it is read back from the database."""
    fields = json.loads(json.dumps(dataclasses.asdict(call)))
    return type(call)(**{**fields, "headers": tuple(map(tuple, fields["headers"]))})


def test_scope_is_rebuilt_exactly():
    assert rebuilt(FULL) == FULL


@pytest.mark.parametrize("name", ["raw_path", "root_path", "client", "server"])
def test_missing_scope_key_is_not_invented(name):
    scope = {key: said for key, said in FULL.items() if key != name}
    if name == "root_path":
        scope["path"] = "/api/x"
    assert rebuilt(scope) == scope


@pytest.mark.parametrize("name", ["client", "server"])
def test_none_in_the_scope_stays_none(name):
    assert rebuilt({**FULL, name: None})[name] is None


def test_extensions_and_foreign_scope_keys_are_dropped():
    assert rebuilt({**FULL, "extensions": {"tls": {}}, "state": {"pool": object()}, "user": object()}) == FULL


def test_path_without_the_trigger_is_in_the_scope():
    scope = rebuilt(FULL, ("/b c/\u044f", "a=1"))
    assert (scope["path"], scope["raw_path"]) == ("/app/b c/\u044f", b"/app/b%20c/%D1%8F")
    assert scope["query_string"] == b"a=1"


def test_query_string_without_the_trigger_is_in_the_scope(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "VIEWS": ["/api/remap/1.2/tells/"]}
    response = async_to_sync(AsyncClient().get)("/api/remap/1.2/tells/?a=1&async=true&b=2")
    assert response.status_code == 202
    assert json.loads(answer(ended(AsyncTask.objects.get())))["scope"]["query_string"] == repr(b"a=1&b=2")


def test_call_received_over_wsgi_has_no_scope():
    assert asgi_scope.build(captured())["headers"] == []
    with capture.rebuilt(captured(), []) as request:
        assert not hasattr(request, "scope")


# Middleware and views -------------------------------------------------------------------------------------------------


def test_async_view_gets_an_asgi_request_and_queries_in_the_runs_thread():
    task = ended(sent("/is_asynchronous/"))
    assert json.loads(answer(task)) == ["ASGIRequest", True, True, True]


def test_sync_view_runs_in_the_runs_thread():
    task = ended(sent("/is_synchronous/"))
    assert json.loads(answer(task)) == ["ASGIRequest", True]
    assert names() == {"synchronous"}


def test_async_middleware_and_view_share_one_task():
    ours = "django_asyncexchange.middleware.AsyncExchangeMiddleware"
    with override_settings(MIDDLEWARE=[f"{__name__}.noting", ours]):
        assert json.loads(answer(ended(sent("/has_one_task/")))) == [True, "the middleware's"]


def test_sync_middleware_around_an_async_view_runs_in_the_runs_thread(settings):
    settings.MIDDLEWARE = [f"{__name__}.synchronous", *settings.MIDDLEWARE]
    task = sent("/is_asynchronous/")
    SEEN.clear()
    assert json.loads(answer(ended(task))) == ["ASGIRequest", True, True, True]
    assert SEEN == [True]


def test_sync_view_may_call_async_code_with_queries():
    assert answer(ended(sent("/goes_there_and_back/"))) == b"1"


def test_async_render_is_awaited():
    assert answer(ended(sent("/renders/"))) == b"0 groups"


def test_run_has_the_root_path_of_its_call():
    call = captured_by_asgi("/says_where_it_is_mounted/", script_name="/app")
    scope = {**call.scope, "root_path": "/app", "path": f"/app{call.path}"}
    assert answer(ended(stored(to=dataclasses.replace(call, scope=scope)))) == b"/app/"


def test_run_sends_request_started_and_finished():
    task, seen = sent("/is_asynchronous/"), []
    started, finished = (lambda **said: seen.append(said["scope"]["path"])), (lambda **said: seen.append("finished"))
    signals.request_started.connect(started)
    signals.request_finished.connect(finished)
    try:
        ended(task)
    finally:
        signals.request_started.disconnect(started)
        signals.request_finished.disconnect(finished)
    assert seen == ["/is_asynchronous/", "finished"]


def test_async_view_runs_as_its_owner():
    client = AsyncClient()
    client.force_login(User.objects.create_user("anna"))
    task = ended(sent("/knows/", client))
    assert json.loads(answer(task)) == ["anna", "anna", str(task.pk)]


def test_async_view_of_a_deactivated_owner_does_not_run():
    client = AsyncClient()
    client.force_login(User.objects.create_user("anna"))
    task = sent("/is_asynchronous/", client)
    User.objects.update(is_active=False)
    task = ended(task)
    assert (task.state, task.status_code, names()) == ("API_ERROR", 401, set())


def test_run_is_not_throttled_again(monkeypatch):
    task = sent("/throttled/")
    monkeypatch.setattr(Counting, "asked", 0)
    assert ended(task).state == "DONE"
    assert Counting.asked == 0


def test_exception_of_an_async_view_is_a_stored_500():
    task = ended(sent("/fails/"))
    assert (task.state, task.reason, task.status_code) == ("ERROR", "exception", 500)
    assert b"Server Error" in answer(task)


@pytest.mark.parametrize("view", BEYOND, ids=lambda view: view.__name__)
def test_base_exception_of_an_async_view_is_recorded_and_the_worker_goes_on(view):
    task = ended(sent(f"/{view.__name__}/"))
    assert (task.state, task.reason, task.status_code, task.attempt) == ("ERROR", "exception", None, 1)
    assert ended(sent("/is_asynchronous/")).state == "DONE"


# Context --------------------------------------------------------------------------------------------------------------


def test_run_has_the_language_and_time_zone_of_its_call():
    task = sent("/reveals/", **{"Accept-Language": "ru"})
    zoned = dataclasses.replace(task.captured, time_zone="Asia/Almaty")
    AsyncTask.objects.update(request=encode(zoned))
    seen = json.loads(answer(ended(task)))
    assert (seen["language"], seen["zone"], seen["synchronous"]) == ("ru", "Asia/Almaty", ["clean", "ru"])


def test_context_variables_do_not_leak_into_the_next_run():
    first, second = (json.loads(answer(ended(sent("/reveals/")))) for _ in range(2))
    assert first == second
    assert (VARIABLE.get(), translation.get_language()) == ("clean", "en")


def test_async_stream_is_read_in_one_context():
    task = ended(sent("/streams_in_one_context/"))
    assert (task.state, answer(task)[3 * asgi.CHUNK_SIZE :]) == ("DONE", b"the view's")


def test_sync_stream_has_the_context_of_its_view():
    assert answer(ended(sent("/streams_synchronously/")))[200_000:] == b"the view's stream ru"


@pytest.mark.parametrize("by", ["begin", "forbid"])
def test_run_leaves_no_session_state_on_the_connection(by, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    assert ended(sent(f"/spoils/{by}/")).state == "DONE"
    assert ended(sent("/is_asynchronous/")).state == "DONE"
    assert names() == {"asynchronous"}


# Tasks ----------------------------------------------------------------------------------------------------------------


def test_tasks_of_a_view_finish_within_the_run():
    task = ended(sent("/begins_tasks/"))
    assert (task.state, answer(task), names()) == ("DONE", b"accepted", {"outer", "inner"})


def test_failed_task_of_a_view_is_logged_and_the_response_kept(caplog):
    task = ended(sent("/begins_a_task_that_fails/"))
    assert (task.state, answer(task)) == ("DONE", b"accepted")
    [record] = [record for record in caplog.records if record.exc_info and "own mistake" in str(record.exc_info[1])]
    assert (record.name, record.levelname, str(task.pk) in record.getMessage()) == (
        "django_asyncexchange",
        "ERROR",
        True,
    )


def test_endless_task_of_a_view_is_cancelled_before_the_run_limit(caplog):
    task = sent("/begins_a_task_without_end/")
    with limited(1.0, EXECUTOR=IDLE, ALLOW_ANONYMOUS=True):
        task = ended(task)
    assert (task.state, answer(task), names()) == ("DONE", b"accepted", {"cleaned up"})
    assert "1 tasks of its view have not ended, and are cancelled" in caplog.text


def test_stream_may_wait_for_a_task_with_queries():
    task = ended(sent("/waits_for_its_tasks_within_its_stream/"))
    assert (task.state, task.response_body().size, len(names())) == ("DONE", 500_000, 50)


def threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("asyncexchange-")}


def test_run_leaves_no_thread_and_no_task():
    ended(sent("/waits_in_a_thread/"))
    assert threads() <= {"asyncexchange-loop", "asyncexchange-watchdog"}
    assert asyncio.all_tasks(event_loops.of_this_thread().loop) == set()
    assert not SyncToAsync.context_to_thread_executor
    assert getattr(SyncToAsync.threadlocal, "main_event_loop", None) is not event_loops.of_this_thread().loop


def test_event_loop_is_closed_with_its_thread():
    loops_of = [event_loops.of_this_thread().loop]
    thread = threading.Thread(target=lambda: loops_of.append(event_loops.of_this_thread().loop))
    thread.start()
    thread.join()
    assert loops_of[0] is not loops_of[1]
    assert (loops_of[0].is_closed(), loops_of[1].is_closed()) == (False, True)


def test_asyncio_objects_of_a_module_work_in_the_next_run():
    first, second = (json.loads(answer(ended(sent("/shares/")))) for _ in range(2))
    assert first == second == ["pong", True]


def test_stopped_event_loop_does_not_affect_the_next_run():
    ended(sent("/stops_its_loop/"))
    assert json.loads(answer(ended(sent("/shares/")))) == ["pong", True]


def test_unfinished_generators_are_closed_within_the_run():
    assert ended(sent("/leaves_generators/")).state == "DONE"
    assert names() == {"dropped", "kept"}


def test_generator_closed_with_its_stream_may_make_queries(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "MAX_RESULT_BYTES": 1_000_000}
    assert ended(sent("/streams_a_generator_without_end/")).reason == "storage"
    assert names() == {"closed"}


def test_nested_run_has_its_own_event_loop():
    inner = sent("/is_asynchronous/")
    outer = ended(sent(f"/runs_another/?id={inner.pk}"))
    inner.refresh_from_db()
    assert (outer.state, answer(outer), inner.state) == ("DONE", b"ran", "DONE")


# Streams --------------------------------------------------------------------------------------------------------------


def test_progress_of_an_async_stream_is_recorded():
    task = sent("/streams/")
    told = {"progress_done": 1000, "progress_total": 4000}
    joined = meanwhile(lambda: (until(AsyncTask.objects.filter(pk=task.pk, **told).exists), stage.released.set()))
    task = ended(task)
    joined()
    assert (task.state, task.response_body().size, task.progress_done) == ("DONE", 4000, 4000)


def test_async_stream_ends_at_max_result_bytes(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "MAX_RESULT_BYTES": 1_000_000}
    task = ended(sent("/streams_without_end/"))
    assert (task.state, task.reason, SEEN) == ("ERROR", "storage", ["closed"])


# Interruptions --------------------------------------------------------------------------------------------------------

INTERRUPTED = [
    "sleeps",
    "sleeps_synchronously",
    "asks",
    "streams_slowly",
    "streams_without_end",
    "leaves_a_task_asleep",
]


@pytest.mark.parametrize("view", INTERRUPTED)
def test_cancelled_run_ends(view):
    task = sent(f"/{view}/")
    joined = meanwhile(lambda: lifecycle.cancel(AsyncTask.objects.get(pk=task.pk)))
    task = ended(task)
    joined()
    assert (task.state, task.status_code) == ("CANCEL", None)
    assert ended(sent("/is_asynchronous/")).state == "DONE"


@pytest.mark.parametrize("view", ["sleeps", "asks"])
def test_async_view_behind_sync_middleware_can_be_cancelled(view, settings):
    settings.MIDDLEWARE = [f"{__name__}.synchronous", *settings.MIDDLEWARE]
    test_cancelled_run_ends(view)


@pytest.mark.parametrize("view", ["sleeps", "streams_a_generator_without_end"])
def test_cancelled_async_view_may_clean_up(view):
    task = sent(f"/{view}/")
    joined = meanwhile(lambda: lifecycle.cancel(AsyncTask.objects.get(pk=task.pk)))
    ended(task)
    joined()
    assert names() == {"cancelled" if view == "sleeps" else "closed"}


@pytest.mark.parametrize("view", ["sleeps", "sleeps_synchronously", "asks", "streams_slowly", "streams_without_end"])
def test_run_over_its_limit_is_interrupted(view):
    task = sent(f"/{view}/")
    with limited(0.5, EXECUTOR=IDLE, ALLOW_ANONYMOUS=True):
        task = ended(task)
    assert (task.state, task.reason, task.status_code) == ("ERROR", "run_timeout", None)
    assert ended(sent("/is_asynchronous/")).state == "DONE"
