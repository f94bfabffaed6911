"""What a worker does with a task id, whatever the view does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import threading

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import (
    DatabaseError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils import translation

from django_asyncexchange import encryption
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import FINAL
from django_asyncexchange.store import bodies, db_retry, statements
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import endings, runner, watchdog

from .. import services
from ..services import IDLE, Failing, captured, exchange, meanwhile, runs, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


def ended(task):
    """``task`` after its run."""
    assert runner.run(str(task.pk)) is None
    return AsyncTask.objects.get(pk=task.pk)


def answers():
    """The number of bodies without stored failures."""
    return Body.objects.exclude(kind=Body.FAILURE).count()


def answer(task):
    return bodies.read(task.response_body())


def limited(seconds, **changes):
    """Settings whose mounts have this run limit."""
    dialects = {
        name: {**options, "RUN_LIMIT": seconds} for name, options in settings.ASYNC_EXCHANGE["DIALECTS"].items()
    }
    return override_settings(ASYNC_EXCHANGE=exchange(DIALECTS=dialects, **changes))


def files():
    place = settings.STORAGES["asyncexchange"]["OPTIONS"]["location"]
    return {path for path in place.rglob("*") if path.is_file()}


@contextlib.contextmanager
def kept_open():
    """Requests leave connections open, as with Django's test client."""
    for seam in (request_started, request_finished):
        seam.disconnect(close_old_connections)
    try:
        yield
    finally:
        for seam in (request_started, request_finished):
            seam.connect(close_old_connections)


# Outcomes -------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-31")
def test_2xx_ends_in_done():
    task = ended(stored())
    assert (task.state, task.reason, task.status_code) == ("DONE", "", 200)
    assert (task.started is None, task.finished is None, runs()) == (False, False, 1)


@pytest.mark.seed("S001-46", "S002-34")
@pytest.mark.parametrize("status", [400, 403, 404, 429])
def test_4xx_ends_in_api_error_and_is_stored(status):
    task = ended(stored(to=f"/answers/{status}/"))
    assert (task.state, task.reason, task.status_code, answer(task)) == ("API_ERROR", "", status, b"the answer")


@pytest.mark.seed("S002-32")
@pytest.mark.parametrize("status", [500, 503])
def test_5xx_ends_in_error_and_is_stored(status):
    task = ended(stored(to=f"/answers/{status}/"))
    assert (task.state, task.reason, task.status_code, answer(task)) == ("ERROR", "exception", status, b"the answer")


def test_headers_of_an_error_response_are_stored():
    headers = dict(ended(stored(to="/answers/503/")).headers)
    assert (headers["Content-Type"], headers["X-Own"]) == ("text/x-own", "kept")


@pytest.mark.seed("S002-32")
def test_exception_of_a_view_ends_in_error_with_djangos_500():
    task = ended(stored(to="/raises/"))
    assert (task.state, task.reason, task.status_code) == ("ERROR", "exception", 500)
    assert b"Server Error" in answer(task)


def test_exception_of_a_view_sends_got_request_exception():
    reported = []

    def receive(request, **kwargs):
        reported.append(request.path)

    got_request_exception.connect(receive)
    try:
        ended(stored(to="/raises/"))
    finally:
        got_request_exception.disconnect(receive)
    assert reported == ["/raises/"]


def test_run_uses_the_overridden_middleware_setting():
    frames = "django.middleware.clickjacking.XFrameOptionsMiddleware"

    def is_framed():
        return "X-Frame-Options" in dict(ended(stored()).headers)

    found = [is_framed()]
    with override_settings(MIDDLEWARE=[name for name in settings.MIDDLEWARE if name != frames]):
        found.append(is_framed())
    found.append(is_framed())
    assert found == [True, False, True]


def test_unknown_url_ends_in_api_error_404():
    task = ended(stored(to="/nowhere/"))
    assert (task.state, task.status_code) == ("API_ERROR", 404)


def test_broken_stream_ends_in_error_without_a_body():
    before = files()
    task = ended(stored(to="/breaks/"))
    assert (task.state, task.reason, task.status_code) == ("ERROR", "exception", None)
    assert (files() - before, answers()) == (set(), 0)


