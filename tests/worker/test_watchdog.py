"""The watchdog: cancelled runs end soon, leases are renewed, progress is recorded."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.signals import request_finished, request_started
from django.db import DataError, close_old_connections, connection, connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils import timezone, translation

from django_asyncexchange.exceptions import NotCancellable
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store.values import Claim
from django_asyncexchange.tasks import cancel_file, lifecycle
from django_asyncexchange.worker import runner, watchdog
from django_asyncexchange.worker.watched_run import WatchedRun

from ..services import IDLE, PATIENCE, captured, exchange, meanwhile, stage, stored, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


# Views ---------------------------------------------------------------------------------------------------------------


def sleeps(request):
    stage.entered.set()
    time.sleep(PATIENCE)
    return HttpResponse(b"slept")


def writes(request):
    """A long transaction that holds the database."""
    with transaction.atomic():
        Group.objects.create(name=f"written {uuid.uuid4()}")
        stage.entered.set()
        time.sleep(PATIENCE)
    return HttpResponse(b"written")


def asks(request):
    """A slow query."""
    stage.entered.set()
    with connection.cursor() as cursor:
        cursor.execute(LONG[connection.vendor])
    return HttpResponse(b"asked")


def translates(request):
    """Acquires and releases a lock of the process all the time, as every request does a few times."""
    stage.entered.set()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        translation.activate("en")
    return HttpResponse(b"translated")


def waits_for_a_lock(request):
    stage.entered.set()
    stage.released.wait(PATIENCE)
    return HttpResponse(b"released")


LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e9) SELECT COUNT(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT SLEEP(60)",
}


def is_polite(request):
    """Ends by itself when it is cancelled."""
    stage.entered.set()
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline and not request.async_task.is_cancelled:
            time.sleep(0.01)
    except watchdog.Interrupted:
        pass
    Group.objects.create(name="was polite")
    return HttpResponse()


def reports(request):
    request.async_task.report(3, 12, "on the way")
    stage.entered.set()
    assert stage.released.wait(PATIENCE)
    return HttpResponse()


class Counted:
    done, total = 5, 50


def counts(request):
    """A response that counts its own rows."""

    def rows():
        stage.entered.set()
        yield b"row"
        assert stage.released.wait(PATIENCE)

    answer = StreamingHttpResponse(rows())
    answer.progress = Counted()
    return answer


def streams(request):
    def chunks():
        yield b"x" * 1000
        stage.entered.set()
        assert stage.released.wait(PATIENCE)

    return StreamingHttpResponse(chunks(), headers={"Content-Length": "4000"})


def leaves_a_mark(request):
    """Takes a little while, and writes a row at the end, in one transaction."""
    with transaction.atomic():
        time.sleep(0.4)
        Group.objects.create(name=f"mark {request.async_task.id}")
        AsyncTask.objects.filter(pk=request.async_task.id).update(progress_message="almost")
    return HttpResponse()


def knows(request):
    task = request.async_task
    return HttpResponse(f"{task.id} {task.state} {task.attempt} {task.is_cancelled}")


def reports_nonsense(request):
    request.async_task.report(*NONSENSE[request.GET["which"]])
    stage.entered.set()
    assert stage.released.wait(PATIENCE)
    return HttpResponse()


VIEWS = (
    translates,
    waits_for_a_lock,
    reports_nonsense,
    leaves_a_mark,
    sleeps,
    writes,
    asks,
    is_polite,
    reports,
    counts,
    streams,
    knows,
)
urlpatterns = [path("", include("django_asyncexchange.urls")), *(path(f"{view.__name__}/", view) for view in VIEWS)]


@pytest.fixture(autouse=True)
def quiet(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    stage.reset()
    yield
    stage.released.set()


def cancelled(task):
    lifecycle.cancel(AsyncTask.objects.get(pk=task.pk))


# Cancel --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["sleeps", "writes", "asks"])
def test_cancelled_run_ends(view):
    task = stored(to=f"/{view}/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    task.refresh_from_db()
    assert (task.state, task.status_code) == (State.CANCEL, None)


def test_writes_of_a_cancelled_run_are_rolled_back():
    task = stored(to="/writes/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    assert not Group.objects.exists()


def test_worker_goes_on_after_a_cancelled_run():
    task = stored(to="/sleeps/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    following = stored(to="/knows/")
    runner.run(str(following.pk))
    following.refresh_from_db()
    assert following.state == State.DONE


def test_view_can_poll_is_cancelled():
    task = stored(to="/is_polite/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    task.refresh_from_db()
    assert task.state == State.CANCEL
    assert Group.objects.filter(name="was polite").exists()


def test_second_cancellation_is_refused():
    task = stored(to="/writes/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    with pytest.raises(NotCancellable):
        cancelled(task)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere a run is told by its row")
def test_stale_task_object_cancels_the_run():
    task = stored(to="/writes/")  # the caller's copy says PENDING
    joined = meanwhile(lambda: lifecycle.cancel(task))
    runner.run(str(task.pk))
    joined()
    assert AsyncTask.objects.get(pk=task.pk).state == State.CANCEL


def test_cancelled_run_leaves_no_cancel_file():
    task = stored(to="/writes/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    assert not cancel_file.is_requested(task.pk)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL drops no database that is in use")
def test_watchdog_closes_its_connection_between_runs(monkeypatch):
    monkeypatch.setattr(watchdog, "IDLE_CHECKS", 10**9)
    connections.close_all()

    def sessions():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return cursor.fetchone()[0]

    until(lambda: sessions() == 1)
    task = stored(to="/reports/")
    joined = meanwhile(lambda: (until(lambda: sessions() == 2), stage.released.set()))
    runner.run(str(task.pk))
    joined()
    until(lambda: sessions() == 1)


def test_interrupted_run_leaves_no_lock_held(monkeypatch):
    monkeypatch.setattr(watchdog, "INTERVAL", 0.02)
    for _ in range(12):
        stage.reset()
        task = stored(to="/translates/")
        joined = meanwhile(lambda task=task: cancelled(task))
        runner.run(str(task.pk))
        joined()
        assert AsyncTask.objects.get(pk=task.pk).state == State.CANCEL
        elsewhere = threading.Thread(target=translation.activate, args=["en"], daemon=True)
        elsewhere.start()
        elsewhere.join(PATIENCE)
        assert not elsewhere.is_alive()


def test_run_waiting_for_a_lock_is_interrupted():
    task = stored(to="/waits_for_a_lock/")
    joined = meanwhile(lambda: cancelled(task))
    runner.run(str(task.pk))
    joined()
    assert AsyncTask.objects.get(pk=task.pk).state == State.CANCEL


def test_run_taken_over_by_another_attempt_ends():
    task = stored(to="/sleeps/")
    joined = meanwhile(lambda: AsyncTask.objects.filter(pk=task.pk).update(attempt=7))
    runner.run(str(task.pk))
    joined()
    task.refresh_from_db()
    assert (task.state, task.attempt) == (State.PROCESSING, 7)


@pytest.fixture
def connections_stay_open():
    """Like Django's test client: the connection of a test's transaction stays open."""
    for seam in (request_started, request_finished):
        seam.disconnect(close_old_connections)
    yield
    for seam in (request_started, request_finished):
        seam.connect(close_old_connections)


def test_run_inside_the_callers_transaction_is_not_interrupted(connections_stay_open):
    """No other connection can see its task, as in a project's own tests."""
    with transaction.atomic():
        task = stored(to="/reports/")
        joined = meanwhile(lambda: (time.sleep(3 * watchdog.INTERVAL), stage.released.set()))
        runner.run(str(task.pk))
        joined()
    task.refresh_from_db()
    assert task.state == State.DONE


