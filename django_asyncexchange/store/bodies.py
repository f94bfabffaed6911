"""Bodies: small ones in the database, larger ones in ``STORAGES["asyncexchange"]``, which no other module uses.

A file name is reserved in a committed row before the file is written, and never reused: after a crash the row leads to
the file, and the sweep deletes files without a finished task.
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
from .byte_stream import LimitedStream, Reader
from .byte_stream import TooLarge as TooLarge

logger = logging.getLogger("django_asyncexchange")

ALIAS = "asyncexchange"
CHUNK = 256 * 1024
"""Bytes read from a file at a time. Smaller chunks are slower, larger ones no faster."""
BATCH = 500
ABANDONED_AFTER = dt.timedelta(hours=1)


class StorageFailed(Exception):
    """The storage could not store the bytes, or does not return all of them."""


@value
class Draft:
    """Stored bytes that are not yet part of a task; ``attach`` or ``discard`` them."""

    content: bytes | None = None
    name: str = ""
    reserved: Any = None
    """Primary key of the reserved row, if the bytes are in the storage."""
    size: int = 0
    sha256: str = ""
    is_sealed: bool = False


def storage() -> Storage | None:
    """The storage for large bodies; None if the project has none, and all bodies are stored in the database."""
    return storages[ALIAS] if ALIAS in storages.backends else None


def write(chunks: Iterable[bytes], *, limit: int, seal: bool = False, retry_for: float = 0) -> Draft:
    """Store ``chunks``; with a storage, only about ``INLINE_BYTES`` of them are held in memory.

    Raises TooLarge above ``limit`` bytes, StorageFailed, and whatever ``chunks`` raises; nothing is left behind then.
    ``seal`` encrypts; size and digest are those of the plain bytes. An unavailable or busy database is retried for up
    to ``retry_for`` seconds.
    """
    limited = LimitedStream(chunks, limit)
    target = storage()
    head = limited.take(conf.INLINE_BYTES if target else limit)
    is_small = target is None or limited.exhausted
    source: Iterable[bytes] = chain([head], limited)
    if not is_small and _is_in_manual_transaction():
        source = _spooled(source)
    row = None if is_small else _reserve(retry_for)
    if target is None or row is None:
        content = b"".join(encryption.sealed([b"".join(source)]) if seal else source)
        return Draft(content=content, size=limited.size, sha256=limited.digest.hexdigest(), is_sealed=seal)
    reader: Any = Reader(encryption.sealed(source) if seal else source)
    try:
        name = target.save(row.name, File(reader, name=row.name))
        if name != row.name:
            row.name = name
            db_retry.retry_while_unavailable(partial(row.save, update_fields=["name"]), retry_for)
    except BaseException as error:
        discard(Draft(name=row.name, reserved=row.pk))
        if limited.failure is not None:
            raise limited.failure from None
        if isinstance(error, Exception):
            raise StorageFailed(str(error)) from error
        raise
    return Draft(name=name, reserved=row.pk, size=limited.size, sha256=limited.digest.hexdigest(), is_sealed=seal)


def _is_in_manual_transaction() -> bool:
    """Whether the view has left a manual transaction open that our own writes must not join.

    On SQLite no other connection could write meanwhile, and merely trying to begin a transaction on this one takes the
    write lock. On MySQL our commit would commit the view's transaction. PostgreSQL refuses, and another connection
    writes.
    """
    connection: Any = connections[router.db_for_write(Body)]
    return (
        connection.vendor in ("sqlite", "mysql") and not connection.in_atomic_block and db_sessions.is_open(connection)
    )


def _spooled(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Read ``chunks`` to the end first, into a temporary file. The view's transaction ends with them; one left open is
    rolled back.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        for chunk in chunks:
            file.write(chunk)
        if _is_in_manual_transaction():
            db_sessions.close(connections[router.db_for_write(Body)])
        file.seek(0)
        stack.pop_all()
        return _read(file)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        yield from iter(partial(file.read, CHUNK), b"")


def _reserve(retry_for: float) -> Body | None:
    """Commit a row with a new file name; None inside a transaction of the project.

    There a rollback would remove the row but not the file, so such bodies are stored in the database.
    """
    try:
        with transaction.atomic(using=router.db_for_write(Body), durable=True):
            return cast(Body, Body.objects.create(kind=Body.RESPONSE, name=f"{utc_now():%Y/%m/%d}/{uuid.uuid4()}"))
    except RuntimeError:
        return None
    except (*db_retry.UNAVAILABLE, *db_retry.BROKEN_SESSION):  # or the view streams inside a manual transaction
        if not retry_for:
            raise
        return db_retry.retry_in_thread(partial(_reserve, 0), retry_for)


def attach(draft: Draft, *, task_id: uuid.UUID, kind: str, attempt: int = 0) -> None:
    """Make ``draft`` a body of the task, in the transaction that stores or ends it.

    Raises StorageFailed if the draft was swept as abandoned.
    """
    if not draft.size:
        return
    values = columns(draft, task_id=task_id, kind=kind, attempt=attempt)
    if not draft.reserved:
        statements.INSERT_BODY.write(statements.new_body() | values)
    elif not Body.objects.filter(pk=draft.reserved).update(**values):
        raise StorageFailed(f"{draft.name} is gone")


def columns(draft: Draft, *, task_id: uuid.UUID, kind: str, attempt: int = 0) -> dict[str, Any]:
    """Column values of the ``Body`` row of ``draft``."""
    stored = {"content": draft.content, "is_sealed": draft.is_sealed, "size": draft.size, "sha256": draft.sha256}
    return {"task_id": task_id, "kind": kind, "attempt": attempt, **stored}


def request_body(task_id: uuid.UUID) -> Body | None:
    """The request body of the task, or None."""
    return statements.REQUEST_BODY.first(task=task_id)


def delete_request(task_id: uuid.UUID) -> None:
    """Delete the request body in the current transaction; one in a file, after the commit."""
    if not statements.DELETE_BODY.delete(task=task_id):
        rows = Body.objects.filter(task=task_id, kind=Body.REQUEST)
        transaction.on_commit(lambda: delete(rows), using=router.db_for_write(Body), robust=True)


def discard(draft: Draft) -> None:
    """Delete a draft that will not be attached. One that was attached by a commit whose confirmation was lost is kept.

    If the database is unavailable, the sweep finds the draft by its row.
    """
    if not draft.reserved:
        return
    attached = Body.objects.using(router.db_for_write(Body)).filter(pk=draft.reserved, task__isnull=False)
    try:
        if not attached.exists():
            _delete(Body(pk=draft.reserved, name=draft.name))
    except (DatabaseError, InterfaceError):
        logger.warning("unused body could not be deleted; the sweep will delete it", exc_info=True)


def stream(body: Body | None, start: int = 0) -> Iterator[bytes]:
    """Yield the bytes of ``body`` from ``start``; nothing for None. Raises StorageFailed if bytes are missing.

    Bytes before ``start`` are read only if they cannot be skipped: in encrypted bodies and files without ``seek``.
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
            has_ranges = s3.is_bucket(target) and s3.supports_ranges(file)
            yield from s3.chunks(file, start, CHUNK) if has_ranges else _chunks(file, start)
    except FileNotFoundError as error:
        raise StorageFailed(f"{body.name} does not exist: do web servers and workers share this storage?") from error
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


