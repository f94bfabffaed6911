"""A stored result served as a file: conditional requests, byte ranges, HEAD, compression and security headers."""

from __future__ import annotations

import gzip
import hashlib
import random
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from cryptography.fernet import Fernet
from django.conf import settings as project
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, Client, RequestFactory
from django.utils.http import http_date
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol import byte_ranges
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies

from ..project.serving import asgi_server, ask, wsgi_server
from ..services import soon, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning"),
]

WHOLE = random.Random(7).randbytes(300_001)
"""Too large for the database, and nothing that looks like another part of it."""
SIZE = len(WHOLE)
ETAG = f'"{hashlib.sha256(WHOLE).hexdigest()}"'
OTHER = f'"{hashlib.sha256(b"other").hexdigest()}"'
BINARY = "application/octet-stream"

SANDBOX = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class Watched(FileSystemStorage):
    """Records the opened names."""

    opened: ClassVar[list[str]] = []

    def open(self, name: str, mode: str = "rb") -> Any:
        self.opened.append(name)
        return super().open(name, mode)


@pytest.fixture(autouse=True)
def opened(settings, tmp_path):
    """The names opened in the storage."""
    backend = {"BACKEND": f"{__name__}.Watched", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": backend}
    Watched.opened.clear()
    return Watched.opened


@pytest.fixture
def every_middleware(settings):
    """GZipMiddleware and ConditionalGetMiddleware, in the order of Django's documentation."""
    names = ["django.middleware.gzip.GZipMiddleware", "django.middleware.http.ConditionalGetMiddleware"]
    settings.MIDDLEWARE = [*names, *settings.MIDDLEWARE]


def filed(content: bytes = WHOLE, dialect: str = "moysklad", status: int = 200, **headers: str) -> str:
    """The signed link to a stored result."""
    lines = {"Content-Type": BINARY, **{name.replace("_", "-"): text for name, text in headers.items()}}
    task = stored(State.DONE, dialect=dialect, status_code=status, response_headers=list(lines.items()))
    draft = bodies.write([content], limit=10**9)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    return link(task)


def link(task: AsyncTask) -> str:
    expires = int(soon(minutes=1).timestamp())
    signature = conf.signer("download").sign(f"{task.pk}:{task.attempt}:{expires}")
    prefix = conf.dialect(task.dialect).prefix
    return f"{prefix}/async/{task.pk}/download?temp_url_sig={signature}&temp_url_expires={expires}"


answers: list[Any] = []


@pytest.fixture(autouse=True)
def closed():
    """Close responses as a server does."""
    yield
    while answers:
        answers.pop().close()


def get(address: str, **headers: str) -> Any:
    answers.append(Client().get(address, headers={name.replace("_", "-"): text for name, text in headers.items()}))
    return answers[-1]


def content_of(response: Any) -> bytes:
    return b"".join(response) if response.streaming else response.content


def sent(response: Any) -> dict[str, str]:
    """The headers as sent; each name only once."""
    lines = list(response.items())
    assert len({name.lower() for name, _ in lines}) == len(lines)
    return dict(lines)


# Byte ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
def test_byte_ranges_together_are_the_whole(server):
    address, step = filed(), 40_000
    with server() as port:
        whole = ask(port, "GET", address)
        parts = [
            ask(port, "GET", address, headers={"Range": f"bytes={start}-{start + step - 1}"})
            for start in range(0, SIZE, step)
        ]
        rest = ask(port, "GET", address, headers={"Range": "bytes=100000-"})
    assert (whole[0], whole[3]) == (200, WHOLE)
    assert {part[0] for part in parts} == {206}
    assert b"".join(part[3] for part in parts) == WHOLE
    assert (rest[0], rest[3], dict(rest[2])["Content-Length"]) == (206, WHOLE[100_000:], str(SIZE - 100_000))


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        (f"bytes={SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-70000", SIZE - 70_000, SIZE - 1),
        (f"bytes=-{SIZE + 1}", 0, SIZE - 1),
        ("bytes=0-", 0, SIZE - 1),
        (f"bytes=65535-{10**30}", 65_535, SIZE - 1),
        ("bytes=65536-131071", 65_536, 131_071),
        ("Bytes=1-2", 1, 2),
        (" bytes=1-2 ", 1, 2),
    ],
)
def test_byte_range_is_a_206(header, first, last):
    response = get(filed(), Range=header)
    assert response.status_code == 206
    assert response.reason_phrase == "Partial Content"
    assert content_of(response) == WHOLE[first : last + 1]
    lines = sent(response)
    assert lines["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert lines["Content-Length"] == str(last - first + 1)
    assert (lines["ETag"], lines["Content-Type"]) == (ETAG, BINARY)
    assert lines.items() >= SANDBOX.items()
    assert lines["Content-Disposition"].startswith("attachment;")
    assert "Content-Encoding" not in lines


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE}", "bytes=-0", f"bytes={10**40}-"])
def test_unsatisfiable_range_is_a_416(opened, header):
    response = get(filed(), Range=header)
    assert (response.status_code, content_of(response)) == (416, b"")
    lines = sent(response)
    assert (lines["Content-Range"], lines["Content-Length"]) == (f"bytes */{SIZE}", "0")
    assert lines.items() >= SANDBOX.items()
    assert opened == []


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,5-6",
        "bytes=0-1,",
        "bytes=2-1",
        "bytes=-",
        "bytes=",
        "bytes",
        "bytes=a-b",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=١-٢",
        "bytes=1",
        "items=0-1",
        "bytes=0x1-0x2",
        f"bytes={'9' * 5000}-",
        "",
    ],
)
def test_invalid_or_multiple_range_gets_the_whole(header):
    response = get(filed(), Range=header)
    assert (response.status_code, content_of(response)) == (200, WHOLE)
    lines = sent(response)
    assert "Content-Range" not in lines
    assert (lines["Accept-Ranges"], lines["ETag"], lines["Content-Length"]) == ("bytes", ETAG, str(SIZE))