# Leases and progress -------------------------------------------------------------------------------------------------


def seen(task, **wanted):
    """Wait until the row has ``wanted``."""
    return until(lambda: AsyncTask.objects.filter(pk=task.pk, **wanted).exists())


@pytest.mark.parametrize(
    ("view", "progress"),
    [("reports", (3, 12, "on the way")), ("counts", (5, 50, "")), ("streams", (1000, 4000, ""))],
)
def test_progress_is_recorded(view, progress):
    task = stored(to=f"/{view}/")
    done, total, message = progress
    joined = meanwhile(
        lambda: (
            seen(task, progress_done=done, progress_total=total, progress_message=message),
            stage.released.set(),
        )
    )
    runner.run(str(task.pk))
    joined()


class Wrong:
    done, total = "many", float("inf")


NONSENSE = {
    "zero": (3, 12, "half\0way"),
    "surrogate": (3, 12, "half\ud800way"),
    "large": (3, 10**30, "x" * 1000),
    "none": (3, "twelve", None),
    "negative": (3, -1, ""),
}


@pytest.mark.parametrize("which", NONSENSE)
def test_invalid_progress_reports_do_not_fail_the_run(which):
    call = captured("/reports_nonsense/", query=f"which={which}")
    task = stored(to=call)
    joined = meanwhile(lambda: (seen(task, progress_done=3), stage.released.set()))
    runner.run(str(task.pk))
    joined()
    task.refresh_from_db()
    assert task.state == State.DONE
    assert task.progress_message in ("halfway", "half?way", "x" * 255, "None", "")


@pytest.mark.parametrize("done", [None, "many", float("nan"), object()])
def test_progress_without_a_number_raises_nothing(done):
    run = WatchedRun(Claim(task=stored()), 60)
    run.report(done, done, done)
    assert (run.progress.done, run.progress.total) == (0, None)


def test_invalid_progress_of_a_response_raises_nothing():
    run = WatchedRun(Claim(task=stored()), 60)
    answer = StreamingHttpResponse()
    answer.progress = Wrong()
    run.counted([], answer)
    assert (run.progress.done, run.progress.total) == (0, None)


