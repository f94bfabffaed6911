"""An S3 bucket as ``STORAGES["asyncexchange"]``: django-storages and boto3 against a real HTTP server (moto).

What moto does not check (that an address expires, that a signature is valid) is in
docs/howto/storing-and-serving-results.rst.
"""

from __future__ import annotations

import http.client
import random
from collections.abc import Iterator
from typing import Any, ClassVar

import boto3
import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.conf import settings as project
from django.core.files.storage import storages
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import include, path
from moto.server import ThreadedMotoServer

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import pruning
from django_asyncexchange.worker import runner

from ..project.serving import ask, wsgi_server
from ..project.wire import Wire, wire
from ..responses.test_conditional import link
from ..services import exchange, soon, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.xdist_group("s3"),  # one server for all tests
]

MB = 1024 * 1024
LIMIT = 10**9
PIECE = random.Random(11).randbytes(MB)
KEYS = {"aws_access_key_id": "anybody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}


class Act:
    """What happens in the middle of the view's response."""

    interlude: ClassVar[Any] = None


def streams(request: HttpRequest, megabytes: int) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        for number in range(megabytes):
            if number == megabytes // 2 and Act.interlude:
                Act.interlude()
            yield PIECE

    return StreamingHttpResponse(chunks(), content_type="application/octet-stream")


urlpatterns = [path("", include("django_asyncexchange.urls")), path("streams/<int:megabytes>/", streams)]


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    """The port of a moto server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def cable(moto: int) -> Iterator[Wire]:
    """A proxy to that server, which can be cut."""
    with wire(moto) as ours:
        yield ours


@pytest.fixture
def s3(moto: int) -> Iterator[Any]:
    """A direct client of the server, with an empty bucket."""
    address = f"http://127.0.0.1:{moto}"
    requests.post(f"{address}/moto-api/reset", timeout=20).close()
    client = boto3.client("s3", endpoint_url=address, **KEYS)
    client.create_bucket(Bucket="results")
    yield client
    client.close()


@pytest.fixture
def bucket(settings: Any, cable: Wire, s3: Any) -> Iterator[Any]:
    """Configures the bucket as our storage, with further options."""

    def use(**options: Any) -> None:
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"total_max_attempts": 1})
        ours = {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "bucket_name": "results",
                "access_key": "anybody",
                "secret_key": "nothing",
                "region_name": "us-east-1",
                "endpoint_url": f"http://127.0.0.1:{cable.port}",
                "client_config": config,
                "transfer_config": TransferConfig(use_threads=False),
                **options,
            },
        }
        settings.STORAGES = {**project.STORAGES, "asyncexchange": ours}

    use()
    yield use
    storages["asyncexchange"].connection.meta.client.close()


def pieces(megabytes: int) -> Iterator[bytes]:
    return (PIECE for _ in range(megabytes))


def keep(chunks: Any) -> Body:
    """Write ``chunks`` as the response body of a new task."""
    task = stored(State.DONE)
    bodies.attach(bodies.write(chunks, limit=LIMIT), task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    return task.bodies.get()


def objects(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="results").get("Contents", ())]


def uploads(s3: Any) -> list[Any]:
    """Unfinished multipart uploads."""
    return s3.list_multipart_uploads(Bucket="results").get("Uploads", [])


def ended(megabytes: int) -> AsyncTask:
    """A task that has streamed so many megabytes, after its run."""
    task = stored(to=f"/streams/{megabytes}/")
    runner.run(str(task.pk))
    return AsyncTask.objects.get(pk=task.pk)


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bucket")
def test_stream_is_a_multipart_upload(s3):
    body = keep(pieces(20))
    assert objects(s3) == [body.name]
    head = s3.head_object(Bucket="results", Key=body.name)
    assert (head["ContentLength"], head["ETag"].strip('"').partition("-")[2]) == (20 * MB, "3")
    assert bodies.read(body) == PIECE * 20


@pytest.mark.usefixtures("bucket")
def test_small_body_sends_no_request_to_the_bucket(cable, s3):
    cable.cut()
    assert bodies.read(keep([b"small"])) == b"small"


class Gone(Exception):
    pass


@pytest.mark.usefixtures("bucket")
def test_exception_of_the_source_leaves_no_object_and_no_upload(s3):
    def breaking() -> Iterator[bytes]:
        yield from pieces(20)
        assert uploads(s3)
        raise Gone

    with pytest.raises(Gone):
        bodies.write(breaking(), limit=LIMIT)
    assert (objects(s3), uploads(s3), Body.objects.count()) == ([], [], 0)


@pytest.mark.usefixtures("bucket")
def test_body_over_the_limit_leaves_no_object_and_no_upload(s3):
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(21), limit=20 * MB)
    assert (objects(s3), uploads(s3), Body.objects.count()) == ([], [], 0)


@pytest.mark.usefixtures("bucket")
def test_response_of_a_run_is_stored_in_the_bucket(s3):
    task = ended(20)
    assert (task.state, objects(s3)) == (State.DONE, [task.response_body().name])


# Reading --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1, 10 * MB, 20 * MB - 1])
@pytest.mark.parametrize("location", ["", "some/where"])
def test_body_is_read_from_an_offset(bucket, start, location):
    bucket(location=location)
    assert b"".join(bodies.stream(keep(pieces(20)), start)) == (PIECE * 20)[start:]


@pytest.mark.usefixtures("bucket")
def test_bytes_before_the_offset_are_not_fetched(cable):
    body = keep(pieces(20))
    cable.received = 0
    assert b"".join(bodies.stream(body, 19 * MB)) == PIECE
    assert MB <= cable.received < 2 * MB


@pytest.mark.usefixtures("bucket")
def test_first_bytes_are_available_before_the_last_are_fetched(cable):
    body = keep(pieces(64))
    cable.received = 0
    chunks = bodies.stream(body)
    assert PIECE.startswith(next(chunks))
    assert cable.received < 48 * MB
    chunks.close()


@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")  # django-storages' own
def test_object_compressed_by_django_storages_is_read_uncompressed(bucket, s3):
    bucket(gzip=True, gzip_content_types=("application/octet-stream",))
    body = keep([b"a line\n" * 100_000])
    assert s3.head_object(Bucket="results", Key=body.name)["ContentLength"] < body.size / 10
    assert bodies.read(body) == b"a line\n" * 100_000
    assert b"".join(bodies.stream(body, 699_993)) == b"a line\n"


def test_customer_encryption_key_is_sent_with_each_read(bucket):
    bucket(object_parameters={"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32, "Metadata": {"a": "b"}})
    body, asked = keep(pieces(1)), []
    events = storages["asyncexchange"].connection.meta.client.meta.events
    events.register("before-call.s3.GetObject", lambda params, **kwargs: asked.append(params["headers"]))
    assert b"".join(bodies.stream(body, 5)) == PIECE[5:]
    [headers] = asked
    assert headers["x-amz-server-side-encryption-customer-algorithm"] == "AES256"


@pytest.mark.usefixtures("bucket")
def test_missing_object_raises_storage_failed(s3):
    body = keep(pieces(1))
    s3.delete_object(Bucket="results", Key=body.name)
    with pytest.raises(bodies.StorageFailed):
        bodies.read(body)


@pytest.mark.usefixtures("bucket")
def test_broken_connection_raises_storage_failed(cable):
    chunks = bodies.stream(keep(pieces(64)))
    next(chunks)
    cable.cut()
    with pytest.raises(bodies.StorageFailed):
        list(chunks)


# Serving --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bucket")
def test_byte_ranges_together_are_the_whole_file():
    address = link(keep(pieces(20)).task)
    with wsgi_server() as port:
        whole = ask(port, "GET", address)
        parts = [ask(port, "GET", address, headers={"Range": f"bytes={at}-{at + 7 * MB - 1}"}) for at in (0, 7 * MB)]
        rest = ask(port, "GET", address, headers={"Range": f"bytes={14 * MB}-"})
    assert (whole[0], whole[3] == PIECE * 20) == (200, True)
    assert [part[0] for part in (*parts, rest)] == [206, 206, 206]
    assert b"".join(part[3] for part in (*parts, rest)) == PIECE * 20


@pytest.mark.usefixtures("bucket")
def test_head_sends_no_request_to_the_bucket(cable):
    address = link(keep(pieces(1)).task)
    cable.cut()
    with wsgi_server() as port:
        assert ask(port, "HEAD", address)[0] == 200


@pytest.mark.usefixtures("bucket")
def test_unreachable_bucket_is_a_500(cable):
    address = link(keep(pieces(1)).task)
    cable.cut()
    with wsgi_server() as port:
        status, _, _, content = ask(port, "GET", address)
        assert (status, b"errors" in content) == (500, True)
        cable.mend()
        assert ask(port, "GET", address)[3] == PIECE


@pytest.mark.usefixtures("bucket")
def test_broken_download_is_an_incomplete_read(cable):
    address = link(keep(pieces(64)).task)
    with wsgi_server() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", address)
        response = connection.getresponse()
        response.read(1000)
        cable.cut()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()


def test_presigned_url_serves_the_file_with_our_headers(bucket, settings):
    settings.ASYNC_EXCHANGE = exchange(PRESIGNED=True)
    address = link(keep(pieces(1)).task)
    with wsgi_server() as port:
        status, _, lines, _ = ask(port, "GET", address)
    with requests.get(dict(lines)["Location"], timeout=20) as answer:
        assert (status, answer.status_code, answer.content == PIECE) == (302, 200, True)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        assert answer.headers["Cache-Control"] == "no-store"


def test_compressed_response_of_a_view_is_not_presigned(bucket, settings):
    settings.ASYNC_EXCHANGE = exchange(PRESIGNED=True)
    address = link(keep(pieces(1)).task)
    AsyncTask.objects.update(response_headers=[["Content-Encoding", "br"]])
    with wsgi_server() as port:
        status, _, lines, content = ask(port, "GET", address)
    assert (status, dict(lines)["Content-Encoding"], content == PIECE) == (200, "br", True)


# Deleting -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bucket")
def test_delete_removes_the_object_and_ignores_a_missing_one(s3):
    body = keep(pieces(1))
    s3.delete_object(Bucket="results", Key=body.name)
    keep(pieces(1))
    assert bodies.delete(Body.objects.all()) == 2
    assert (objects(s3), Body.objects.count()) == ([], 0)


@pytest.mark.usefixtures("bucket")
def test_prune_keeps_rows_while_the_bucket_is_unreachable(cable, s3):
    AsyncTask.objects.filter(bodies=keep(pieces(1))).update(deletion_date=soon(seconds=-1))
    cable.cut()
    assert (pruning.prune()["bodies"], len(objects(s3)), Body.objects.count()) == (0, 1, 1)
    cable.mend()
    assert (pruning.prune()["bodies"], objects(s3), Body.objects.count()) == (1, [], 0)


# The bucket becomes unreachable ---------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, bucket: Any, cable: Wire) -> AsyncTask:
    """A task whose worker has lost the bucket in the middle of the response."""
    monkeypatch.setattr(Act, "interlude", cable.cut)
    task = ended(40)
    monkeypatch.setattr(Act, "interlude", None)
    cable.mend()
    return task


def test_lost_bucket_ends_the_task_in_storage_error(interrupted):
    assert (interrupted.state, interrupted.reason, interrupted.status_code) == (State.ERROR, "storage", None)


def test_worker_goes_on_after_a_lost_bucket(interrupted, s3):
    assert ended(20).state == State.DONE


def test_interrupted_response_leaves_no_object(interrupted, s3):
    assert objects(s3) == []


def test_interrupted_response_is_pruned(interrupted, s3):
    answers = Body.objects.exclude(kind=Body.FAILURE)
    answers.update(created=soon(minutes=-61))
    assert pruning.prune() == {"bodies": 1, "tasks": 0}
    assert (objects(s3), answers.count()) == ([], 0)


def test_unfinished_upload_is_left_to_the_buckets_lifecycle_rule(interrupted, s3):
    """Only the bucket can remove them while we cannot reach it: docs/howto/storing-and-serving-results.rst."""
    assert len(uploads(s3)) == 1
    rule = {
        "ID": "asyncexchange",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    s3.put_bucket_lifecycle_configuration(Bucket="results", LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(Bucket="results")["Rules"][0]["ID"] == "asyncexchange"
