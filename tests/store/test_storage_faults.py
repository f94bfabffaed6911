"""Full, broken and unreachable storages, and killed processes: nothing incomplete is served, nothing is left.

Faults of an S3 bucket: ``store.test_s3``.
"""

from __future__ import annotations

import gc
import http.client
import logging
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.files.storage import FileSystemStorage
from django.test import Client

from django_asyncexchange.exceptions import SubmitFailed
from django_asyncexchange.models import AsyncTask, Body, encode
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies
from django_asyncexchange.store.values import Claim
from django_asyncexchange.tasks import lifecycle, pruning
from django_asyncexchange.worker import runner

from ..conftest import unavailable
from ..project.apart import apart, next_line
from ..project.serving import asgi_server, ask, wsgi_server
from ..project.streams import MB, PIECE
from ..responses.test_conditional import link
from ..services import IDLE, captured, exchange, soon, stored, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.project.streams")]

FILES = "django.core.files.storage.FileSystemStorage"
DEADLY = "tests.project.streams.Deadly"


def use(settings: Any, location: Path, backend: str = FILES) -> dict[str, Any]:
    """Store bodies in ``location``."""
    ours = {"BACKEND": backend, "OPTIONS": {"location": location}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": ours}
    return ours


@pytest.fixture
def place(settings, tmp_path):
    use(settings, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def narrow(settings, tmp_path):
    """A storage with room for 8 megabytes."""
    place = tmp_path / "narrow"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        unavailable(f"A small file system cannot be mounted: {mounted.stderr.strip()}")
    use(settings, place)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


def names() -> set[str]:
    """The names in rows."""
    return set(Body.objects.exclude(name="").values_list("name", flat=True))


def ended(task: AsyncTask) -> AsyncTask:
    """``task`` after its run."""
    runner.run(str(task.pk))
    return AsyncTask.objects.get(pk=task.pk)


def kept(megabytes: int = 1, content_type: str = "application/octet-stream") -> AsyncTask:
    """A finished task with a result of so many megabytes."""
    task = stored(State.DONE, response_headers=[["Content-Type", content_type]])
    draft = bodies.write((PIECE for _ in range(megabytes)), limit=10**9)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    return task


# A storage that is not shared -----------------------------------------------------------------------------------------


def test_missing_file_logs_a_hint_about_a_shared_storage(settings, tmp_path, caplog):
    use(settings, tmp_path)
    address = link(kept())
    for file in files(tmp_path):
        file.unlink()
    assert Client(raise_request_exception=False).get(address).status_code == 500
    assert "do web servers and workers share this storage?" in caplog.text


# Full -----------------------------------------------------------------------------------------------------------------


def test_response_larger_than_the_disk_ends_in_storage_error(narrow):
    task = ended(stored(to="/streams/20/"))
    assert (task.state, task.reason, task.status_code) == (State.ERROR, "storage", None)


def test_response_larger_than_the_disk_leaves_no_part(narrow):
    ended(stored(to="/streams/20/"))
    assert (files(narrow), Body.objects.exclude(kind=Body.FAILURE).count()) == ([], 0)


def test_worker_runs_smaller_responses_after_a_full_disk(narrow):
    states = [ended(stored(to=f"/streams/{size}/")).state for size in (20, 1, 20, 1)]
    assert states == ["ERROR", "DONE", "ERROR", "DONE"]


def test_results_on_a_full_disk_can_be_read_and_deleted(narrow):
    task = kept(7)
    ended(stored(to="/streams/20/"))
    assert bodies.read(task.response_body()) == PIECE * 7
    bodies.delete(Body.objects.all())
    assert files(narrow) == []


def test_request_body_larger_than_the_disk_is_refused(narrow, settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    with pytest.raises(SubmitFailed):
        submitted(PIECE for _ in range(20))
    assert (files(narrow), Body.objects.count(), AsyncTask.objects.count()) == ([], 0, 0)


# Killed ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def killed(settings, place):
    """A task whose worker process was killed in the middle of the response."""
    task = stored(to="/pauses/", created=soon(minutes=-90))
    with apart("run", settings.STORAGES["asyncexchange"], tasks=[task.pk]) as process:
        assert next_line(process) == "halfway"
        process.kill()
        process.wait()
    return task


def test_file_of_a_killed_worker_has_a_row(killed, place):
    [file] = files(place)
    assert file.stat().st_size > 0
    assert {str(file.relative_to(place))} == names()


def test_partial_response_of_a_killed_worker_is_not_served(killed, place):
    assert Body.objects.get().task_id is None
    assert AsyncTask.objects.get(pk=killed.pk).response_body() is None
    assert Client().get(link(killed)).status_code == 403


def test_partial_response_of_a_killed_worker_is_pruned(killed, place):
    assert pruning.prune()["bodies"] == 0
    Body.objects.update(created=soon(minutes=-61))
    assert pruning.prune()["bodies"] == 1
    assert (files(place), Body.objects.count()) == ([], 0)


def test_next_attempt_after_a_killed_run_has_its_own_file(killed, place):
    lifecycle.release(Claim(task=AsyncTask.objects.get(pk=killed.pk)))
    AsyncTask.objects.update(request=encode(captured("/streams/3/")), not_before=None)
    assert ended(killed).state == State.DONE
    assert (len(files(place)), len(names())) == (2, 2)
    assert bodies.read(AsyncTask.objects.get().response_body()) == PIECE * 3


def test_request_body_left_by_a_killed_worker_is_pruned(settings, tmp_path):
    place = tmp_path / "results"
    use(settings, place)
    task = stored(to=captured("/reads/", method="POST"))
    bodies.attach(bodies.write([PIECE], limit=10**9), task_id=task.pk, kind=Body.REQUEST)
    deadly = {"BACKEND": DEADLY, "OPTIONS": {"location": place}}
    with apart("run", deadly, tasks=[task.pk]) as process:
        assert process.wait() == -9
    task = AsyncTask.objects.get()
    assert (task.state, task.request, task.bodies.filter(kind=Body.REQUEST).count()) == (State.DONE, {}, 1)
    assert pruning.prune()["bodies"] == 1
    assert (files(place), task.bodies.filter(kind=Body.REQUEST).count()) == ([], 0)


def test_kept_request_body_is_not_pruned(settings, place):
    settings.ASYNC_EXCHANGE = exchange(KEEP_REQUESTS=True)
    task = stored(to=captured("/reads/", method="POST"))
    bodies.attach(bodies.write([PIECE], limit=10**9), task_id=task.pk, kind=Body.REQUEST)
    assert ended(task).state == State.DONE
    settings.ASYNC_EXCHANGE = exchange(KEEP_REQUESTS=False)
    assert (pruning.prune()["bodies"], len(files(place))) == (0, 1)


def test_request_body_of_a_pending_task_is_not_pruned(place):
    task = stored(to=captured("/reads/", method="POST"))
    bodies.attach(bodies.write([PIECE], limit=10**9), task_id=task.pk, kind=Body.REQUEST)
    assert (pruning.prune()["bodies"], len(files(place))) == (0, 1)


# Pruned too early -----------------------------------------------------------------------------------------------------


def test_run_whose_draft_was_deleted_ends_in_storage_error(place, monkeypatch):
    write = bodies.write

    def swept(*chunks: Any, **more: Any) -> bodies.Draft:
        draft = write(*chunks, **more)
        Body.objects.all().delete()
        return draft

    monkeypatch.setattr(bodies, "write", swept)
    task = ended(stored(to="/streams/1/"))
    assert (task.state, task.reason, task.status_code) == (State.ERROR, "storage", None)
    assert files(place) == []


# Broken ---------------------------------------------------------------------------------------------------------------


class Away(FileSystemStorage):
    """An unreachable storage."""

    def _save(self, name: str, content: Any) -> str:
        raise ConnectionError("the storage is away")

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise ConnectionError("the storage is away")

    def delete(self, name: str) -> None:
        raise ConnectionError("the storage is away")


AWAY = f"{__name__}.Away"


def test_unreachable_storage_fails_only_runs_that_need_it(settings, place):
    use(settings, place, AWAY)
    assert ended(stored(to="/streams/1/")).reason == "storage"
    assert ended(stored(to=captured("/reads/"))).state == State.DONE
    use(settings, place)
    assert ended(stored(to="/streams/1/")).state == State.DONE


def test_reservation_in_an_unreachable_storage_is_pruned_later(settings, place):
    use(settings, place, AWAY)
    ended(stored(to="/streams/1/"))
    answers = Body.objects.exclude(kind=Body.FAILURE)
    answers.update(created=soon(minutes=-61))
    assert (pruning.prune()["bodies"], answers.count()) == (0, 1)
    use(settings, place)
    assert (pruning.prune()["bodies"], answers.count()) == (1, 0)


@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=5-900000"}])
def test_unreachable_storage_is_a_500_in_the_dialects_format(settings, place, server, headers):
    address = link(kept(content_type="text/csv"))
    use(settings, place, AWAY)
    with server() as port:
        status, _, _, content = ask(port, "GET", address, headers=headers)
    assert (status, content.startswith(b'{"errors":')) == (500, True)


@pytest.fixture
def broken_off(caplog):
    """Django leaves file and connection of a broken ASGI response to the garbage collector; a log would keep them."""
    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=5-"}])
@pytest.mark.usefixtures("broken_off")
def test_truncated_result_is_an_incomplete_read(place, server, headers):
    address = link(kept(2, content_type="text/csv"))
    [file] = files(place)
    os.truncate(file, MB)
    with server() as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", address, headers=headers)
        response = connection.getresponse()
        assert response.status in (200, 206)
        with pytest.raises(http.client.IncompleteRead):
            response.read()


def test_byte_range_within_a_truncated_result_is_served(place):
    address = link(kept(2))
    [file] = files(place)
    os.truncate(file, MB)
    with wsgi_server() as port:
        assert ask(port, "GET", address, headers={"Range": "bytes=0-99999"})[3] == PIECE[:100_000]