def test_large_response_is_stored():
    task = ended(stored(to="/fills/200000/"))
    assert (task.state, answer(task)) == ("DONE", b"x" * 200_000)


@pytest.mark.parametrize("size", [1001, 200_000])
def test_response_over_max_result_bytes_ends_in_storage_error(size):
    before = files()
    with override_settings(ASYNC_EXCHANGE=exchange(MAX_RESULT_BYTES=size - 1)):
        task = ended(stored(to=f"/fills/{size}/"))
    assert (task.state, task.reason, task.status_code) == ("ERROR", "storage", None)
    assert (files() - before, answers()) == (set(), 0)


def test_full_storage_ends_in_storage_error(tmp_path):
    full = {"BACKEND": "tests.store.test_bodies.Full", "OPTIONS": {"location": tmp_path}}
    with override_settings(STORAGES={**settings.STORAGES, "asyncexchange": full}):
        task = ended(stored(to="/fills/200000/"))
    assert (task.state, task.reason, answers()) == ("ERROR", "storage", 0)


def test_lost_request_body_ends_in_storage_error():
    task = stored(to=captured(method="POST"))
    Body.objects.create(task=task, kind=Body.REQUEST, name="gone", size=5)
    task = ended(task)
    assert (task.state, task.reason, runs()) == ("ERROR", "storage", 0)


def test_task_of_a_removed_mount_still_runs():
    assert ended(stored(dialect="gone")).state == "DONE"


# Messages -------------------------------------------------------------------------------------------------------------


def test_second_message_runs_nothing():
    task = ended(stored())
    assert ended(task).attempt == 1
    assert runs() == 1


@pytest.mark.parametrize("state", FINAL)
def test_finished_task_is_not_run(state):
    ended(stored(state))
    assert runs() == 0


@pytest.mark.parametrize("id", ["498b8673-0308-11e6-9464-e4de00000089", "", "no id", "0", "\0", "é", None, 7, [], {}])
def test_unknown_id_raises_nothing(id):
    assert runner.run(id) is None


def test_database_outage_at_the_claim_is_logged(caplog):
    def refuse(*args):
        raise OperationalError("the database is down")

    task = stored()
    with connection.execute_wrapper(refuse):
        assert runner.run(str(task.pk)) is None
    assert "could not be recorded" in caplog.text


def test_database_error_at_the_end_is_logged(caplog):
    def refuse(execute, sql, params, many, context):
        if sql.startswith(("UPDATE", "WITH")) and ("DONE" in params or "'DONE'" in sql):
            raise OperationalError("the database is down")
        return execute(sql, params, many, context)

    task = stored()
    with connection.execute_wrapper(refuse):
        assert runner.run(str(task.pk)) is None
    assert "response could not be stored" in caplog.text


# Outages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "end"), [("/fills/200000/", ("DONE", "")), ("/breaks/", ("ERROR", "exception"))])
@override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE))
def test_run_survives_the_failure_of_any_statement(to, end, monkeypatch):
    monkeypatch.setattr(db_retry, "PAUSE", 0.01)
    anna = get_user_model().objects.create_user("anna")
    for at in range(100):
        task = submitted([b"x" * 200_000], to=services.stamped(captured(to, method="POST"), anna))
        AsyncTask.objects.update(owner=anna, auth_backend="django.contrib.auth.backends.ModelBackend")
        failing = Failing(at)
        with connection.execute_wrapper(failing):
            runner.run(str(task.pk))
        task.refresh_from_db()
        assert (task.state, task.reason) == end, failing.failed
        if failing.failed is None:
            break
    assert len(failing.statements) == at > 5


def test_streamed_rows_are_read_while_others_write():
    """SQLite refuses a write to a transaction whose snapshot is older than another's commit."""
    names = [f"{number:0>150}" for number in range(1000)]
    Group.objects.bulk_create(Group(name=name) for name in names)

    services.stage.reset()
    joined = meanwhile(lambda: (Group.objects.create(name="late"), services.stage.released.set()))
    task = ended(stored(to="/lists/"))
    joined()
    assert (task.state, answer(task).decode()) == ("DONE", "".join(names))


