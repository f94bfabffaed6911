"""Shared by tests of the store and the worker: views of a project, simple executors, and rows of tasks.

As a module it is also a URLconf: ``@pytest.mark.urls("tests.services")``.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import datetime as dt
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar
from unittest import mock

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group
from django.db import OperationalError, connections
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import get_script_prefix, include, path
from django.utils import timezone, translation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response as ApiResponse
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_asyncexchange.conf import conf
from django_asyncexchange.executors import Executor
from django_asyncexchange.identity import stamps
from django_asyncexchange.identity.callers import Kind
from django_asyncexchange.identity.snapshot import Identity
from django_asyncexchange.models import AsyncTask, Body, encode
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Owner, Request
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.tasks.submit import Submission, submit
from django_asyncexchange.worker import runner

PATIENCE = 60
"""Seconds after which something awaited will not come any more."""


def exchange(**changes: Any) -> dict[str, Any]:
    """``ASYNC_EXCHANGE`` of the tests with changes."""
    return {**settings.ASYNC_EXCHANGE, **changes}


def until(look: Callable[[], Any], patience: float = PATIENCE, pause: float = 0.02) -> Any:
    """Call ``look`` every ``pause`` seconds until its result is true, and return that."""
    deadline = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {patience} s"
        time.sleep(pause)
    return seen


@contextlib.contextmanager
def given_up_after(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the main thread after so many seconds."""

    def give_up(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Executors ------------------------------------------------------------------------------------------------------------

IDLE = f"{__name__}.Idle"
BROKEN = f"{__name__}.Broken"
TORN = f"{__name__}.Torn"


class Idle(Executor):
    """Records the ids that it is given, and runs nothing."""

    sent: ClassVar[list[str]] = []

    def send(self, id: str, job: str = "run") -> None:
        if job == "run":
            self.sent.append(id)


class Broken(Idle):
    """A broker that is down."""

    def send(self, id: str, job: str = "run") -> None:
        raise ConnectionError("the broker is down")


class Torn(Broken):
    """A broker whose messages are committed with the tasks."""

    def is_transactional(self, alias: str) -> bool:
        return True


# Databases ------------------------------------------------------------------------------------------------------------


class Failing:
    """For ``execute_wrapper``: the statement with number ``at``, from 0, fails once."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.statements: list[str] = []

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        self.statements.append(sql)
        if len(self.statements) == self.at + 1:
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    @property
    def failed(self) -> str | None:
        """The failed statement."""
        return self.statements[self.at] if self.at < len(self.statements) else None


# Owners ---------------------------------------------------------------------------------------------------------------


def company(request: Any) -> Owner:
    """``OWNER``: all users with the same last name share an account."""
    return Owner(account=request.user.last_name, id=str(request.user.pk))


def confused(request: Any) -> Owner:
    """``OWNER`` with a mistake."""
    raise RuntimeError("whose is it?")


# Rows -----------------------------------------------------------------------------------------------------------------


def soon(**span: float) -> dt.datetime:
    """A moment relative to now; negative spans are in the past."""
    return timezone.now() + dt.timedelta(**span)


def captured(path: str = "/ran/", method: str = "GET", **changes: Any) -> Request:
    """A captured call."""
    fields = {"scheme": "http", "host": "testserver", "script_name": "", "query": "", "headers": (), "is_checked": True}
    return Request(**{**fields, "method": method, "path": path, **changes})


def captured_by_asgi(path: str, **changes: Any) -> Request:
    """A captured call that was received over ASGI."""
    scope = {"http_version": "1.1", "path": path, "client": ["127.0.0.1", 4711], "server": ["testserver", 80]}
    return captured(path, scope=scope, **changes)


def stamped(call: Request, owner: Any) -> Request:
    """``call`` as one of ``owner``'s."""
    return dataclasses.replace(call, stamp=stamps.make(Kind.USER.name, *stamps.facts_of(owner, get_user_model())))


def prefix_of(dialect: str) -> str:
    """The prefix of the mount ``dialect``, or "" if there is none."""
    return next((mount.prefix for mount in conf.mounts if mount.name == dialect), "")


def stored(
    state: State = State.PENDING,
    *,
    to: str | Request = "/ran/",
    owner: AbstractBaseUser | None = None,
    answer: bytes | None = None,
    **fields: Any,
) -> AsyncTask:
    """A stored task with the fields of its state, and ``answer`` as its response body."""
    call = captured(to) if isinstance(to, str) else to
    if owner is not None and "auth_backend" in fields:
        call = stamped(call, owner)
    values: dict[str, Any] = {
        "dialect": "moysklad",
        "account": str(owner.pk) if owner else "",
        "owner": owner,
        "owner_kind": "employee",
        "owner_reference": str(owner.pk) if owner else "",
        "method": call.method,
        "url": f"http://testserver{call.path}?async=true",
        "base": f"http://testserver{prefix_of(fields.get('dialect', 'moysklad'))}",
        "is_repeatable": fields.get("method", call.method) in ("GET", "HEAD", "OPTIONS"),
        "request": encode(call),
    }
    if state is not State.PENDING:
        values |= {"attempt": 1, "started": soon(minutes=-1)}
    if state.is_final:
        values |= {"finished": soon(), "deletion_date": soon(hours=1), "purge_date": soon(days=7)}
    if state in (State.DONE, State.API_ERROR):
        headers = [["Content-Type", "application/json"]]
        values |= {"status_code": 200 if state is State.DONE else 400, "response_headers": headers}
    task = AsyncTask.objects.create(state=state, **{**values, **fields})
    if answer is not None:
        Body.objects.create(task=task, kind=Body.RESPONSE, attempt=task.attempt, content=answer, size=len(answer))
    task.refresh_from_db()
    return task


def perform(task: AsyncTask) -> int | None:
    """Run ``task`` and return its status code."""
    runner.run(str(task.pk))
    task.refresh_from_db()
    return task.status_code


def run_alone(id: object) -> None:
    """Run the task ``id``, and none of the other ready ones."""
    with mock.patch.object(runner, "SLICE_SECONDS", 0):
        runner.run(str(id))


def answer(task: AsyncTask) -> Any:
    """The JSON of a task's response."""
    return json.loads(bytes(task.bodies.get(kind=Body.RESPONSE).content))


def submitted(
    chunks: Iterable[bytes] = (),
    *,
    to: str | Request = "/ran/",
    dialect: str = "moysklad",
    account: str = "one",
    key: str = "",
) -> AsyncTask:
    """A task as the middleware submits it, for the application 7 of ``account``."""
    call = captured(to) if isinstance(to, str) else to
    submission = Submission(
        call=call,
        method=call.method,
        url=f"http://testserver{call.path}?async=true",
        base=f"http://testserver{conf.dialect(dialect).prefix}",
        is_repeatable=call.method in ("GET", "HEAD", "OPTIONS"),
        dialect=conf.dialect(dialect),
        identity=Identity(owner=Owner(account=account, kind="application", id="7")),
        idempotency_key=key,
    )
    return submit(submission, chunks)[0]


# Views ----------------------------------------------------------------------------------------------------------------

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("MARK", default="")


class Stage:
    """A meeting point of a test and a running view, from two threads."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def play(self) -> None:
        self.entered.set()
        assert self.released.wait(PATIENCE)


stage = Stage()


def meanwhile(work: Callable[[], Any]) -> Callable[[], None]:
    """Do ``work`` in another thread as soon as a view is at the stage; returns a function that joins the thread."""

    def do() -> None:
        try:
            assert stage.entered.wait(PATIENCE)
            work()
        except BaseException as error:
            problems.append(error)
        finally:
            connections.close_all()

    problems: list[BaseException] = []
    thread = threading.Thread(target=do)
    thread.start()

    def join() -> None:
        thread.join()
        assert problems == []

    return join


def ran(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Leaves a row for each run, and returns the process id."""
    Group.objects.create(name=f"run {uuid.uuid4()}")
    return JsonResponse({"pid": os.getpid(), "body": request.body.decode(errors="replace")})


def runs() -> int:
    """How often ``ran`` ran."""
    return Group.objects.count()


def answers(request: HttpRequest, status: int) -> HttpResponse:
    return HttpResponse(b"the answer", status=status, headers={"X-Own": "kept", "Content-Type": "text/x-own"})


def raises(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a view's own mistake")


def leaves(request: HttpRequest) -> HttpResponse:
    """Raises SystemExit, as a careless view might."""
    raise SystemExit(1)


def waits(request: HttpRequest) -> HttpResponse:
    threading.Event().wait(PATIENCE)
    return HttpResponse()


def listens(request: HttpRequest) -> HttpResponse:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(PATIENCE)
        here.recv(1)
    return HttpResponse()


def shrugs(request: HttpRequest) -> HttpResponse:
    """Waits, and swallows every exception."""
    try:
        threading.Event().wait(PATIENCE)
    except Exception:
        return HttpResponse(b"swallowed")
    return HttpResponse()


async def dreams(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(PATIENCE)
    return HttpResponse()


def fills(request: HttpRequest, size: int) -> HttpResponse:
    return HttpResponse(b"x" * size)


def breaks(request: HttpRequest) -> StreamingHttpResponse:
    """Fails in the middle of a stream."""

    def chunks() -> Iterator[bytes]:
        yield b"x" * 200_000
        raise RuntimeError("the source is gone")

    return StreamingHttpResponse(chunks())


def lists(request: HttpRequest) -> StreamingHttpResponse:
    """Streams the names of all groups, and enters the stage after the first one."""

    def lines() -> Iterator[str]:
        names = Group.objects.order_by("pk").values_list("name", flat=True).iterator(chunk_size=100)
        yield next(names)
        stage.play()
        yield from names

    return StreamingHttpResponse(lines())


def reveals(request: HttpRequest) -> HttpResponse:
    """Returns the context of the run, and changes it."""
    seen = {
        "mark": MARK.get(),
        "language": translation.get_language(),
        "zone": timezone.get_current_timezone_name(),
        "task": str(request.async_task.id) if request.async_task else None,
        "user": str(request.user),
        "prefix": get_script_prefix(),
    }
    MARK.set("spoilt")
    translation.activate("ru")
    timezone.activate("Asia/Tokyo")
    return JsonResponse(seen)


def meets(request: HttpRequest) -> HttpResponse:
    stage.play()
    return HttpResponse(b"late")


def cancels(request: HttpRequest) -> HttpResponse:
    """Cancels its own task."""
    lifecycle.cancel(AsyncTask.objects.get(pk=request.async_task.id))
    return HttpResponse(b"x" * 200_000)


class Counting(BaseThrottle):
    """Allows every request, and counts them."""

    asked = 0

    def allow_request(self, request: Any, view: Any) -> bool:
        type(self).asked += 1
        return True


class Throttled(APIView):
    throttle_classes: ClassVar[list[type[BaseThrottle]]] = [Counting]
    permission_classes: ClassVar[list[Any]] = [AllowAny]

    def get(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse({"ok": True})

    post = get


for view in (ran, answers, raises, waits, fills, reveals, meets, Throttled):
    view.async_exchange = True

urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("ran/", ran),
    path("ran/<path:rest>", ran),
    path("api/remap/1.2/ran/", ran),
    path("kladana/api/remap/1.2/ran/", ran),
    path("answers/<int:status>/", answers),
    path("raises/", raises),
    path("leaves/", leaves),
    path("waits/", waits),
    path("listens/", listens),
    path("shrugs/", shrugs),
    path("dreams/", dreams),
    path("fills/<int:size>/", fills),
    path("breaks/", breaks),
    path("lists/", lists),
    path("reveals/", reveals),
    path("meets/", meets),
    path("cancels/", cancels),
    path("throttled/", Throttled.as_view()),
]
