"""Where bytes are kept: small ones in the database, larger ones in ``STORAGES["asyncexchange"]``. Nobody else asks it.

Storage names are reserved in a row before anything is written under them, and never used twice: whatever happens
midway, a row knows the file, and a file without a finished task is swept.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import logging
import uuid
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.db import models
from django.utils import timezone

from . import sealing
from .conf import conf
from .messages import value
from .models import Body

logger = logging.getLogger("django_asyncexchange")

ALIAS = "asyncexchange"
CHUNK = 64 * 1024
BATCH = 500
ABANDONED_AFTER = dt.timedelta(hours=1)


class TooLarge(Exception):
    """There are more bytes than allowed."""


class StorageFailed(Exception):
    """The storage did not take the bytes."""


@value
class Draft:
    """Bytes that are written but not yet part of a task; ``attach`` or ``discard`` them."""

    content: bytes | None = None
    name: str = ""
    reserved: Any = None
    """Primary key of the reserving row, where the bytes are in the storage."""
    size: int = 0
    sha256: str = ""
    is_sealed: bool = False


def storage() -> Storage | None:
    """The storage for large bodies; None where the project has none: then all bodies stay in the database."""
    return storages[ALIAS] if ALIAS in storages.backends else None


def write(chunks: Iterable[bytes], *, limit: int, seal: bool = False) -> Draft:
    """Keep the bytes of ``chunks``; where there is a storage, without holding many more than ``INLINE_BYTES`` of them.

    Raises TooLarge above ``limit`` bytes, StorageFailed where the storage refuses, and what ``chunks`` itself raises;
    then nothing is left behind. ``seal`` encrypts; size and digest are those of the plain bytes.
    """
    flow = _Flow(chunks, limit)
    target = storage()
    head = flow.take(conf.INLINE_BYTES if target else limit)
    if target is None or flow.exhausted:
        content = b"".join(sealing.sealed([head])) if seal else head
        return Draft(content=content, size=flow.size, sha256=flow.digest.hexdigest(), is_sealed=seal)
    row = Body.objects.create(kind=Body.RESPONSE, name=f"{timezone.now():%Y/%m/%d}/{uuid.uuid4()}")
    source = chain([head], flow)
    reader: Any = _Reader(sealing.sealed(source) if seal else source)
    try:
        name = target.save(row.name, File(reader, name=row.name))
    except BaseException as error:
        _erase(row)
        if flow.failure is not None:
            raise flow.failure from None
        if isinstance(error, Exception):
            raise StorageFailed(str(error)) from error
        raise
    if name != row.name:
        Body.objects.filter(pk=row.pk).update(name=name)
    digest = flow.digest.hexdigest()
    return Draft(name=name, reserved=row.pk, size=flow.size, sha256=digest, is_sealed=seal)


def attach(draft: Draft, *, task_id: uuid.UUID, kind: str, attempt: int = 0) -> None:
    """Make ``draft`` a body of the task. Call it in the transaction that makes the body true."""
    if not draft.size:
        return
    fields: dict[str, Any] = {"task_id": task_id, "kind": kind, "attempt": attempt, "is_sealed": draft.is_sealed}
    fields |= {"size": draft.size, "sha256": draft.sha256}
    if draft.reserved:
        Body.objects.filter(pk=draft.reserved).update(**fields)
    else:
        Body.objects.create(content=draft.content, **fields)


def discard(draft: Draft) -> None:
    """Remove a draft that will not be attached."""
    if draft.reserved:
        _erase(Body(pk=draft.reserved, name=draft.name))


def stream(body: Body | None) -> Iterator[bytes]:
    """The bytes of ``body`` in chunks; none for None."""
    if body is not None:
        yield from sealing.unsealed(_stored(body)) if body.is_sealed else _stored(body)


def _stored(body: Body) -> Iterator[bytes]:
    if not body.name:
        yield bytes(body.content or b"")
        return
    target = storage()
    if target is None:
        raise StorageFailed(f"no STORAGES[{ALIAS!r}] for {body.name}")
    with target.open(body.name, "rb") as file:
        yield from file.chunks(CHUNK)


def read(body: Body | None) -> bytes:
    """All bytes of ``body``."""
    return b"".join(stream(body))


def delete(rows: models.QuerySet[Body]) -> int:
    """Delete these bodies, the files first; returns how many. A file that resists keeps its row for the next time."""
    count = 0
    for body in rows.only("pk", "name")[:BATCH]:
        count += _erase(body)
    return count


def _erase(body: Body) -> bool:
    target = storage()
    if body.name and target is not None:
        try:
            target.delete(body.name)
        except Exception:
            logger.exception("a stored body could not be deleted; it is tried again later")
            return False
    Body.objects.filter(pk=body.pk).delete()
    return True


class _Flow:
    """Counts and digests what passes, and stops at the limit."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self.chunks = iter(chunks)
        self.limit = limit
        self.size = 0
        self.digest = hashlib.sha256()
        self.exhausted = False
        self.failure: BaseException | None = None

    def next(self) -> bytes:
        """The next chunk; ``b""`` at the end."""
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


class _Reader(io.RawIOBase):
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