# Unusable sessions and processes --------------------------------------------------------------------------------------

READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET default_transaction_read_only = on",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}


@pytest.fixture
def lasting(monkeypatch):
    """Connections that outlive a request, and no pauses between retries."""
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    monkeypatch.setattr(db_retry, "PAUSE", 0.01)
    yield
    connection.close()


@pytest.fixture
def left(monkeypatch):
    """How the worker process has exited; this process is one."""
    told = []
    monkeypatch.setattr(watchdog, "_worker", [os.getpid()])
    monkeypatch.setattr(watchdog, "_before_kill", [lambda: told.append("words")])
    monkeypatch.setattr(watchdog.os, "kill", lambda pid, number: told.append((pid, number)))
    return told


def refuse_writing(execute, sql, params, many, context):
    if sql.startswith(("UPDATE", "WITH", "INSERT")):
        raise OperationalError("the disk is full")
    return execute(sql, params, many, context)


def test_claim_refused_in_a_read_only_session_is_retried_in_another(lasting):
    task = stored()
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor])
    assert ended(task).state == "DONE"


@pytest.mark.skipif(connection.vendor == "mysql", reason="its COMMIT comes through")
def test_claim_inside_a_transaction_left_open_is_detected(lasting, left):
    task = stored()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    runner.run(str(task.pk))
    connection.close()  # rolls back what was not committed
    assert AsyncTask.objects.get(pk=task.pk).state == "DONE"


def test_worker_that_can_claim_nothing_exits(lasting, left):
    task = stored()
    with connection.execute_wrapper(refuse_writing):
        runner.run(str(task.pk))
    assert left == ["words", (os.getpid(), signal.SIGKILL)]


@override_settings(ASYNC_EXCHANGE=exchange(KEEP_REQUESTS=True))
def test_worker_that_can_record_no_end_exits(lasting, left, monkeypatch):
    claim = lifecycle.claim

    def claim_and_fill_the_disk(task_id):
        claimed = claim(task_id)
        connection.execute_wrappers.append(refuse_writing)
        return claimed

    monkeypatch.setattr(lifecycle, "claim", claim_and_fill_the_disk)
    try:
        runner.run(str(stored(to="/answers/200/").pk))
    finally:
        connection.execute_wrappers.remove(refuse_writing)
    assert left == ["words", (os.getpid(), signal.SIGKILL)]


def test_worker_does_not_exit_while_the_database_is_away(lasting, left, monkeypatch):
    monkeypatch.setattr(endings, "DATABASE_WAIT", 0.02)
    monkeypatch.setattr(db_retry, "_is_unavailable", lambda connection: True)
    task = stored()
    with connection.execute_wrapper(refuse_writing):
        runner.run(str(task.pk))
    assert left == []


@pytest.mark.parametrize("id", ["no id", "\0", None])
def test_worker_does_not_exit_on_an_unknown_id(left, id):
    runner.run(id)
    assert left == []


def test_process_that_is_no_worker_does_not_exit(lasting, left, monkeypatch):
    monkeypatch.setattr(watchdog, "_worker", [])
    task = stored()
    with connection.execute_wrapper(refuse_writing):
        runner.run(str(task.pk))
    assert left == []


# Cancelled during the run ---------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-64")
def test_response_of_a_cancelled_run_is_dropped():
    before = files()
    task = ended(stored(to="/cancels/"))
    assert (task.state, task.status_code, task.response_headers) == ("CANCEL", None, [])
    assert (files() - before, answers()) == (set(), 0)


# Run limit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/waits/", "/listens/", "/shrugs/", "/dreams/"])
def test_run_over_its_limit_is_interrupted(path):
    with limited(0.3):
        task = ended(stored(to=path))
    assert (task.state, task.reason, task.status_code) == ("ERROR", "run_timeout", None)
    assert (task.finished - task.started).total_seconds() < services.PATIENCE / 2


def test_worker_goes_on_after_an_interruption():
    with limited(0.3):
        ended(stored(to="/waits/"))
        assert ended(stored()).state == "DONE"


def test_run_within_its_limit_is_not_interrupted():
    with limited(services.PATIENCE):
        assert ended(stored()).state == "DONE"


