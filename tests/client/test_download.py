"""Which request continues a download, and which responses continue it: without any IO."""

from __future__ import annotations

import gzip

import pytest

from django_asyncexchange.client.download import Download
from django_asyncexchange.client.exceptions import DownloadInterrupted, ServerUnreachable, UnexpectedResponse
from django_asyncexchange.client.exchange import Exchange
from django_asyncexchange.client.values import Call, Lost, Options, Read, Reply, Send, Wait

RESULT = "https://example.org/async/tasks/1/result"
FIRST = Reply(200, {"asyncresult": "200", "etag": '"one"', "content-length": "1000"})
REST = Reply(206, {"etag": '"one"', "content-range": "bytes 400-999/1000"})


def download(first=FIRST, url=RESULT, **options):
    """A download of which 400 bytes have arrived."""
    exchange = Exchange(Call("POST", "https://example.org/report", {"Authorization": "secret"}), Options(**options))
    exchange.status_url, exchange.result_url = "https://example.org/async/tasks/1", url
    ours = Download(exchange, first)
    ours.taken(b"x" * 400)
    return ours


def asked(ours, *events):
    """The requests of ``rest`` with their pauses, and the reply."""
    steps, left, last, done = ours.rest(ConnectionError("cut")), list(events), None, []
    step = next(steps)
    while True:
        done.append(step)
        if isinstance(step, Send):
            last = left.pop(0)
        try:
            step = steps.send(None if isinstance(step, Wait) else last)
        except StopIteration as end:
            return done, end.value


def changed(reply, status=None, **headers):
    return Reply(
        status or reply.status, reply.headers | {name.replace("_", "-"): text for name, text in headers.items()}
    )


def test_rest_is_requested_of_the_same_representation():
    [pause, request], reply = asked(download(), REST)
    assert isinstance(pause, Wait) and reply is REST
    assert (request.url, request.headers) == (
        RESULT,
        {"Authorization": "secret", "Range": "bytes=400-", "If-Range": '"one"'},
    )


def test_credentials_are_not_sent_to_another_origin():
    [_, request], _ = asked(download(url="https://elsewhere.example/result"), REST)
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "reply",
    [
        changed(REST, content_range="bytes 399-999/1000"),
        changed(REST, content_range="bytes 400-999/1001"),
        changed(REST, content_range="elements 400-999/1000"),
        changed(REST, etag='"two"'),
        changed(REST, content_encoding="gzip"),
        Reply(206, {"etag": '"one"'}),
        changed(FIRST),
        Reply(416, {}),
    ],
    ids=["earlier", "other size", "other unit", "other etag", "other coding", "no place", "all of it", "unsatisfiable"],
)
def test_any_other_part_is_refused(reply):
    with pytest.raises(DownloadInterrupted):
        asked(download(), reply)


@pytest.mark.parametrize("etag", ['W/"one"', "one", ""])
def test_without_a_strong_validator_nothing_is_requested(etag):
    with pytest.raises(DownloadInterrupted) as raised:
        asked(download(changed(FIRST, etag=etag)))
    assert str(raised.value.__cause__) == "cut"


PACKED = Reply(200, {"asyncresult": "200", "etag": 'W/"one"', "content-encoding": "gzip", "content-length": "77"})


def packed(arrived):
    """A download of a result that is compressed on its way, of which ``arrived`` bytes have come."""
    exchange = Exchange(Call("POST", "https://example.org/report", {"accept-encoding": "gzip"}), Options())
    exchange.result_url = RESULT
    ours = Download(exchange, PACKED)
    data = gzip.compress(b"x" * 1000, compresslevel=0)[:arrived]
    return ours, ours.taken(data)


def test_compressed_result_is_decompressed_and_continued_by_a_part_that_is_not():
    ours, data = packed(500)
    assert ours.received == len(data) > 400
    [_, request], _ = asked(ours, changed(REST, content_range=f"bytes {len(data)}-999/1000"))
    assert request.headers == {"Accept-Encoding": "identity", "Range": f"bytes={len(data)}-", "If-Range": '"one"'}
    assert ours.taken(b"y" * 10) == b"y" * 10 and ours.size == 1000


def test_compressed_result_has_an_end_of_its_own():
    ours, data = packed(None)
    assert data == b"x" * 1000 and ours.is_over(None)
    assert not packed(500)[0].is_over(None)


def test_body_that_is_not_gzip_is_interrupted():
    ours, _ = packed(0)
    with pytest.raises(DownloadInterrupted):
        ours.taken(b"no gzip")


@pytest.mark.parametrize(
    "changes",
    [{"content_encoding": "br"}, {"etag": 'W/"one'}, {"etag": ""}, {"content_length": "0"}],
    ids=["other coding", "malformed etag", "no etag", "of HEAD"],
)
def test_other_compressed_results_are_left_alone(changes):
    ours = download(changed(PACKED, **changes))
    assert ours.without == frozenset()
    with pytest.raises(DownloadInterrupted):
        asked(ours)


def test_unknown_response_is_unexpected():
    with pytest.raises(UnexpectedResponse):
        asked(download(), Reply(418, {}))


def test_unknown_size_may_become_known():
    first = Reply(200, {"etag": '"one"'})
    _, reply = asked(download(first), REST)
    assert reply is REST


def test_server_that_stays_away_is_unreachable():
    with pytest.raises(ServerUnreachable):
        asked(download(retries=2), Lost(ConnectionError()), Lost(ConnectionError()))


def test_timeout_of_the_call_does_not_end_its_download():
    assert asked(download(timeout=0), REST)[1] is REST


def test_small_result_that_cannot_be_continued_is_read_before_it_is_returned():
    accepted = Reply(202, {"location": "/async/tasks/1", "preference-applied": "respond-async"})
    result = Reply(201, {"asyncresult": "201", "content-length": "5"})
    steps = Exchange(Call("POST", "https://example.org/report", {}), Options()).steps()
    next(steps)
    steps.send(accepted)
    steps.send(accepted)
    request = steps.send(Reply(303, {"location": RESULT}))
    assert isinstance(steps.send(result), Read)
    assert isinstance(steps.send(Lost(ConnectionError("cut"))), Wait)
    assert steps.send(None) == request


@pytest.mark.parametrize(
    ("size", "error", "is_over"),
    [
        (400, None, True),
        (400, ConnectionError(), True),
        (1000, None, False),
        (1000, ConnectionError(), False),
        (None, None, True),
        (None, ConnectionError(), False),
    ],
)
def test_end_of_the_body(size, error, is_over):
    first = Reply(200, {} if size is None else {"content-length": str(size)})
    assert download(first).is_over(error) == is_over
