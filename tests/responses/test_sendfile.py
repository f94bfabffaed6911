"""Files sent by the web server (django-sendfile2) or by the bucket (presigned URLs), and when neither is used."""

from __future__ import annotations

import sys
import types
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as project
from django.http import HttpResponse
from django.test import Client
from django_sendfile import utils as sendfile

from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies

from ..services import exchange, soon, stored
from .test_conditional import ETAG, SANDBOX, WHOLE, content_of, filed, get, link, sent

pytestmark = pytest.mark.django_db

NGINX = "django_sendfile.backends.nginx"
COPYING = f"{__name__}_copying"
BUCKET = "storages.backends.s3.S3Storage"
KEYS = {"access_key": "anybody", "secret_key": "nothing", "region_name": "us-east-1", "signature_version": "s3v4"}


@pytest.fixture
def place(settings, tmp_path):
    """The directory of ``STORAGES["asyncexchange"]``, which the web server serves as ``/files/``."""
    ours = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "results"}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": ours}
    settings.ASYNC_EXCHANGE = exchange(SENDFILE=True)
    settings.SENDFILE_ROOT = tmp_path
    settings.SENDFILE_URL = "/files"
    return tmp_path / "results"


@pytest.fixture
def server(settings):
    """Chooses the backend of django-sendfile2, and clears its cache."""

    def choose(name: str) -> None:
        settings.SENDFILE_BACKEND = name
        sendfile._get_sendfile.cache_clear()

    yield choose
    sendfile._get_sendfile.cache_clear()


def name() -> str:
    return Body.objects.get().name


# The web server -------------------------------------------------------------------------------------------------------


def test_nginx_gets_x_accel_redirect(place, server):
    server(NGINX)
    response = get(filed())
    assert (response.status_code, content_of(response)) == (200, b"")
    assert response.headers["X-Accel-Redirect"] == f"/files/results/{name()}"


def test_apache_gets_x_sendfile(place, server):
    server("django_sendfile.backends.xsendfile")
    response = get(filed())
    assert (response.status_code, content_of(response)) == (200, b"")
    assert response.headers["X-Sendfile"] == str(place / name())


def test_sendfile_response_has_security_headers(place, server):
    server(NGINX)
    lines = sent(get(filed(Content_Type="text/html", X_Own="kept", Content_Disposition="inline")))
    assert lines.items() >= {**SANDBOX, "Content-Type": "text/html", "X-Own": "kept"}.items()
    assert lines["Content-Disposition"].startswith("attachment; filename=")


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-9"}, {"If_None_Match": ETAG}, {"If_None_Match": '"theirs"'}])
def test_conditions_and_ranges_are_left_to_the_web_server(place, server, headers):
    server(NGINX)
    response = get(filed(ETag='"7"'), **headers)
    lines = sent(response)
    assert (response.status_code, "X-Accel-Redirect" in lines) == (200, True)
    assert not {"ETag", "Accept-Ranges", "Content-Range"} & set(lines)


def test_head_is_left_to_the_web_server(place, server):
    server(NGINX)
    assert "X-Accel-Redirect" in Client().head(filed()).headers


def test_forged_link_is_not_sent_to_the_web_server(place, server):
    server(NGINX)
    response = get(filed().replace("temp_url_sig=", "temp_url_sig=0"))
    assert (response.status_code, "X-Accel-Redirect" in response.headers) == (403, False)


def test_small_result_is_not_sent_by_the_web_server(place, server):
    server(NGINX)
    response = get(filed(b"small"))
    assert (content_of(response), "X-Accel-Redirect" in response.headers) == (b"small", False)


