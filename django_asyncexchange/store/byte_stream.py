"""Streams into a storage: counting, hashing, a size limit, and a file-like reader."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator


class TooLarge(Exception):
    """The stream is longer than its limit."""


class LimitedStream:
    """An iterable of chunks that counts and hashes them, and raises TooLarge above ``limit`` bytes."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self.chunks = iter(chunks)
        self.limit = limit
        self.size = 0
        self.digest = hashlib.sha256()
        self.exhausted = False
        self.failure: BaseException | None = None
        """What the source raised: a storage may raise an error of its own instead."""

    def next(self) -> bytes:
        """The next chunk; ``b""`` at the end. Raises TooLarge above the limit, and what the source raises."""
        try:
            chunk = next(self.chunks, None)
            self.exhausted = chunk is None
            self.size += len(chunk or b"")
            if self.size > self.limit:
                raise TooLarge(f"more than {self.limit} bytes")
        except BaseException as error:
            self.failure = error
            raise
        self.digest.update(chunk or b"")
        return chunk or b""

    def __iter__(self) -> Iterator[bytes]:
        while not self.exhausted:
            yield self.next()

    def take(self, size: int) -> bytes:
        """Read more than ``size`` bytes, or all there are."""
        head = bytearray()
        while len(head) <= size and not self.exhausted:
            head += self.next()
        return bytes(head)


class Reader(io.RawIOBase):
    """A raw file over an iterator of chunks; reads no more than one chunk ahead."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = iter(chunks)
        self.rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = []
        while size and (self.rest or self._more()):
            part = self.rest if size < 0 else self.rest[:size]
            self.rest = self.rest[len(part) :]
            size -= len(part) if size > 0 else 0
            parts.append(part)
        return b"".join(parts)

    def _more(self) -> bool:
        chunk = next((chunk for chunk in self.chunks if chunk), None)
        self.rest = memoryview(chunk or b"")
        return chunk is not None
