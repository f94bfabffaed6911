"""Bytes on their way into a storage: counted, digested, limited, and readable like a file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator


class TooLarge(Exception):
    """There are more bytes than allowed."""


class Flow:
    """Counts and digests what passes, and stops at the limit."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self.chunks = iter(chunks)
        self.limit = limit
        self.size = 0
        self.digest = hashlib.sha256()
        self.exhausted = False
        self.failure: BaseException | None = None
        """What the source itself raised: a storage may hide it behind an error of its own."""

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
        """At least ``size + 1`` bytes, or all there are."""
        head = bytearray()
        while len(head) <= size and not self.exhausted:
            head += self.next()
        return bytes(head)


class Reader(io.RawIOBase):
    """A readable file over chunks of any size; what is not asked for yet is not copied."""

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