@pytest.mark.parametrize("size", [1, 100, 64 * 1024])
def test_range_of_a_small_result_is_read_from_the_database(opened, size):
    response = get(filed(WHOLE[:size]), Range="bytes=0-49")
    assert (response.status_code, content_of(response), opened) == (206, WHOLE[: min(50, size)], [])


@pytest.mark.parametrize("dialect", ["moysklad", "kladana"])
def test_every_dialect_with_downloads_serves_ranges(dialect):
    assert content_of(get(filed(dialect=dialect), Range="bytes=1-2")) == WHOLE[1:3]


def test_link_to_a_stored_201_has_ranges():
    response = get(filed(status=201), Range="bytes=100-199")
    assert (response.status_code, content_of(response)) == (206, WHOLE[100:200])


def test_stored_206_is_sent_whole():
    response = get(filed(status=206, Content_Range="bytes 0-1/9"), Range="bytes=0-0")
    assert (response.status_code, content_of(response)) == (200, WHOLE)
    assert "Accept-Ranges" not in sent(response)


@pytest.mark.parametrize("broken", [{"sig": "0" * 64}, {"sig": ""}])
def test_forged_link_has_no_ranges_and_no_conditions(opened, broken):
    address = filed().replace("temp_url_sig=", f"temp_url_sig={broken['sig']}&was=")
    statuses = {
        get(address, **headers).status_code for headers in ({"Range": "bytes=0-1"}, {"If_None_Match": ETAG}, {})
    }
    assert len(statuses) == 1
    assert statuses <= {401, 403, 404}
    assert opened == []


# If-Range -------------------------------------------------------------------------------------------------------------


def test_matching_if_range_resumes_the_download():
    response = get(filed(), Range="bytes=5-", If_Range=ETAG)
    assert (response.status_code, content_of(response)) == (206, WHOLE[5:])


@pytest.mark.parametrize("condition", [OTHER, f"W/{ETAG}", ETAG.strip('"'), http_date(4e9), http_date(0), "*"])
def test_other_if_range_restarts_the_download(condition):
    response = get(filed(), Range="bytes=5-", If_Range=condition)
    assert (response.status_code, content_of(response)) == (200, WHOLE)


def test_416_needs_a_matching_if_range():
    assert get(filed(), Range=f"bytes={SIZE}-", If_Range=OTHER).status_code == 200
    assert get(filed(), Range=f"bytes={SIZE}-", If_Range=ETAG).status_code == 416


