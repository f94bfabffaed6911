"""Fingerprints of calls for ``Idempotency-Key``: digests, from which a call cannot be recovered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from django.utils.http import parse_header_parameters

from ..protocol.values import Request, header

MULTIPART = "multipart/"


class Content:
    """Iterates the chunks of a body and digests them. A multipart body is digested part by part, because clients choose
    another boundary each time (RFC 2046 section 5.1.1).
    """

    def __init__(self, chunks: Iterable[bytes], call: Request) -> None:
        self._chunks = chunks
        media, parameters = parse_header_parameters(header(call.headers, "Content-Type") or "")
        boundary = parameters.pop("boundary", "") if media.startswith(MULTIPART) else ""
        self._delimiter = b"--" + boundary.encode("utf-8", "replace") if boundary else b""
        self._parts = hashlib.sha256()
        self.media_type = "\0".join([media, *(f"{name}={text}" for name, text in sorted(parameters.items()))])
        """With its parameters, but without the boundary."""

    def __iter__(self) -> Iterator[bytes]:
        return self._digested() if self._delimiter else iter(self._chunks)

    def _digested(self) -> Iterator[bytes]:
        part, rest = hashlib.sha256(), b""
        for chunk in self._chunks:
            yield chunk
            *ended, rest = (rest + chunk).split(self._delimiter)
            for end in ended:
                part.update(end)
                self._parts.update(part.digest())
                part = hashlib.sha256()
            ready = max(0, len(rest) - len(self._delimiter) + 1)  # the rest may be the beginning of a boundary
            part.update(rest[:ready])
            rest = rest[ready:]
        part.update(rest)
        self._parts.update(part.digest())

    def digest(self, plain: str) -> str:
        """The digest of the body, once iterated. ``plain``: the digest of its bytes."""
        return self._parts.hexdigest() if self._delimiter else plain


def of(call: Request, content: Content, plain: str, *more: str) -> str:
    """The fingerprint of a call with the body ``content``; ``plain``: the digest of its bytes."""
    return digest(*more, call.method, call.path, call.query, content.media_type, content.digest(plain))


def digest(*parts: str) -> str:
    """One digest of several strings."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