def test_run_limit_leaves_no_thread():
    before = threading.active_count()
    ended(stored())
    assert threading.active_count() == before


def test_signal_handler_is_restored():
    before = signal.getsignal(signal.SIGUSR2)
    ended(stored())
    assert signal.getsignal(signal.SIGUSR2) == before


def test_sigalrm_handler_of_django_q2_is_kept():
    before = signal.getsignal(signal.SIGALRM)
    with limited(0.3):
        ended(stored(to="/waits/"))
    assert signal.getsignal(signal.SIGALRM) == before


def test_task_of_a_removed_mount_has_the_default_run_limit():
    with limited(0.000001):
        assert ended(stored(dialect="gone")).state == "DONE"


def test_system_exit_of_a_view_does_not_end_the_worker():
    task = ended(stored(to="/leaves/"))
    assert (task.state, task.reason, task.status_code) == ("ERROR", "exception", None)


def cancels_itself(request):
    raise asyncio.CancelledError


async def awaits_what_was_cancelled(request):
    other = asyncio.ensure_future(asyncio.sleep(services.PATIENCE))
    other.cancel()
    await other


def is_interrupted(request):
    raise KeyboardInterrupt


class UnknownBaseException(BaseException):
    """Like the base exceptions of gevent, eventlet and trio."""


def raises_beyond_exceptions(request):
    raise UnknownBaseException


def streams_and_is_cancelled(request):
    def chunks():
        yield b"x" * 200_000
        raise asyncio.CancelledError

    return StreamingHttpResponse(chunks())


def closes_badly(request):
    class Answer(HttpResponse):
        def close(self):
            super().close()
            raise UnknownBaseException

    return Answer()


BEYOND = [
    cancels_itself,
    awaits_what_was_cancelled,
    is_interrupted,
    raises_beyond_exceptions,
    streams_and_is_cancelled,
    closes_badly,
]
urlpatterns = [*services.urlpatterns, *(path(f"{view.__name__}/", view) for view in BEYOND)]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("view", BEYOND, ids=lambda view: view.__name__)
def test_base_exception_of_a_view_is_recorded_and_the_worker_goes_on(view):
    before = files()
    task = ended(stored(to=f"/{view.__name__}/"))
    assert (task.state, task.reason, task.status_code, task.attempt) == ("ERROR", "exception", None, 1)
    assert files() == before
    assert ended(stored()).state == "DONE"


@pytest.mark.urls(__name__)
def test_base_exception_keeps_the_callers_transaction_usable():
    with transaction.atomic():
        task = stored(to="/cancels_itself/")
        with kept_open():
            assert ended(task).state == "ERROR"
        assert connection.is_usable()


def test_run_outside_the_main_thread_has_no_limit():
    task = stored()

    def run():
        runner.run(str(task.pk))
        connections.close_all()

    with limited(0.000001):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(services.PATIENCE)
    task.refresh_from_db()
    assert task.state == "DONE"


# Context --------------------------------------------------------------------------------------------------------------


def seen(task):
    """What the view of ``task`` has seen."""
    return json.loads(answer(ended(task)))


def test_view_gets_its_task_id():
    task = stored(to="/reveals/")
    assert seen(task)["task"] == str(task.pk)


@pytest.mark.parametrize("name", ["mark", "language", "zone"])
def test_context_does_not_leak_into_the_next_run(name):
    first, second = seen(stored(to="/reveals/")), seen(stored(to="/reveals/"))
    assert first[name] == second[name] != "spoilt"


def test_run_does_not_see_the_workers_context():
    token = services.MARK.set("the worker's")
    try:
        assert seen(stored(to="/reveals/"))["mark"] == ""
    finally:
        services.MARK.reset(token)


def test_run_does_not_change_the_workers_context():
    with translation.override("en"):
        ended(stored(to="/reveals/"))
        assert (translation.get_language(), services.MARK.get()) == ("en", "")


def test_run_has_the_language_of_its_call():
    call = captured("/reveals/", headers=(("Accept-Language", "ru"),), language="ru")
    assert seen(stored(to=call))["language"] == "ru"