# Conditional requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [ETAG, f"W/{ETAG}", f"{OTHER}, {ETAG}", "*"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_matching_if_none_match_is_a_304(opened, method, condition):
    address = filed()
    response = getattr(Client(), method)(address, headers={"If-None-Match": condition, "Range": "bytes=0-1"})
    assert (response.status_code, content_of(response)) == (304, b"")
    lines = sent(response)
    assert (lines["ETag"], lines["Cache-Control"]) == (ETAG, "no-store")
    assert opened == []


def test_other_if_none_match_gets_the_whole():
    response = get(filed(), If_None_Match=OTHER)
    assert (response.status_code, content_of(response)) == (200, WHOLE)


def test_other_if_match_is_a_412(opened):
    assert get(filed(), If_Match=OTHER).status_code == 412
    assert opened == []


@pytest.mark.parametrize("header", ["If_Modified_Since", "If_Unmodified_Since"])
@pytest.mark.parametrize("told", [{}, {"Last_Modified": http_date(1e9)}])
def test_result_is_unmodified_since_its_run(header, told):
    status = get(filed(**told), **{header: http_date(4e9)}).status_code
    assert status == {"If_Modified_Since": 304, "If_Unmodified_Since": 200}[header]


def test_etag_of_the_view_is_used():
    address = filed(ETag='"7"')
    response = get(address, Range="bytes=0-1", If_Range='"7"')
    assert (response.status_code, sent(response)["ETag"]) == (206, '"7"')
    assert get(address, If_None_Match='"7"').status_code == 304
    assert get(address, If_None_Match=ETAG).status_code == 200


def test_weak_etag_of_the_view_does_not_match_if_range():
    response = get(filed(ETag='W/"7"'), Range="bytes=0-1", If_Range='W/"7"')
    assert (response.status_code, sent(response)["ETag"]) == (200, 'W/"7"')


def test_result_without_a_digest_has_no_etag():
    address = filed()
    Body.objects.update(sha256="")
    assert "ETag" not in sent(get(address))
    assert get(address, Range="bytes=0-1").status_code == 206
    assert get(address, Range="bytes=0-1", If_Range='""').status_code == 200


# HEAD -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
@pytest.mark.parametrize("content", [WHOLE, WHOLE[:1000]], ids=["large", "small"])
def test_head_has_the_headers_of_get_and_reads_nothing(opened, server, content):
    address = filed(content)
    with server() as port:
        head = ask(port, "HEAD", address, headers={"Range": "bytes=0-1"})
        assert opened == []
        whole = ask(port, "GET", address)
    assert (head[0], head[3], dict(head[2])["Content-Length"]) == (200, b"", str(len(content)))
    assert lines_of(head) == lines_of(whole)


def lines_of(answer: Any) -> list[tuple[str, str]]:
    """The headers of a response to ``ask``, without Date."""
    return sorted((name.lower(), text) for name, text in answer[2] if name.lower() != "date")


def test_head_of_a_replay_reads_nothing(opened, django_user_model):
    user = django_user_model.objects.create(username="anna")
    task = stored(State.DONE, dialect="mailru", owner=user)
    bodies.attach(bodies.write([WHOLE], limit=10**9), task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    client = Client()
    client.force_login(user)
    address = f"/async_api/v2/responses/{task.pk}.json"
    head = client.head(address)
    assert (head.status_code, opened) == (200, [])
    whole = client.get(address)
    assert (content_of(whole), sent(head)) == (WHOLE, sent(whole))


# Only the requested bytes ---------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=9)), st.integers(0, 40), st.integers(1, 40))
def test_cut_equals_a_slice(chunks, start, length):
    wanted = range(start, start + length)
    assert b"".join(byte_ranges.cut(chunks, wanted)) == b"".join(chunks)[start : start + length]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20))
def test_parsed_range_is_within_the_result(first, last, size):
    for header in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        wanted = byte_ranges.requested(header, size)
        assert wanted is None or set(wanted) <= set(range(size))


def test_nothing_after_the_range_is_read():
    chunks = iter([b"abc", b"def", b"ghi"])
    assert list(byte_ranges.cut(chunks, range(1, 5))) == [b"bc", b"de"]
    assert list(chunks) == [b"ghi"]


