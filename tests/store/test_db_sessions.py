"""A run leaves nothing for the next one in the same process."""

from __future__ import annotations

import contextlib
import contextvars
import json
import threading

import pytest
from asgiref.local import Local
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, connections, transaction
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import get_script_prefix, get_urlconf, path, set_script_prefix, set_urlconf
from django.utils import timezone, translation

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.store import db_sessions
from django_asyncexchange.worker import runner

from ..services import IDLE, exchange, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="clean")
LOCAL = Local()
THREAD = threading.local()


def seen(request):
    """Everything that a run could find of an earlier one."""
    return JsonResponse(
        {
            "language": translation.get_language(),
            "zone": timezone.get_current_timezone_name(),
            "urlconf": get_urlconf(),
            "prefix": get_script_prefix(),
            "variable": VARIABLE.get(),
            "local": getattr(LOCAL, "mark", "clean"),
            "thread": getattr(THREAD, "mark", "clean"),
            "user": getattr(request.user, "username", ""),
            "autocommit": connection.get_autocommit(),
            "in a transaction": connection.in_atomic_block,
            "broken": connection.needs_rollback,
        }
    )


def spoil_context(request):
    translation.activate("ru")
    timezone.activate("Asia/Tokyo")
    set_urlconf("tests.services")
    request.urlconf = "tests.services"
    set_script_prefix("/elsewhere/")
    VARIABLE.set("spoilt")
    LOCAL.mark = "spoilt"
    return HttpResponse()


def spoil_thread(request):
    """Like a project that keeps its request in a thread local, and cleans up on ``request_finished``."""
    THREAD.mark = "spoilt"
    return HttpResponse()


def leave_transaction_open(request):
    transaction.atomic().__enter__()
    Group.objects.create(name="never committed")
    return HttpResponse()


def leave_transaction_broken(request):
    leave_transaction_open(request)
    transaction.set_rollback(True)
    return HttpResponse()


def switch_autocommit_off(request):
    transaction.set_autocommit(False)
    return HttpResponse()


def close_connection(request):
    connection.close()
    return HttpResponse()


