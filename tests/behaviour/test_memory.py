"""Memory does not grow with the size of a body: real workers and web servers in processes of their own."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from django.conf import settings as project
from moto.server import ThreadedMotoServer

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies

from ..project.apart import apart, next_line, resume
from ..project.streams import MB, PIECE
from ..responses.test_conditional import link
from ..services import captured, captured_by_asgi, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SMALL, LARGE = 8, 64
"""Megabytes."""
GROWTH = 32 * MB
FILES = "django.core.files.storage.FileSystemStorage"


@pytest.fixture
def place(settings: Any, tmp_path: Any) -> dict[str, Any]:
    ours = {"BACKEND": FILES, "OPTIONS": {"location": tmp_path / "results"}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": ours}
    return ours


@pytest.fixture
def bucket() -> Iterator[dict[str, Any]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"access_key": "anybody", "secret_key": "nothing", "endpoint_url": f"http://{host}:{port}"}
    client = boto3.client(
        "s3",
        endpoint_url=keys["endpoint_url"],
        aws_access_key_id="anybody",
        aws_secret_access_key="nothing",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="results")
    client.close()
    options = {"bucket_name": "results", "region_name": "us-east-1", **keys}
    yield {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    server.stop()


def peak_of_run(storage: dict[str, Any], *tasks: AsyncTask) -> int:
    """The peak memory of a worker that runs ``tasks`` successfully; without tasks, of an idle one."""
    with apart("run", storage, tasks=[task.pk for task in tasks]) as process:
        peak = int(next_line(process))
    assert all(AsyncTask.objects.get(pk=task.pk).state == State.DONE for task in tasks)
    return peak


def test_worker_memory_does_not_grow_with_the_response(place):
    small, large = (peak_of_run(place, stored(to=f"/streams/{size}/")) for size in (SMALL, LARGE))
    assert large - small < GROWTH


def test_worker_memory_does_not_grow_with_an_asynchronous_stream(place):
    calls = (captured_by_asgi(f"/streams-asynchronously/{size}/") for size in (SMALL, LARGE))
    small, large = (peak_of_run(place, stored(to=call)) for call in calls)
    assert large - small < GROWTH


def test_worker_memory_does_not_grow_with_an_upload_to_s3(bucket):
    small, large = (peak_of_run(bucket, stored(to=f"/streams/{size}/")) for size in (SMALL, LARGE))
    assert large - small < GROWTH


def test_upload_to_s3_needs_little_more_memory_than_an_idle_worker(bucket):
    idle, large = peak_of_run(bucket), peak_of_run(bucket, stored(to=f"/streams/{LARGE}/"))
    assert large - idle < GROWTH + 16 * MB


def test_worker_memory_does_not_grow_with_the_request_body(place):
    def sent(size: int) -> AsyncTask:
        task = stored(to=captured("/reads/", method="POST"))
        bodies.attach(bodies.write((PIECE for _ in range(size)), limit=10**9), task_id=task.pk, kind=Body.REQUEST)
        return task

    small, large = (peak_of_run(place, sent(size)) for size in (SMALL, LARGE))
    assert large - small < GROWTH


def answered(size: int, content_type: str) -> str:
    """The link to a result of ``size`` megabytes."""
    task = stored(State.DONE, response_headers=[["Content-Type", content_type]])
    draft = bodies.write((PIECE for _ in range(size)), limit=10**9)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    return link(task)


def peak_of_download(storage: dict[str, Any], server: str, address: str, size: int, **headers: str) -> int:
    """The peak memory of a web server that sends the file at ``address``, of ``size`` megabytes."""
    with apart("serve", storage, server=server) as process:
        port = int(next_line(process))
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", address, headers=headers)
            response = connection.getresponse()
            received = 0
            while chunk := response.read(MB):
                received += len(chunk)
        assert (response.status, received >= size * MB) == (200, True)
        resume(process)
        return int(next_line(process))


@pytest.mark.product("server", "coding")
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_web_server_memory_does_not_grow_with_the_download(place, server, coding):
    small, large = (
        peak_of_download(place, server, answered(size, "text/csv"), size, **{"Accept-Encoding": coding})
        for size in (SMALL, LARGE)
    )
    assert large - small < GROWTH