def test_only_large_ranges_are_streamed():
    address = filed()
    assert get(address, Range="bytes=1-").streaming
    assert not get(address, Range="bytes=1-9").streaming


def test_range_is_an_async_stream_under_asgi():
    @async_to_sync
    async def fetch(address: str) -> Any:
        response: Any = await AsyncClient().get(address, headers={"Range": "bytes=1-"})
        return response.status_code, response.is_async, b"".join([chunk async for chunk in response])

    assert fetch(filed()) == (206, True, WHOLE[1:])


# With the project's middleware ----------------------------------------------------------------------------------------


def test_range_is_not_compressed(every_middleware):
    text = b"a line of a report\n" * 20_000
    address = filed(text, Content_Type="text/plain")
    for header, part in (("bytes=0-999", text[:1000]), ("bytes=100-", text[100:])):
        response = get(address, Range=header, Accept_Encoding="gzip")
        assert (response.status_code, content_of(response)) == (206, part)
        lines = sent(response)
        assert lines["Content-Length"] == str(len(part))
        assert "Content-Encoding" not in lines
        assert not lines["ETag"].startswith("W/")


def test_compressed_whole_has_no_ranges(every_middleware):
    text = b"a line of a report\n" * 20_000
    address = filed(text, Content_Type="text/plain")
    response = get(address, Accept_Encoding="gzip")
    lines = sent(response)
    assert (response.status_code, lines["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(content_of(response)) == text
    assert lines["ETag"].startswith("W/")
    assert get(address, Range="bytes=5-", If_Range=lines["ETag"]).status_code == 200
    assert get(address, If_None_Match=lines["ETag"]).status_code == 304


def test_middleware_does_not_change_conditions_and_refusals(every_middleware, opened):
    address = filed()
    not_modified = get(address, If_None_Match=ETAG, Accept_Encoding="gzip")
    refused = get(address, Range=f"bytes={SIZE}-", Accept_Encoding="gzip")
    head = Client().head(address)
    assert (not_modified.status_code, refused.status_code, head.status_code) == (304, 416, 200)
    assert (sent(head)["Content-Length"], sent(head)["ETag"]) == (str(SIZE), ETAG)
    assert opened == []


def test_range_of_a_compressed_response_is_cut_from_its_bytes(every_middleware):
    packed = gzip.compress(WHOLE)
    response = get(filed(packed, Content_Encoding="gzip"), Range="bytes=3-9", Accept_Encoding="gzip")
    assert (content_of(response), sent(response)["Content-Encoding"]) == (packed[3:10], "gzip")


# Compression ----------------------------------------------------------------------------------------------------------

TEXT = b"a line of a report\n" * 20_000
LINES = {"Content_Type": "text/csv; charset=utf-8"}


@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
def test_text_is_compressed_for_clients_that_accept_gzip(server):
    address = filed(TEXT, **LINES)
    with server() as port:
        packed = ask(port, "GET", address, headers={"Accept-Encoding": "gzip"})
        plain = ask(port, "GET", address)
    assert (packed[0], gzip.decompress(packed[3])) == (200, TEXT)
    assert len(packed[3]) < len(TEXT) / 10
    lines = {name.lower(): text for name, text in packed[2]}
    etag = f'"{hashlib.sha256(TEXT).hexdigest()}"'
    assert (lines["content-encoding"], lines["etag"]) == ("gzip", f"W/{etag}")
    assert varies(lines["vary"])
    assert (lines["accept-ranges"], "content-length" in lines) == ("none", False)
    lines = {name.lower(): text for name, text in plain[2]}
    assert (plain[0], plain[3], lines["content-length"], lines["etag"]) == (200, TEXT, str(len(TEXT)), etag)
    assert (varies(lines["vary"]), lines["accept-ranges"], "content-encoding" in lines) == (True, "bytes", False)


def varies(told: str) -> bool:
    """Whether ``Vary`` names Accept-Encoding once."""
    return [field.strip() for field in told.split(",")].count("Accept-Encoding") == 1


def test_compressed_result_is_one_gzip_stream():
    content = content_of(get(filed(TEXT, **LINES), Accept_Encoding="gzip"))
    unpacked = zlib.decompressobj(wbits=31)
    assert (unpacked.decompress(content), unpacked.unused_data, unpacked.eof) == (TEXT, b"", True)


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "*;q=0"])
def test_result_is_not_compressed_without_gzip_in_accept_encoding(accepted):
    response = get(filed(TEXT, **LINES), Accept_Encoding=accepted)
    assert content_of(response) == TEXT
    assert "Content-Encoding" not in sent(response)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": BINARY},
        {**LINES, "Content_Encoding": "br"},
        {**LINES, "Content_Digest": "sha-256=:x:"},
    ],
)
def test_binary_encoded_or_digested_result_is_not_compressed(headers):
    response = get(filed(TEXT, **headers), Accept_Encoding="gzip")
    assert content_of(response) == TEXT
    assert "Vary" not in sent(response)