def test_replay_is_not_sent_by_the_web_server(place, server, django_user_model):
    server(NGINX)
    user = django_user_model.objects.create(username="anna")
    task = stored(State.DONE, dialect="mailru", owner=user)
    bodies.attach(bodies.write([WHOLE], limit=10**9), task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    client = Client()
    client.force_login(user)
    assert content_of(client.get(f"/async_api/v2/responses/{task.pk}.json")) == WHOLE


def test_compressed_response_of_a_view_is_not_sent_by_the_web_server(place, server):
    server(NGINX)
    response = get(filed(Content_Encoding="gzip"))
    assert (content_of(response), sent(response)["Content-Encoding"]) == (WHOLE, "gzip")


def test_sealed_file_is_not_sent_by_the_web_server(place, server, settings):
    server(NGINX)
    settings.ASYNC_EXCHANGE = exchange(SENDFILE=True, ENCRYPTION_KEYS=[Fernet.generate_key()])
    task = stored(State.DONE)
    draft = bodies.write([WHOLE], limit=10**9, seal=True)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    assert content_of(get(link(task))) == WHOLE


def test_missing_file_is_a_500_in_the_dialects_format(place, server):
    server(NGINX)
    address = filed()
    (place / name()).unlink()
    response = Client(raise_request_exception=False).get(address)
    assert (response.status_code, "X-Accel-Redirect" in response.headers) == (500, False)
    assert response.json()["errors"][0]["code"]


@pytest.mark.parametrize("backend", ["simple", "development"])
def test_backend_without_a_web_server_changes_nothing(place, server, backend):
    server(f"django_sendfile.backends.{backend}")
    response = get(filed(), Range="bytes=5-99999")
    assert (response.status_code, content_of(response)) == (206, WHOLE[5:100_000])


def copied(request, filename, **kwargs):
    """A custom backend that reads the file itself."""
    return HttpResponse(b"another copy")


# SENDFILE_BACKEND names a module.
sys.modules[COPYING] = types.SimpleNamespace(sendfile=copied)  # type: ignore[assignment]


def test_custom_backend_that_reads_the_file_changes_nothing(place, server):
    server(COPYING)
    assert content_of(get(filed())) == WHOLE


def test_without_sendfile_the_web_server_gets_nothing(place, server, settings):
    server(NGINX)
    settings.ASYNC_EXCHANGE = exchange(SENDFILE=False)
    assert content_of(get(filed())) == WHOLE


# The bucket -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(settings):
    """A bucket without a server: presigned URLs are computed locally."""
    ours = {"BACKEND": BUCKET, "OPTIONS": {"bucket_name": "results", **KEYS}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": ours}
    settings.ASYNC_EXCHANGE = exchange(PRESIGNED=True)


def in_bucket(**fields: Any) -> AsyncTask:
    """A task whose result is in the bucket."""
    lines = [["Content-Type", "text/csv"]]
    task = stored(State.DONE, response_headers=lines, **fields)
    Body.objects.create(task=task, kind=Body.RESPONSE, attempt=task.attempt, name="2026/a", size=len(WHOLE), sha256="0")
    return task


def led_to(task: AsyncTask) -> tuple[str, dict[str, str]]:
    """(URL, query) of the bucket that the link of ``task`` redirects to."""
    response = get(link(task))
    assert (response.status_code, content_of(response)) == (302, b"")
    lines = sent(response)
    assert (lines["Cache-Control"], lines["Referrer-Policy"]) == ("no-store", "no-referrer")
    target = urlsplit(lines["Location"])
    return f"{target.scheme}://{target.netloc}{target.path}", dict(parse_qsl(target.query))


def test_link_redirects_to_a_presigned_url(bucket):
    address, query = led_to(task := in_bucket())
    assert address == "https://results.s3.amazonaws.com/2026/a"
    assert query["response-content-type"] == "text/csv"
    assert query["response-content-disposition"] == f'attachment; filename="asynctask_{task.pk}_result.csv"'
    assert query["response-cache-control"] == "no-store"
    assert query["X-Amz-Signature"]


def test_presigned_url_is_valid_as_long_as_a_link(bucket):
    assert led_to(in_bucket())[1]["X-Amz-Expires"] == "300"


def test_presigned_url_expires_with_the_result(bucket):
    assert 0 < int(led_to(in_bucket(deletion_date=soon(seconds=100)))[1]["X-Amz-Expires"]) <= 100


def test_ranges_and_conditions_are_left_to_the_bucket(bucket):
    for headers in ({"Range": "bytes=0-9"}, {"If_None_Match": '"0"'}):
        assert get(link(in_bucket()), **headers).status_code == 302


def test_head_is_not_redirected(bucket):
    response = Client().head(link(in_bucket()))
    assert (response.status_code, response.headers["Content-Length"]) == (200, str(len(WHOLE)))


def test_presigned_url_needs_a_lifetime(bucket):
    in_bucket()
    said = {"content_type": "", "disposition": ""}
    assert [bool(bodies.presigned_url(Body.objects.get(), seconds=seconds, **said)) for seconds in (0, 1)] == [
        False,
        True,
    ]


def test_forged_link_is_not_redirected(bucket):
    response = get(link(in_bucket()).replace("temp_url_sig=", "temp_url_sig=0"))
    assert (response.status_code, "Location" in response.headers) == (403, False)


def test_expired_result_is_not_redirected(bucket):
    response = get(link(in_bucket(deletion_date=soon(seconds=-1))))
    assert (response.status_code, "Location" in response.headers) == (404, False)


def test_small_result_is_not_redirected(bucket):
    assert content_of(get(filed(b"small"))) == b"small"


def test_file_system_storage_has_no_presigned_urls(place, settings):
    settings.ASYNC_EXCHANGE = exchange(PRESIGNED=True)
    assert content_of(get(filed())) == WHOLE
