"""A download whose connection breaks is continued byte for byte, or ends with an exception."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from django_asyncexchange.client.exceptions import (
    CredentialsRejected,
    DownloadInterrupted,
    ResultGone,
    ServerUnreachable,
)
from django_asyncexchange.client.values import DOWNLOADING, Options
from django_asyncexchange.models import AsyncTask, Body

from .callers import every_client, every_reader, once
from .proxy import MOMENTS, RESULT, Fault
from .site import body, runs, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.client.site")]

SIZE, LONG = 400_000, 1_600_000
IN_BODY = MOMENTS[3]
PLAIN = {"Accept-Encoding": "identity"}


def cuts(number, after=60_000):
    """The next connections to the result end after so many bytes each."""
    return [Fault(RESULT, IN_BODY, after=after) for _ in range(number)]


def ranges(line):
    return [headers.get("range") for step, _, headers in line.seen if step == RESULT]


@every_reader
@pytest.mark.parametrize(("kind", "made"), [("application/octet-stream", body), ("text/csv", text)])
def test_download_is_continued_where_it_broke(line, cookie, name, call, kind, made):
    line.faults = cuts(3)
    url = f"{line.url}/works/{name}/200/{SIZE}/?type={kind}"
    status, headers, got = call("POST", url, cookie | PLAIN, Options())
    assert (status, int(headers["Content-Length"]), got == made(SIZE)) == (200, SIZE, True)
    assert ranges(line) == [None, "bytes=60000-", "bytes=120000-", "bytes=180000-"]
    assert runs(name) == 1


@every_reader
def test_compressed_download_is_continued(line, cookie, name, call):
    line.faults = cuts(1, after=40_000)
    url = f"{line.url}/works/{name}/200/{LONG}/?type=text/csv"
    status, headers, got = call("POST", url, cookie | {"Accept-Encoding": "gzip"}, Options())
    assert (status, got == text(LONG), "Content-Encoding" in headers) == (200, True, False)
    first, rest = ranges(line)
    assert first is None and int(rest.removeprefix("bytes=")[:-1]) > 40_000
    assert runs(name) == 1


@every_reader
def test_compressed_download_is_whole(line, cookie, name, call):
    url = f"{line.url}/works/{name}/200/{LONG}/?type=text/csv"
    _, _, got = call("POST", url, cookie | {"Accept-Encoding": "gzip"}, Options())
    assert got == text(LONG) and ranges(line) == [None]


@every_reader
def test_result_that_is_no_200_is_requested_again_if_it_is_small(line, cookie, name, call):
    line.faults = cuts(2)
    status, _, got = call("POST", f"{line.url}/works/{name}/201/{SIZE}/", cookie, Options())
    assert (status, got == body(SIZE), ranges(line)) == (201, True, [None] * 3)


@every_client
def test_large_result_that_is_no_200_cannot_be_continued(line, cookie, name, call):
    line.faults = cuts(1)
    with pytest.raises(DownloadInterrupted):
        call("POST", f"{line.url}/works/{name}/201/2000000/", cookie, Options())


@every_client
def test_result_that_has_changed_is_not_mixed_with_the_old_one(line, cookie, name, call):
    def change():
        Body.objects.filter(kind=Body.RESPONSE).update(sha256="0" * 64)

    line.faults = cuts(1)
    with pytest.raises(DownloadInterrupted):
        call("POST", f"{line.url}/works/{name}/200/{SIZE}/", cookie, Options(on_progress=once(DOWNLOADING, change)))


@every_client
@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda: AsyncTask.objects.all().delete(), ResultGone),
        (lambda: AsyncTask.objects.update(deletion_date=timezone.now()), ResultGone),
        (lambda: AsyncTask.objects.update(account="somebody else's"), ResultGone),
        (lambda: Session.objects.all().delete(), CredentialsRejected),
    ],
    ids=["deleted", "expired", "of another account", "session expired"],
)
def test_result_that_is_not_available_by_then_is_an_exception(line, cookie, name, call, end, error):
    line.faults = cuts(1)
    with pytest.raises(error):
        call("POST", f"{line.url}/works/{name}/200/{SIZE}/", cookie, Options(on_progress=once(DOWNLOADING, end)))


@every_client
def test_busy_server_is_waited_for(line, cookie, name, call):
    line.faults = [*cuts(1), Fault(RESULT, 503), Fault(RESULT, 429)]
    _, _, got = call("POST", f"{line.url}/works/{name}/200/{SIZE}/", cookie, Options())
    assert got == body(SIZE)


@every_client
def test_connections_that_bring_no_byte_are_counted(line, cookie, name, call):
    line.faults = [*cuts(1), Fault(RESULT, MOMENTS[2], times=3)]
    with pytest.raises(ServerUnreachable):
        call("POST", f"{line.url}/works/{name}/200/{SIZE}/", cookie, Options(retries=2))
    assert len(ranges(line)) == 4 - 1


@every_client
def test_each_byte_begins_the_count_anew(line, cookie, name, call):
    line.faults = [
        fault for _ in range(3) for fault in [*cuts(1), Fault(RESULT, MOMENTS[0]), Fault(RESULT, MOMENTS[1])]
    ]
    _, _, got = call("POST", f"{line.url}/works/{name}/200/{SIZE}/", cookie, Options(retries=3))
    assert got == body(SIZE)


@every_client
def test_bytes_are_reported(line, cookie, name, call):
    line.faults, seen = cuts(1), []
    call("POST", f"{line.url}/works/{name}/200/{SIZE}/", cookie, Options(on_progress=seen.append))
    done = [progress.done for progress in seen if progress.state == DOWNLOADING]
    assert done == sorted(set(done)) and done[-1] == SIZE
    assert {progress.total for progress in seen if progress.state == DOWNLOADING} == {SIZE}