def test_small_result_is_not_compressed():
    response = get(filed(TEXT[:1000], **LINES), Accept_Encoding="gzip")
    assert (content_of(response), response.streaming) == (TEXT[:1000], False)


def test_gzip_middleware_does_not_compress_again(every_middleware):
    response = get(filed(TEXT, **LINES), Accept_Encoding="gzip")
    assert gzip.decompress(content_of(response)) == TEXT
    assert varies(sent(response)["Vary"])


@pytest.mark.parametrize("server", [wsgi_server, asgi_server])
def test_head_of_a_compressed_result_has_the_headers_of_get(opened, server):
    address = filed(TEXT, **LINES)
    with server() as port:
        head = ask(port, "HEAD", address, headers={"Accept-Encoding": "gzip"})
        assert (head[0], head[3], opened) == (200, b"", [])
        whole = ask(port, "GET", address, headers={"Accept-Encoding": "gzip"})
    framing = {"transfer-encoding", "connection"}
    assert [line for line in lines_of(head) if line[0] not in framing] == [
        line for line in lines_of(whole) if line[0] not in framing
    ]


def test_range_of_text_is_not_compressed():
    response = get(filed(TEXT, **LINES), Range="bytes=5-100004", Accept_Encoding="gzip")
    assert (response.status_code, content_of(response)) == (206, TEXT[5:100_005])
    lines = sent(response)
    assert ("Content-Encoding" in lines, varies(lines["Vary"]), lines["ETag"][0]) == (False, True, '"')


def test_if_range_of_a_compressed_result_restarts_the_download():
    address = filed(TEXT, **LINES)
    etag = sent(get(address, Accept_Encoding="gzip"))["ETag"]
    response = get(address, Range="bytes=5-", If_Range=etag, Accept_Encoding="gzip")
    assert (response.status_code, gzip.decompress(content_of(response))) == (200, TEXT)


@pytest.mark.parametrize(("accepted", "is_weak"), [("gzip", True), ("identity", False)])
def test_if_none_match_matches_both_encodings(opened, accepted, is_weak):
    address = filed(TEXT, **LINES)
    etag = f'"{hashlib.sha256(TEXT).hexdigest()}"'
    for known in (etag, f"W/{etag}"):
        response = get(address, If_None_Match=known, Accept_Encoding=accepted)
        lines = sent(response)
        assert (response.status_code, lines["ETag"].startswith("W/")) == (304, is_weak)
        assert varies(lines["Vary"])
    assert opened == []


def test_if_match_is_about_the_uncompressed_result():
    etag = f'"{hashlib.sha256(TEXT).hexdigest()}"'
    assert get(filed(TEXT, **LINES), If_Match=etag, Accept_Encoding="gzip").status_code == 200