def test_progress_message_refused_by_the_database_still_renews_the_lease(monkeypatch):
    """A MySQL column with an old character set."""

    def refuse(execute, sql, params, many, context):
        if any(isinstance(value, str) and "\U0001f600" in value for value in params or ()):
            raise DataError("Incorrect string value")
        return execute(sql, params, many, context)

    monkeypatch.setattr(cancel_file, "is_used", lambda: False)
    claim = lifecycle.claim(stored().pk)
    AsyncTask.objects.update(lease_until=timezone.now())
    run = WatchedRun(claim, 60)
    run.renewed = run.progress_written = -1e9
    run.report(3, 12, "да \U0001f600")
    with connection.execute_wrapper(refuse):
        assert watchdog._reason_to_end(run) is None
    claim.task.refresh_from_db()
    assert claim.task.lease_until > timezone.now()
    assert (claim.task.progress_done, claim.task.progress_message) == (3, "да \ufffd")


def test_status_shows_the_progress(client, admin_user):
    task = stored(to="/reports/", dialect="prefer", owner=admin_user)
    client.force_login(admin_user)
    told = []

    def look():
        seen(task, progress_done=3)
        told.append(client.get(f"/async/tasks/{task.pk}").json()["progress"])
        told.append(client.get(f"/async/operations/{task.pk}").json()["percentComplete"])
        stage.released.set()

    joined = meanwhile(look)
    runner.run(str(task.pk))
    joined()
    assert told == [{"done": 3, "total": 12, "message": "on the way"}, 25]


def test_lease_of_a_long_run_is_renewed(settings, monkeypatch):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "LEASE_SECONDS": 3}
    monkeypatch.setattr(cancel_file, "is_used", lambda: False)
    task = stored(to="/reports/")
    first = []

    def look():
        first.append(AsyncTask.objects.get(pk=task.pk).lease_until)
        seen(task, lease_until__gt=first[0])
        stage.released.set()

    joined = meanwhile(look)
    runner.run(str(task.pk))
    joined()
    assert first[0] < timezone.now() + dt.timedelta(seconds=3)


def test_view_gets_its_task():
    task = stored(to="/knows/")
    runner.run(str(task.pk))
    task.refresh_from_db()
    assert bytes(task.response_body().content) == f"{task.pk} PROCESSING 1 False".encode()


def test_a_process_has_one_watchdog_thread():
    for _ in range(3):
        runner.run(str(stored(to="/knows/").pk))
    assert not [thread for thread in threading.enumerate() if thread.name == "asyncexchange-watchdog"][1:]


# Worker processes ----------------------------------------------------------------------------------------------------

STUBBORN = """
    import sys
    import django
    django.setup()
    from django.conf import settings
    from django.db import connection
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = sys.argv[2]
    settings.ROOT_URLCONF = "tests.project.stubborn"
    from django_asyncexchange.worker import runner, watchdog
    watchdog.mark_worker()
    runner.run(sys.argv[1])
    print("survived", flush=True)
"""


def apart(task):
    """A worker process that runs ``task`` only."""
    database = str(connection.settings_dict["NAME"])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STUBBORN), str(task.pk), database],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the child finds the test database by its file")
def test_worker_kills_itself_when_its_run_ignores_the_interruption():
    task = stored(to="/stubborn/")
    with apart(task) as child:
        assert child.stdout.readline() == "entered\n"  # before that line it could still be interrupted
        cancelled(task)
        assert child.wait(3 * PATIENCE) == -signal.SIGKILL
    task.refresh_from_db()
    assert task.state == State.CANCEL


def test_maintenance_does_not_mark_the_process_as_a_worker():
    stop = threading.Event()
    stop.set()
    runner.run_maintenance(stop)
    assert not watchdog.is_worker()


def test_cancellation_at_any_moment_either_ends_the_run_or_is_refused(request):
    """Each task is either cancelled or done, and the same thread goes on with the next.

    A run cancelled after the view's commit and before its end has left its mark.
    """
    random.seed(7)
    for _ in range(60 if request.config.getoption("--full") else 8):
        task = stored(to="/leaves_a_mark/")
        moment = random.uniform(0, 0.6)
        refused = []

        def cancel(task=task, moment=moment, refused=refused):
            threading.Event().wait(moment)
            try:
                cancelled(task)
            except NotCancellable:
                refused.append(task.pk)
            finally:
                connections.close_all()

        thread = threading.Thread(target=cancel)
        thread.start()
        runner.run(str(task.pk))
        thread.join()
        task.refresh_from_db()
        marks = Group.objects.filter(name=f"mark {task.pk}").count()
        assert (task.state, len(refused)) in {(State.DONE, 1), (State.CANCEL, 0)}
        assert marks == 1 or task.state == State.CANCEL
