"""Content codings: which one a client can read, and what is said of an answer that has one (RFC 9110, 8.4 and 12.5.3).

Only gzip: every client of the protocols that we speak asks for it, and reads nothing else.
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
"""Headers that speak of the very bytes: an answer with one of them is sent as it was."""


def accepts_gzip(accepted: str) -> bool:
    """Whether ``Accept-Encoding`` allows gzip: by its name or by ``*``, and not with a weight of zero."""
    weights = accept.weights(accepted)
    named = [weights[name] for name in NAMES if name in weights]
    return max(named) > 0 if named else weights.get("*", 0) > 0


def gzip_only(accepted: str) -> str:
    """What a run may have of ``Accept-Encoding``: no coding but gzip, which can be taken off again."""
    kept = [coding for coding in accept.parse(accepted) if coding.name in NAMES | {"identity"}]
    texts = [coding.text for coding in kept]
    is_named = any(coding.name in NAMES for coding in kept)
    return ", ".join(texts if is_named or not accepts_gzip(accepted) else [*texts, GZIP])


def is_negotiated(headers: Headers) -> bool:
    """Whether an answer with these headers is in gzip because its client could read that."""
    named = {each.strip().lower() for name, text in headers if name.lower() == "vary" for each in text.split(",")}
    coding = (header(headers, "Content-Encoding") or "").strip().lower()
    is_bound = any(name.lower() in BOUND - {"content-encoding"} for name, _ in headers)
    return coding in NAMES and "accept-encoding" in named and not is_bound


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What ``chunks`` of gzip say."""
    take = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        yield take.decompress(chunk)
    yield take.flush()


async def adecompressed(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same of an asynchronous stream."""
    take = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        yield take.decompress(chunk)
    yield take.flush()


def is_compressible(headers: Headers) -> bool:
    """Whether an answer with these headers is text, and may be compressed on its way."""
    media = (header(headers, "Content-Type") or "").partition(";")[0].strip().lower()
    return COMPRESSIBLE.fullmatch(media) is not None and not any(name.lower() in BOUND for name, _ in headers)


def with_vary(headers: Headers, field: str = "Accept-Encoding") -> Headers:
    """``headers`` of an answer that depends on the request header ``field``."""
    told = [text for name, text in headers if name.lower() == "vary"]
    if not told:
        return (*headers, ("Vary", field))
    if {"*", field.lower()} & {each.strip().lower() for text in told for each in text.split(",")}:
        return headers
    first = next(index for index, (name, _) in enumerate(headers) if name.lower() == "vary")
    return (*headers[:first], (headers[first][0], f"{told[0]}, {field}"), *headers[first + 1 :])


def compressed(headers: Headers) -> Headers:
    """``headers`` of the same answer in gzip: of unknown length, with a weak ETag, and without parts.

    A part of a compressed answer fits no other part: its bytes differ from time to time.
    """
    kept = [(name, text) for name, text in headers if name.lower() not in ("content-length", "accept-ranges")]
    weakened = ((name, f"W/{text}" if name.lower() == "etag" and text.startswith('"') else text) for name, text in kept)
    return (*weakened, ("Accept-Ranges", "none"), ("Content-Encoding", GZIP))