@pytest.mark.parametrize("status", [200, 404])
def test_compressed_replay_keeps_the_views_headers(django_user_model, status):
    user = django_user_model.objects.create(username="anna")
    headers = [
        ["Content-Type", "application/json"],
        ["ETag", '"7"'],
        ["Vary", "Cookie"],
        ["X-Own", "1"],
        ["X-Own", "2"],
    ]
    state = State.DONE if status == 200 else State.API_ERROR
    task = stored(state, dialect="mailru", owner=user, status_code=status, response_headers=headers)
    bodies.attach(bodies.write([TEXT], limit=10**9), task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    client = Client()
    client.force_login(user)
    response = client.get(f"/async_api/v2/responses/{task.pk}.json", headers={"Accept-Encoding": "gzip"})
    assert (response.status_code, gzip.decompress(content_of(response))) == (status, TEXT)
    lines = list(response.items())
    assert [text for name, text in lines if name == "X-Own"] == ["1", "2"]
    assert {("ETag", 'W/"7"'), ("Content-Encoding", "gzip")} <= set(lines)
    assert dict(lines)["Vary"].startswith("Cookie, Accept-Encoding")
    plain = client.get(f"/async_api/v2/responses/{task.pk}.json")
    assert (content_of(plain), plain.headers["ETag"], plain.headers["Content-Length"]) == (TEXT, '"7"', str(len(TEXT)))


# No scripts -----------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "text/html; charset=utf-8": ("html", b"<script>alert(document.domain)</script>"),
    "image/svg+xml": ("bin", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    "application/xhtml+xml": ("bin", b'<html xmlns="http://www.w3.org/1999/xhtml"/>'),
}


@pytest.mark.parametrize("content_type", SCRIPTS)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}], ids=["whole", "part"])
def test_page_of_a_view_is_a_sandboxed_attachment(content_type, headers):
    suffix, content = SCRIPTS[content_type]
    lying = {"Content_Disposition": "inline", "Content_Security_Policy": "default-src *", "Cache_Control": "public"}
    response = get(filed(content, Content_Type=content_type, **lying), **headers)
    lines = sent(response)
    assert lines.items() >= SANDBOX.items()
    assert lines["Content-Disposition"].startswith('attachment; filename="asynctask_')
    assert lines["Content-Disposition"].endswith(f'_result.{suffix}"')
    assert lines["Content-Type"] == content_type
    assert content_of(response) == (content[:10] if headers else content)


# wsgi.file_wrapper ----------------------------------------------------------------------------------------------------


class Backwards(FileSystemStorage):
    """A storage whose files have reversed contents of the same size."""

    def _save(self, name: str, content: Any) -> str:
        return super()._save(name, ContentFile(content.read()[::-1]))

    def open(self, name: str, mode: str = "rb") -> Any:
        with super().open(name, mode) as file:
            return ContentFile(file.read()[::-1])


def handed(address: str, **headers: str) -> tuple[list[bytes], bytes]:
    """(the files given to ``wsgi.file_wrapper``, everything that was sent)"""
    files = []

    def wrapper(file: Any, block: int) -> Iterator[bytes]:
        files.append(file.name)
        yield from iter(partial(file.read, block), b"")
        file.close()

    asked = RequestFactory().get(address, headers={name.replace("_", "-"): text for name, text in headers.items()})
    content = WSGIHandler()({**asked.environ, "wsgi.file_wrapper": wrapper}, lambda *told: None)
    try:
        return files, b"".join(content)
    finally:
        getattr(content, "close", lambda: None)()


def test_whole_file_is_sent_by_wsgi_file_wrapper(settings, tmp_path):
    files, content = handed(filed())
    assert (files, content) == ([str(tmp_path / Body.objects.get().name)], WHOLE)


@pytest.mark.parametrize("headers", [{"Range": "bytes=2-3"}, {"Accept_Encoding": "gzip"}])
def test_range_and_compressed_file_are_not_sent_by_file_wrapper(headers):
    files, content = handed(filed(Content_Type="text/csv"), **headers)
    assert files == []
    assert content not in (b"", WHOLE)


def test_file_that_the_storage_transforms_is_not_sent_by_file_wrapper(settings, tmp_path):
    backend = {"BACKEND": f"{__name__}.Backwards", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": backend}
    address = filed()
    assert (tmp_path / Body.objects.get().name).read_bytes() == WHOLE[::-1]
    assert handed(address) == ([], WHOLE)


def test_sealed_file_is_not_sent_by_file_wrapper(settings):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
    task = stored(State.DONE, dialect="moysklad", status_code=200)
    draft = bodies.write([WHOLE], limit=10**9, seal=True)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    assert handed(link(task)) == ([], WHOLE)


def test_middleware_cannot_change_a_file(settings):
    settings.MIDDLEWARE = [f"{__name__}.shout", *settings.MIDDLEWARE]
    assert handed(filed()) == ([], WHOLE)


def shout(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.streaming_content = (chunk.upper() for chunk in response.streaming_content)
        return response

    return middleware
