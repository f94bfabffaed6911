"""Nothing of a run is left for the next one in the same process (contract/security 4.5, threat 7)."""

from __future__ import annotations

import contextvars
import json
import threading

import pytest
from asgiref.local import Local
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.signals import request_finished
from django.db import connection, connections, transaction
from django.http import HttpResponse, JsonResponse
from django.urls import get_script_prefix, get_urlconf, path, set_script_prefix, set_urlconf
from django.utils import timezone, translation

from django_asyncexchange import worker
from django_asyncexchange.models import AsyncTask

from .services import IDLE, exchange, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="clean")
LOCAL = Local()
THREAD = threading.local()


def seen(request):
    """All that a run could find of an earlier one."""
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
    """As a project does that keeps its request in a thread local, and cleans up when the request is finished."""
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


SPOILERS = (
    spoil_context,
    spoil_thread,
    leave_transaction_open,
    leave_transaction_broken,
    switch_autocommit_off,
    close_connection,
)
urlpatterns = [path("seen/", seen), *(path(f"{view.__name__}/", view) for view in SPOILERS)]


def performed(to):
    """The state of a call and what it answered, run by this thread."""
    task = submitted(to=f"/{to}/")
    worker.run(str(task.pk))
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


@pytest.mark.parametrize("spoiler", SPOILERS, ids=lambda view: view.__name__)
def test_a_run_finds_nothing_of_the_run_before(spoiler):
    before = performed("seen")
    assert before[0] == "DONE"
    assert performed(spoiler.__name__)[0] == "DONE"
    assert performed("seen") == before


def test_the_context_of_the_worker_itself_is_not_spoilt():
    urlconf, prefix, language = get_urlconf(), get_script_prefix(), translation.get_language()
    performed("spoil_context")
    assert (get_urlconf(), get_script_prefix(), translation.get_language()) == (urlconf, prefix, language)
    assert (VARIABLE.get(), hasattr(LOCAL, "mark")) == ("clean", False)


def test_what_a_view_has_not_committed_is_rolled_back_and_its_answer_is_kept():
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


def test_a_run_leaves_no_more_connections_than_there_are_databases():
    for _ in range(3):
        performed("seen")
    assert {made.alias for made in connections.all(initialized_only=True)} <= set(settings.DATABASES)
