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
from typing import Any

from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.db import models
from django.utils import timezone

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


def storage() -> Storage | None:
    """The storage for large bodies; None where the project has none: then all bodies stay in the database."""
    return storages[ALIAS] if ALIAS in storages.backends else None


def write(chunks: Iterable[bytes], *, limit: int) -> Draft:
    """Keep the bytes of ``chunks``; where there is a storage, without holding many more than ``INLINE_BYTES`` of them.

    Raises TooLarge above ``limit`` bytes, StorageFailed where the storage refuses, and what ``chunks`` itself raises;
    then nothing is left behind.
    """
    flow = _Flow(chunks, limit)
    target = storage()
    head = flow.take(conf.INLINE_BYTES if target else limit)
    if target is None or flow.exhausted:
        return Draft(content=head, size=flow.size, sha256=flow.digest.hexdigest())
    row = Body.objects.create(kind=Body.RESPONSE, name=f"{timezone.now():%Y/%m/%d}/{uuid.uuid4()}")
    try:
        reader: Any = _Reader(head, flow)
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
    return Draft(name=name, reserved=row.pk, size=flow.size, sha256=flow.digest.hexdigest())


def attach(draft: Draft, *, task_id: uuid.UUID, kind: str, attempt: int = 0) -> None:
    """Make ``draft`` a body of the task. Call it in the transaction that makes the body true."""
    if not draft.size:
        return
    fields = {"task_id": task_id, "kind": kind, "attempt": attempt, "size": draft.size, "sha256": draft.sha256}
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
    if body is None:
        return
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

    def take(self, size: int) -> bytes:
        """At least ``size + 1`` bytes, or all there are."""
        head = bytearray()
        while len(head) <= size and not self.exhausted:
            head += self.next()
        return bytes(head)


class _Reader(io.RawIOBase):
    """A readable file over bytes already taken and a flow still running."""

    def __init__(self, head: bytes, flow: _Flow) -> None:
        self.rest = head
        self.flow = flow

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self.flow.exhausted and (size < 0 or len(self.rest) < size):
            self.rest += self.flow.next()
        taken, self.rest = (self.rest, b"") if size < 0 else (self.rest[:size], self.rest[size:])
        return taken
