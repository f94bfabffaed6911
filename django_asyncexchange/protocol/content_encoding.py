"""Content codings: whether a client accepts gzip, and the headers of a compressed response (RFC 9110, 8.4 and 12.5.3).

Only gzip is supported: clients of all dialects accept it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from . import accept
from .values import Headers, header

GZIP = "gzip"
NAMES = frozenset({GZIP, "x-gzip"})
COMPRESSIBLE = re.compile(
    r"text/.+ | application/(?:json|xml|csv|javascript|x-ndjson|ndjson|jsonl) | .+\+(?:json|xml)", re.VERBOSE
)
BOUND = frozenset({"content-encoding", "content-range", "content-md5", "content-digest", "repr-digest", "digest"})
"""Headers that describe the exact bytes: a response with one of them is not compressed."""


def accepts_gzip(accepted: str) -> bool:
    """Whether ``Accept-Encoding`` allows gzip: by its name or by ``*``, and not with a weight of zero."""
    weights = accept.weights(accepted)
    named = [weights[name] for name in NAMES if name in weights]
    return max(named) > 0 if named else weights.get("*", 0) > 0


def gzip_only(accepted: str) -> str:
    """``Accept-Encoding`` for a run: no coding but gzip, which can be decompressed for storage."""
    kept = [coding for coding in accept.parse(accepted) if coding.name in NAMES | {"identity"}]
    texts = [coding.text for coding in kept]
    is_named = any(coding.name in NAMES for coding in kept)
    return ", ".join(texts if is_named or not accepts_gzip(accepted) else [*texts, GZIP])


def is_negotiated(headers: Headers) -> bool:
    """Whether a response with these headers is in gzip because its client accepts gzip."""
    named = {each.strip().lower() for name, text in headers if name.lower() == "vary" for each in text.split(",")}
    coding = (header(headers, "Content-Encoding") or "").strip().lower()
    is_bound = any(name.lower() in BOUND - {"content-encoding"} for name, _ in headers)
    return coding in NAMES and "accept-encoding" in named and not is_bound


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks`` of gzip, decompressed."""
    decompressor = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        yield decompressor.decompress(chunk)
    yield decompressor.flush()


async def adecompressed(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """``chunks`` of an asynchronous stream of gzip, decompressed."""
    decompressor = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        yield decompressor.decompress(chunk)
    yield decompressor.flush()


def is_compressible(headers: Headers) -> bool:
    """Whether a response with these headers is text and may be compressed."""
    media = (header(headers, "Content-Type") or "").partition(";")[0].strip().lower()
    return COMPRESSIBLE.fullmatch(media) is not None and not any(name.lower() in BOUND for name, _ in headers)


def with_vary(headers: Headers, field: str = "Accept-Encoding") -> Headers:
    """``headers`` with ``field`` in ``Vary``."""
    stated = [text for name, text in headers if name.lower() == "vary"]
    if not stated:
        return (*headers, ("Vary", field))
    if {"*", field.lower()} & {each.strip().lower() for text in stated for each in text.split(",")}:
        return headers
    first = next(index for index, (name, _) in enumerate(headers) if name.lower() == "vary")
    return (*headers[:first], (headers[first][0], f"{stated[0]}, {field}"), *headers[first + 1 :])


def compressed(headers: Headers) -> Headers:
    """``headers`` of the same response in gzip: without ``Content-Length``, with a weak ETag and without ranges.

    Its bytes differ each time (random padding), so ranges of several responses do not fit together.
    """
    kept = [(name, text) for name, text in headers if name.lower() not in ("content-length", "accept-ranges")]
    weakened = ((name, f"W/{text}" if name.lower() == "etag" and text.startswith('"') else text) for name, text in kept)
    return (*weakened, ("Accept-Ranges", "none"), ("Content-Encoding", GZIP))