def test_run_has_the_time_zone_of_its_call():
    assert seen(stored(to=captured("/reveals/", time_zone="Asia/Almaty")))["zone"] == "Asia/Almaty"


def test_run_has_its_owner_as_user(django_user_model):
    owner = django_user_model.objects.create(username="anna")
    backend = "django.contrib.auth.backends.ModelBackend"
    assert seen(stored(to="/reveals/", owner=owner, auth_backend=backend))["user"] == "anna"


def test_run_without_owner_is_anonymous():
    assert seen(stored(to="/reveals/"))["user"] == "AnonymousUser"


@pytest.mark.parametrize("change", [{"is_active": False}, None], ids=["deactivated", "deleted"])
@override_settings(ASYNC_EXCHANGE=exchange(ON_USER_DELETE="keep"))
def test_task_of_a_deactivated_or_deleted_owner_does_not_run(django_user_model, change):
    owner = django_user_model.objects.create(username="anna")
    task = stored(owner=owner, auth_backend="django.contrib.auth.backends.ModelBackend")
    rows = django_user_model.objects.filter(pk=owner.pk)
    rows.update(**change) if change else rows.delete()
    task = ended(task)
    assert (task.state, task.status_code, runs()) == ("API_ERROR", 401, 0)


def test_run_is_not_throttled_again(monkeypatch):
    monkeypatch.setattr(services.Counting, "asked", 0)
    assert ended(stored(to="/throttled/")).state == "DONE"
    assert services.Counting.asked == 0


def test_synchronous_call_is_throttled(client, monkeypatch):
    ended(stored(to="/throttled/"))
    monkeypatch.setattr(services.Counting, "asked", 0)
    client.get("/throttled/")
    assert services.Counting.asked == 1


def test_submit_is_throttled_once(client, monkeypatch, admin_user):
    client.force_login(admin_user)
    monkeypatch.setattr(services.Counting, "asked", 0)
    assert client.post("/throttled/", headers={"Solitude-Async": "yes"}).status_code == 202
    assert services.Counting.asked == 1


def test_run_has_the_body_of_its_call():
    task = stored(to=captured(method="POST"))
    Body.objects.create(task=task, kind=Body.REQUEST, content=b"payload", size=7)
    assert seen(task)["body"] == "payload"


def test_task_of_a_newer_version_is_readable():
    task = stored()
    fields = json.loads(encryption.unseal(task.request["sealed"].encode()))
    newer = encryption.seal(json.dumps({**fields, "colour": "blue"}).encode()).decode()
    AsyncTask.objects.filter(pk=task.pk).update(request={"sealed": newer})
    assert ended(task).state == "DONE"


def refuse_responses(execute, sql, params, many, context):
    if params and "response" in params and re.search("INSERT INTO .asyncexchange_body", sql):
        raise DatabaseError("the packet is too large")
    return execute(sql, params, many, context)


def test_response_refused_by_the_database_ends_in_storage_error():
    task = stored(to="/answers/200/")
    with connection.execute_wrapper(refuse_responses):
        task = ended(task)
    assert (task.state, task.reason, answers()) == ("ERROR", "storage", 0)


def test_last_progress_is_recorded_although_the_response_is_refused():
    task = stored(to="/answers/200/")
    with connection.execute_wrapper(refuse_responses):
        refused = ended(task)
    assert refused.progress_done == ended(stored(to="/answers/200/")).progress_done > 0


def test_task_cancelled_before_its_body_is_read_does_not_run(monkeypatch):
    claim = lifecycle.claim

    def claim_and_cancel(task_id):
        claimed = claim(task_id)
        lifecycle.cancel(claimed.task)
        return claimed

    monkeypatch.setattr(lifecycle, "claim", claim_and_cancel)
    task, size = stored(to=captured(method="POST")), statements.SMALL_BODY + 1  # too large to be read with the claim
    Body.objects.create(task=task, kind=Body.REQUEST, content=bytes(size), size=size)
    assert (ended(task).state, runs()) == ("CANCEL", 0)


def test_reversed_url_has_the_script_name_of_the_call():
    request = captured("/reveals/", script_name="/app")
    task = ended(stored(to=request))
    assert json.loads(bodies.read(task.response_body()))["prefix"] == "/app/"