def open_file(body: Body) -> BufferedReader | None:
    """Open the file that has the bytes of ``body`` unchanged, for ``wsgi.file_wrapper``; None if there is none."""
    target = storage()
    if local_path(body) is None or target is None:
        return None
    with contextlib.suppress(Exception):  # ``stream`` reports the error
        file: Any = target.open(body.name, "rb").file
        if isinstance(file, BufferedReader) and os.fstat(file.fileno()).st_size == body.size:
            return file
        file.close()  # the storage transforms the bytes, or some are missing
    return None


def read(body: Body | None) -> bytes:
    """All bytes of ``body``."""
    return b"".join(stream(body))


def local_path(body: Body) -> str | None:
    """Path of the local file that has the bytes of ``body`` unchanged; None if there is none."""
    target = storage()
    if body.name and not body.is_sealed and target is not None:
        with contextlib.suppress(NotImplementedError):
            return target.path(body.name)
    return None


def presigned_url(body: Body, *, seconds: int, content_type: str, disposition: str) -> str | None:
    """A presigned URL of ``body``, valid for ``seconds``; None if the storage has none."""
    target = storage()
    if seconds < 1 or not body.name or body.is_sealed or target is None or not s3.is_bucket(target):
        return None
    return s3.presigned_url(target, body.name, seconds=seconds, content_type=content_type, disposition=disposition)


def delete(rows: models.QuerySet[Body]) -> int:
    """Delete these bodies, files first; return their number. If a file cannot be deleted, its row is kept for the next
    time.
    """
    return sum(_delete(body) for body in rows.only("pk", "name")[:BATCH])


def _delete(body: Body) -> bool:
    target = storage()
    if body.name and target is not None:
        try:
            target.delete(body.name)
        except Exception:
            logger.exception("stored body %s could not be deleted; it is retried", body.name)
            return False
    Body.objects.filter(pk=body.pk).delete()
    return True
