"""Which content encoding a client gets, and what its response says (RFC 9110, sections 8.4, 8.8 and 12.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.protocol.content_encoding import (
    accepts_gzip,
    compressed,
    gzip_only,
    is_compressible,
    with_vary,
)


@pytest.mark.parametrize(
    "accepted",
    [
        "gzip",
        "GZIP",
        "x-gzip",
        "gzip, deflate, br",
        "br;q=1.0, gzip;q=0.8",
        "gzip;q=0.001",
        "*",
        "identity;q=0, *",
        " gzip ",
    ]
    + ["gzip ; q=1", "deflate,gzip;q=1.000", "*;q=0, gzip"],
)
def test_gzip_is_accepted(accepted):
    assert accepts_gzip(accepted)


@pytest.mark.parametrize(
    "accepted",
    [
        "",
        "identity",
        "br",
        "deflate",
        "gzip;q=0",
        "gzip;q=0.000",
        "gzip; q=0",
        "*;q=0",
        "gzip;q=0, *",
        "gzipped",
        "bgzip",
    ]
    + ["gzip;q=", "gzip;q=-1", "gzip;q=nan", "gzip;q=1e9", "gzip;q=2", ",", ";"],
)
def test_gzip_is_not_accepted(accepted):
    assert not accepts_gzip(accepted)


@pytest.mark.parametrize(
    ("accepted", "kept"),
    [
        ("gzip, deflate, br, zstd", "gzip"),
        ("br;q=1.0, gzip;q=0.8, identity;q=0", "gzip;q=0.8, identity;q=0"),
        ("*", "gzip"),
        ("gzip;q=0, *", "gzip;q=0"),
        ("identity", "identity"),
        ("br", ""),
        ("", ""),
    ],
)
def test_accept_encoding_of_a_run_keeps_gzip_only(accepted, kept):
    assert gzip_only(accepted) == kept


@given(st.text(st.sampled_from("gzip*;q=01., \t"), max_size=30))
def test_fuzzed_accept_encoding_raises_nothing(accepted):
    assert accepts_gzip(accepted) in (True, False)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/csv; charset=utf-8", "Application/JSON", "application/xml", "application/problem+json"]
    + ["image/svg+xml", "application/x-ndjson", "text/html"],
)
def test_text_is_compressible(content_type):
    assert is_compressible((("Content-Type", content_type),))


@pytest.mark.parametrize(
    "content_type", ["", "application/zip", "image/png", "application/octet-stream", "application/pdf", "text", "json"]
)
def test_other_types_are_not_compressible(content_type):
    assert not is_compressible((("Content-Type", content_type),))


def test_response_without_a_type_is_not_compressible():
    assert not is_compressible(())


@pytest.mark.parametrize(
    "bound", ["Content-Encoding", "content-range", "Content-MD5", "Content-Digest", "Repr-Digest", "Digest"]
)
def test_encoded_partial_or_digested_response_is_not_compressible(bound):
    assert not is_compressible((("Content-Type", "text/plain"), (bound, "x")))


@pytest.mark.parametrize(
    ("told", "result"),
    [
        ((), (("Vary", "Accept-Encoding"),)),
        ((("vary", "Accept"), ("A", "b")), (("vary", "Accept, Accept-Encoding"), ("A", "b"))),
        ((("Vary", "Accept, accept-encoding"),), (("Vary", "Accept, accept-encoding"),)),
        ((("Vary", "*"),), (("Vary", "*"),)),
    ],
)
def test_vary_names_accept_encoding_once(told, result):
    assert with_vary(told) == result
    assert with_vary(result) == result


def test_compressed_response_has_a_weak_etag_no_length_and_no_ranges():
    given = (("ETag", '"1"'), ("Content-Length", "9"), ("Accept-Ranges", "bytes"), ("Content-Type", "text/plain"))
    assert compressed(given) == (
        ("ETag", 'W/"1"'),
        ("Content-Type", "text/plain"),
        ("Accept-Ranges", "none"),
        ("Content-Encoding", "gzip"),
    )


def test_weak_etag_is_unchanged():
    assert compressed((("etag", 'W/"1"'),))[0] == ("etag", 'W/"1"')
