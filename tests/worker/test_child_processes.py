"""Views may start processes; none outlives the worker that runs the view. Real clusters of django-q2."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
from django.http import HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import include, path

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import lifecycle

from ..executors.django_q.test_supervisor import EXECUTOR, STARTING, Command
from ..services import PATIENCE, exchange, submitted, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__), pytest.mark.slow]


def square(number):
    return number * number


def computes(request):
    with multiprocessing.Pool(2) as pool:
        return JsonResponse(pool.map(square, range(10)), safe=False)


def waits_for_its_child(request):
    child = multiprocessing.Process(target=time.sleep, args=(3 * PATIENCE,))
    child.start()
    request.async_task.report(child.pid, os.getpid())
    child.join()
    return HttpResponse()


urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("computes/", computes),
    path("waits_for_its_child/", waits_for_its_child),
]


@pytest.fixture
def cluster(tmp_path):
    command = Command(tmp_path)
    with (tmp_path / "worker_settings.py").open("a") as settings:
        settings.write(f'ROOT_URLCONF = "{__name__}"\n')
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=EXECUTOR)), command.running() as process:
        yield process


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids():
    """(child, worker) of the run."""
    return until(
        lambda: AsyncTask.objects.filter(progress_total__isnull=False).values_list("progress_done", "progress_total"),
        STARTING,
    )[0]


def test_view_may_use_a_process_pool(cluster):
    task = submitted(to="/computes/")
    until(lambda: AsyncTask.objects.get().finished, STARTING)
    task.refresh_from_db()
    assert (task.state, bodies.read(task.response_body())) == ("DONE", b"[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]")


def test_child_process_ends_with_a_killed_worker(cluster):
    submitted(to="/waits_for_its_child/")
    child, worker = pids()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_alive(child))


def test_child_process_ends_with_a_cancelled_run(cluster):
    task = submitted(to="/waits_for_its_child/")
    child, worker = pids()
    lifecycle.cancel(AsyncTask.objects.get(pk=task.pk))
    until(lambda: not is_alive(child))
    following = submitted(to="/computes/")
    until(lambda: AsyncTask.objects.get(pk=following.pk).finished, STARTING)
    assert is_alive(worker)
    assert AsyncTask.objects.get(pk=following.pk).state == "DONE"
