"""Range requests: the requested part of a response, and how it is cut from a stream (RFC 9110 section 14)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

SINGLE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,99})-([0-9]{0,99})[ \t]*", re.IGNORECASE)


def requested(header: str, size: int) -> range | None:
    """The bytes that a ``Range`` header requests of a response of ``size`` bytes; empty where it is not satisfiable.

    None means the whole response: the header is absent, malformed, in another unit, or requests several ranges.
    """
    found = SINGLE.fullmatch(header.strip())
    if found is None or not any(found.groups()):
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is None:
        return range(max(size - (last or 0), 0), size)
    if last is None:
        return range(min(first, size), size)
    return range(min(first, size), min(last + 1, size)) if first <= last else None


def if_range_holds(condition: str, etag: str | None) -> bool:
    """Whether ``If-Range`` allows a part to be sent, which only an equal strong ETag does."""
    return not condition or (condition.startswith('"') and condition == etag)


def cut(chunks: Iterable[bytes], wanted: range) -> Iterator[bytes]:
    """The ``wanted`` bytes of ``chunks``, which are not consumed beyond them."""
    position = 0
    for chunk in chunks:
        part = chunk[max(wanted.start - position, 0) : wanted.stop - position]
        position += len(chunk)
        if part:
            yield part
        if position >= wanted.stop:
            return
