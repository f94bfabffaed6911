"""Whether two calls are the same one, for ``Idempotency-Key``: by digests, which tell nothing of a call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from django.utils.http import parse_header_parameters

from ..protocol.values import Request, header

MULTIPART = "multipart/"


class Content:
    """A body on its way into a draft. A form of several parts is digested part by part: its boundary is a matter of
    chance, and another one each time that a client sends the same form (RFC 2046 section 5.1.1).
    """

    def __init__(self, chunks: Iterable[bytes], call: Request) -> None:
        self._chunks = chunks
        media, parameters = parse_header_parameters(header(call.headers, "Content-Type") or "")
        boundary = parameters.pop("boundary", "") if media.startswith(MULTIPART) else ""
        self._between = b"--" + boundary.encode("utf-8", "replace") if boundary else b""
        self._parts = hashlib.sha256()
        self.media_type = "\0".join([media, *(f"{name}={text}" for name, text in sorted(parameters.items()))])
        """With its parameters, but for the boundary."""

    def __iter__(self) -> Iterator[bytes]:
        return self._watched() if self._between else iter(self._chunks)

    def _watched(self) -> Iterator[bytes]:
        part, rest = hashlib.sha256(), b""
        for chunk in self._chunks:
            yield chunk
            *ended, rest = (rest + chunk).split(self._between)
            for end in ended:
                part.update(end)
                self._parts.update(part.digest())
                part = hashlib.sha256()
            ready = max(0, len(rest) - len(self._between) + 1)  # what is left may be the beginning of a boundary
            part.update(rest[:ready])
            rest = rest[ready:]
        part.update(rest)
        self._parts.update(part.digest())

    def digest(self, plain: str) -> str:
        """What tells it from other bodies, once it has passed; ``plain`` is the digest of its bytes."""
        return self._parts.hexdigest() if self._between else plain


def of(call: Request, content: Content, plain: str, *more: str) -> str:
    """The fingerprint of a call whose body was ``content``, with ``plain`` as the digest of its bytes."""
    return digest(*more, call.method, call.path, call.query, content.media_type, content.digest(plain))


def digest(*parts: str) -> str:
    """One digest of several texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
