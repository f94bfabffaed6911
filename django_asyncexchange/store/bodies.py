"""Where bytes are kept: small ones in the database, larger ones in ``STORAGES["asyncexchange"]``. Nobody else asks it.

Storage names are reserved in a row before anything is written under them, and never used twice: whatever happens
midway, a row knows the file, and a file without a finished task is swept.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from functools import partial
from io import BufferedReader
from itertools import chain
from typing import IO, Any, cast

from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.db import DatabaseError, InterfaceError, connections, models, router, transaction

from .. import encryption
from ..conf import conf
from ..models import Body
from ..models.timestamps import utc_now
from ..protocol.byte_ranges import cut
from ..protocol.values import value
from . import db_retry, db_sessions, s3, statements
from .byte_stream import Flow, Reader
from .byte_stream import TooLarge as TooLarge

logger = logging.getLogger("django_asyncexchange")

ALIAS = "asyncexchange"
CHUNK = 256 * 1024
"""Bytes that are read from a file at a time. Smaller ones take a server longer, larger ones bring no more."""
BATCH = 500
ABANDONED_AFTER = dt.timedelta(hours=1)


class StorageFailed(Exception):
    """The storage did not take the bytes, or does not give them all back."""


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


def write(chunks: Iterable[bytes], *, limit: int, seal: bool = False, patience: float = 0) -> Draft:
    """Keep the bytes of ``chunks``; where there is a storage, without holding many more than ``INLINE_BYTES`` of them.

    Raises TooLarge above ``limit`` bytes, StorageFailed where the storage refuses, and what ``chunks`` itself raises;
    then nothing is left behind. ``seal`` encrypts; size and digest are those of the plain bytes. A database that is
    away or busy is waited for up to ``patience`` seconds.
    """
    flow = Flow(chunks, limit)
    target = storage()
    head = flow.take(conf.INLINE_BYTES if target else limit)
    is_small = target is None or flow.exhausted
    source: Iterable[bytes] = chain([head], flow)
    if not is_small and _is_held():
        source = _read_before(source)
    row = None if is_small else _reserved(patience)
    if target is None or row is None:
        content = b"".join(encryption.sealed([b"".join(source)]) if seal else source)
        return Draft(content=content, size=flow.size, sha256=flow.digest.hexdigest(), is_sealed=seal)
    reader: Any = Reader(encryption.sealed(source) if seal else source)
    try:
        name = target.save(row.name, File(reader, name=row.name))
        if name != row.name:
            row.name = name
            db_retry.outlast(partial(row.save, update_fields=["name"]), patience)
    except BaseException as error:
        discard(Draft(name=row.name, reserved=row.pk))
        if flow.failure is not None:
            raise flow.failure from None
        if isinstance(error, Exception):
            raise StorageFailed(str(error)) from error
        raise
    return Draft(name=name, reserved=row.pk, size=flow.size, sha256=flow.digest.hexdigest(), is_sealed=seal)


def _is_held() -> bool:
    """Whether a view has begun a transaction by hand and not ended it, where that must not be written into.

    On SQLite nobody else could write meanwhile, and who merely tries to begin another one on that connection takes the
    lock for it. On MySQL our own commit would be the view's. PostgreSQL refuses, and another connection writes.
    """
    made: Any = connections[router.db_for_write(Body)]
    return made.vendor in ("sqlite", "mysql") and not made.in_atomic_block and db_sessions.is_open(made)


def _read_before(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks``, read to their end, and with it to that of the view's transaction; one left open is rolled back."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        for chunk in chunks:
            file.write(chunk)
        if _is_held():
            db_sessions.close(connections[router.db_for_write(Body)])
        file.seek(0)
        stack.pop_all()
        return _read(file)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        yield from iter(partial(file.read, CHUNK), b"")


def _reserved(patience: float) -> Body | None:
    """A committed row with a new name; None inside a transaction of the project's own.

    There a rollback would take the row, but not the file: such bytes go to the database, and share the row's fate.
    """
    try:
        with transaction.atomic(using=router.db_for_write(Body), durable=True):
            return cast(Body, Body.objects.create(kind=Body.RESPONSE, name=f"{utc_now():%Y/%m/%d}/{uuid.uuid4()}"))
    except RuntimeError:
        return None
    except (*db_retry.AWAY, *db_retry.SPOILT):  # or a view streams within a transaction that it has begun by hand
        if not patience:
            raise
        return db_retry.outlast_beside(partial(_reserved, 0), patience)


def attach(draft: Draft, *, task_id: uuid.UUID, kind: str, attempt: int = 0) -> None:
    """Make ``draft`` a body of the task. Call it in the transaction that makes the body true.

    Raises StorageFailed where the draft was swept away as abandoned.
    """
    if not draft.size:
        return
    said = columns(draft, task_id=task_id, kind=kind, attempt=attempt)
    if not draft.reserved:
        statements.INSERT_BODY.insert(Body(**said))
    elif not Body.objects.filter(pk=draft.reserved).update(**said):
        raise StorageFailed(f"{draft.name} is gone")


def columns(draft: Draft, *, task_id: uuid.UUID, kind: str, attempt: int = 0) -> dict[str, Any]:
    """What a row says that makes ``draft`` a body of the task."""
    known = {"content": draft.content, "is_sealed": draft.is_sealed, "size": draft.size, "sha256": draft.sha256}
    return {"task_id": task_id, "kind": kind, "attempt": attempt, **known}


def request_of(task_id: uuid.UUID) -> Body | None:
    """The body of the captured call of the task; None where it has none, as most."""
    return statements.REQUEST_BODY.first(task=task_id)


def drop_request(task_id: uuid.UUID) -> None:
    """Delete the body of the captured call with the current transaction; one in a file, once that is committed."""
    if not statements.DELETE_BODY.delete(task=task_id):
        rows = Body.objects.filter(task=task_id, kind=Body.REQUEST)
        transaction.on_commit(lambda: delete(rows), using=router.db_for_write(Body), robust=True)


def discard(draft: Draft) -> None:
    """Remove a draft that will not be attached. One that is, by a commit whose receipt was lost, stays.

    While the database is away it is left to the sweep, which knows it by its row.
    """
    if not draft.reserved:
        return
    attached = Body.objects.using(router.db_for_write(Body)).filter(pk=draft.reserved, task__isnull=False)
    try:
        if not attached.exists():
            _erase(Body(pk=draft.reserved, name=draft.name))
    except (DatabaseError, InterfaceError):
        logger.warning("a body that is not needed is left to the sweep", exc_info=True)


def stream(body: Body | None, start: int = 0) -> Iterator[bytes]:
    """The bytes of ``body`` from ``start`` on, in chunks; none for None. Raises StorageFailed where some are missing.

    What comes before ``start`` is read only where it cannot be skipped: in sealed bodies and in files without a seek.
    """
    if body is None:
        return
    missing = body.size - start
    for chunk in _unsealed(body, start) if body.is_sealed else _stored(body, start):
        missing -= len(chunk)
        yield chunk
    if missing > 0:
        raise StorageFailed(f"{missing} of {body.size} bytes are missing at the end of {body.name or body.pk}")


def _unsealed(body: Body, start: int) -> Iterator[bytes]:
    plain = encryption.unsealed(_stored(body, 0))
    return cut(plain, range(start, body.size)) if start else plain


def _stored(body: Body, start: int) -> Iterator[bytes]:
    if not body.name:
        yield bytes(body.content or b"")[start:]
        return
    target = storage()
    if target is None:
        raise StorageFailed(f"no STORAGES[{ALIAS!r}] for {body.name}")
    try:
        with target.open(body.name, "rb") as file:
            is_fetched_whole = s3.is_bucket(target) and s3.is_whole(file)
            yield from s3.chunks(file, start, CHUNK) if is_fetched_whole else _chunks(file, start)
    except FileNotFoundError as error:
        raise StorageFailed(f"{body.name} is not there: do web servers and workers share this storage?") from error
    except Exception as error:  # each storage has errors of its own
        raise StorageFailed(f"{body.name} cannot be read: {error}") from error


def _chunks(file: Any, start: int) -> Iterator[bytes]:
    if not start:
        yield from file.chunks(CHUNK)
    elif file.seekable():
        file.seek(start)
        yield from iter(partial(file.read, CHUNK), b"")
    else:
        yield from cut(file.chunks(CHUNK), range(start, sys.maxsize))


def opened(body: Body) -> BufferedReader | None:
    """The open file that has all bytes of ``body`` as they are, for a server to send; None where there is none."""
    target = storage()
    if path(body) is None or target is None:
        return None
    with contextlib.suppress(Exception):  # whoever reads it chunk by chunk tells what is wrong
        file: Any = target.open(body.name, "rb").file
        if isinstance(file, BufferedReader) and os.fstat(file.fileno()).st_size == body.size:
            return file
        file.close()  # its storage does something to the bytes when they are read, or some are missing
    return None


def read(body: Body | None) -> bytes:
    """All bytes of ``body``."""
    return b"".join(stream(body))


def path(body: Body) -> str | None:
    """Where in this machine's files the bytes of ``body`` lie as they are; None where they do not."""
    target = storage()
    if body.name and not body.is_sealed and target is not None:
        with contextlib.suppress(NotImplementedError):
            return target.path(body.name)
    return None


def address(body: Body, *, seconds: int, content_type: str, disposition: str) -> str | None:
    """Where everybody may fetch the bytes of ``body`` for so long without asking us; None where nobody can."""
    target = storage()
    if seconds < 1 or not body.name or body.is_sealed or target is None or not s3.is_bucket(target):
        return None
    return s3.address(target, body.name, seconds=seconds, content_type=content_type, disposition=disposition)


def delete(rows: models.QuerySet[Body]) -> int:
    """Delete these bodies, the files first; returns how many. A file that resists keeps its row for the next time."""
    return sum(_erase(body) for body in rows.only("pk", "name")[:BATCH])


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