def executed(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
    return HttpResponse()


def begin_by_hand(request):
    """A transaction that Django knows nothing of."""
    answer = executed("BEGIN")
    Group.objects.create(name="never committed")
    return answer


def begin_beside_the_cursor(request):
    """A transaction that no cursor wrapper has seen."""
    connection.ensure_connection()
    connection.connection.cursor().execute("BEGIN")
    return HttpResponse()


def stream_by_hand(request):
    """Streams within one transaction."""

    def chunks():
        executed("BEGIN")
        yield b"x" * 100_000
        yield b"x" * 100_000
        executed("ROLLBACK")

    return StreamingHttpResponse(chunks())


def stream_what_it_has_written(request):
    """On SQLite the open transaction blocks all other writers."""

    def chunks():
        executed("BEGIN")
        Group.objects.create(name="never committed")
        yield b"x" * 100_000
        yield b"x" * 100_000

    return StreamingHttpResponse(chunks())


def forbid_writing(request):
    return executed(FORBID[connection.vendor])


def look_elsewhere(request):
    return executed(ELSEWHERE[connection.vendor])


def hide_the_tasks(request):
    return executed(f"CREATE TEMPORARY TABLE {AsyncTask._meta.db_table} (id INTEGER)")


def keep_a_lock(request):
    return executed(LOCK[connection.vendor])


def close_the_drivers_connection(request):
    connection.ensure_connection()
    connection.connection.close()
    return HttpResponse()


FORBID = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET default_transaction_read_only = on",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}
ELSEWHERE = {
    "sqlite": "ATTACH ':memory:' AS elsewhere",
    "postgresql": "SET search_path = pg_catalog",
    "mysql": "USE information_schema",
}
LOCK = {
    "sqlite": "PRAGMA locking_mode = EXCLUSIVE",
    "postgresql": "SELECT pg_advisory_lock(7)",
    "mysql": "SELECT GET_LOCK('asyncexchange tests', 0)",
}

SPOILERS = (
    begin_by_hand,
    begin_beside_the_cursor,
    forbid_writing,
    look_elsewhere,
    hide_the_tasks,
    keep_a_lock,
    close_the_drivers_connection,
    spoil_context,
    spoil_thread,
    leave_transaction_open,
    leave_transaction_broken,
    switch_autocommit_off,
    close_connection,
)
STREAMS = (stream_by_hand, stream_what_it_has_written)
urlpatterns = [path("seen/", seen), *(path(f"{view.__name__}/", view) for view in (*SPOILERS, *STREAMS))]


def performed(to):
    """The state of a call and its JSON, run by this thread."""
    task = submitted(to=f"/{to}/")
    runner.run(str(task.pk))
    task.refresh_from_db()
    body = task.response_body()
    return task.state, json.loads(bytes(body.content)) if body else None


@pytest.fixture(autouse=True)
def idle(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)


@pytest.fixture(autouse=True)
def thread_local_is_cleaned():
    def clean(**kwargs):
        THREAD.__dict__.clear()

    request_finished.connect(clean)
    yield
    request_finished.disconnect(clean)


@pytest.fixture
def lasting(monkeypatch):
    """Connections that outlive a request, as the documentation recommends for workers."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    yield
    connection.close()


@contextlib.contextmanager
def kept_open():
    """Requests leave connections open, as with Django's test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


@contextlib.contextmanager
def elsewhere():
    """The cursor of another connection."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


@pytest.mark.parametrize("spoiler", SPOILERS, ids=lambda view: view.__name__)
def test_run_finds_nothing_of_the_run_before(spoiler, lasting):
    before = performed("seen")
    assert before[0] == "DONE"
    assert performed(spoiler.__name__)[0] == "DONE"
    assert performed("seen") == before
    with elsewhere() as cursor:
        cursor.execute(f"SELECT state FROM {AsyncTask._meta.db_table}")
        assert list(cursor.fetchall()) == [("DONE",)] * 3


@pytest.mark.skipif(connection.vendor == "sqlite", reason="its locks are those of the file")
def test_session_locks_end_with_the_run(lasting):
    performed("keep_a_lock")
    with elsewhere() as cursor:
        cursor.execute({"postgresql": "SELECT pg_try_advisory_lock(7)"}.get(connection.vendor, LOCK["mysql"]))
        assert cursor.fetchone() in [(True,), (1,)]


@pytest.mark.parametrize("view", STREAMS, ids=lambda view: view.__name__)
def test_stream_inside_a_manual_transaction_is_stored(lasting, view):
    task = submitted(to=f"/{view.__name__}/")
    runner.run(str(task.pk))
    task.refresh_from_db()
    assert (task.state, task.response_body().size) == ("DONE", 200_000)
    assert not Group.objects.exists()


def test_clean_connection_stays_open_after_a_run(lasting):
    performed("seen")
    mine = connection.connection
    performed("seen")
    assert connection.connection is mine


@pytest.mark.parametrize(
    ("sql", "lasts"),
    [
        ("SELECT 1", False),
        ("(SELECT 1) UNION (SELECT 2)", False),
        ("INSERT INTO t VALUES (1)", False),
        ("WITH a AS (SELECT 1) SELECT * FROM a", False),
        ("SAVEPOINT s", False),
        ("set local statement_timeout = 1", False),
        ("SELECT 1;", False),
        ("SET ROLE somebody", True),
        ("/* a hint */ SET ROLE somebody", True),
        ("SELECT 1; SET ROLE somebody", True),
        ("SELECT set_config('role', 'somebody', false)", True),
        ("SELECT pg_try_advisory_lock(1)", True),
        ("SELECT pg_advisory_xact_lock(1)", False),
        ("SELECT 1 INTO\n  TEMPORARY t", True),
        ("SELECT @n := 1", True),
        ("LISTEN news", True),
        (b"SELECT 1", True),
    ],
)
def test_statements_that_outlast_their_transaction_are_recognised(sql, lasts):
    assert db_sessions.may_change_session(sql) is lasts


def test_callers_transaction_stays_open(lasting):
    """As in a project's own tests."""
    with transaction.atomic(), kept_open():
        mine = connection.connection
        assert performed("keep_a_lock")[0] == "DONE"
        assert connection.connection is mine


def test_context_of_the_worker_is_not_changed():
    urlconf, prefix, language = get_urlconf(), get_script_prefix(), translation.get_language()
    performed("spoil_context")
    assert (get_urlconf(), get_script_prefix(), translation.get_language()) == (urlconf, prefix, language)
    assert (VARIABLE.get(), hasattr(LOCAL, "mark")) == ("clean", False)


def test_uncommitted_writes_of_a_view_are_rolled_back_and_its_response_kept():
    assert performed("leave_transaction_open")[0] == "DONE"
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute(f"SELECT state FROM {AsyncTask._meta.db_table}")
            assert list(cursor.fetchall()) == [("DONE",)]
            cursor.execute("SELECT COUNT(*) FROM auth_group")
            assert cursor.fetchone() == (0,)
    finally:
        other.close()


def test_run_leaves_one_connection_per_database_at_most():
    for _ in range(3):
        performed("seen")
    assert {made.alias for made in connections.all(initialized_only=True)} <= set(settings.DATABASES)
