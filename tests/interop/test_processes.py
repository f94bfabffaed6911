"""The project with a web server and workers of its own: submitted over HTTP, run by a cluster, fetched."""

from __future__ import annotations

import contextlib

import boto3
import pytest
from moto.server import ThreadedMotoServer

from ..journeys.cells import address
from ..services import until
from .processes import WORKER, Project, seen

pytestmark = pytest.mark.slow
SETTINGS = "tests.interop.settings"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """With tables, static files and users, which takes long."""
    return Project(tmp_path_factory.mktemp("prepared"), SETTINGS).prepare()


@pytest.fixture(scope="module")
def site(prepared, tmp_path_factory):
    """With django-q2's cluster."""
    with prepared.copied(tmp_path_factory.mktemp("site"), SETTINGS).deployed(WORKER) as site:
        yield site


def by_jwt(site):
    given = site.client().post(f"{site.address}/api/token/", {"username": "otto", "password": "secret"})
    return site.client(Authorization=f"Bearer {given.json()['access']}")


CALLERS = {
    "a session": ("/whoami/", lambda site: site.staff()),
    "a JWT": ("/api/whoami/", by_jwt),
    "a key of Ninja": ("/ninja/keyed", lambda site: site.client(**{"X-API-Key": "a shop's key"})),
    "an access token": ("/api/scoped/", lambda site: site.client(Authorization="Bearer an-access-token")),
}


@pytest.mark.parametrize("name", CALLERS)
def test_cluster_returns_the_same_response_as_the_web_server(site, name):
    path, client = CALLERS[name]
    at_once, later, task = site.twice(client(site), "GET", path)
    assert at_once.status_code == 200, site.logs()
    assert seen(later) == seen(at_once)
    page = site.staff().get(f"{site.address}/admin/asyncexchange/asynctask/{task.rpartition('/')[2]}/change/")
    assert page.status_code == 200
    assert path in page.text


@pytest.fixture
def s3():
    """The URL of an S3 server, and the sizes of the objects in a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    keys = {"aws_access_key_id": "anybody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    with contextlib.closing(client), contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        for bucket in ("files", "results"):
            client.create_bucket(Bucket=bucket)
        sizes = lambda bucket: [row["Size"] for row in client.list_objects_v2(Bucket=bucket).get("Contents", [])]  # noqa: E731
        yield url, sizes


def test_uploads_and_results_are_in_the_buckets_of_django_storages(s3, prepared, tmp_path):
    url, sizes = s3
    text = b"a line of some length\n" * 10_000
    with prepared.copied(tmp_path, "tests.interop.on_s3", INTEROP_S3=url).deployed(WORKER) as site:
        at_once, later, _ = site.twice(site.staff(), "POST", "/keep-file/", files={"file": ("kept.txt", text)})
        assert (at_once.status_code, at_once.content) == (200, text), site.logs()
        assert seen(later) == seen(at_once)
    assert sizes("files") == [len(text)]  # S3Storage overwrites a file of the same name
    assert sizes("results") == [len(text)]  # the response's; the request's body was deleted at the end of the task


def test_celery_runs_calls_and_the_projects_own_tasks(prepared, tmp_path):
    redis = address("TEST_REDIS_URL")
    project = prepared.copied(tmp_path, "tests.interop.beside_celery.settings", TEST_REDIS_URL=redis)
    worker = "celery -A tests.interop.beside_celery worker --pool prefork --concurrency 2"
    with project.deployed(worker) as site:
        staff = site.staff()
        at_once, later, _ = site.twice(staff, "GET", "/note-later/")
        assert at_once.status_code == 202, site.logs()
        assert seen(later) == seen(at_once)
        notes = lambda: staff.get(f"{site.address}/api/notes/").json()  # noqa: E731
        assert until(lambda: len(notes()) == 2 and notes()) == [{"text": "by Celery"}] * 2
