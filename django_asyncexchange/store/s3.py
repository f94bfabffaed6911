"""What an S3 bucket can do that Django's interface of storages has no words for (django-storages' ``S3Storage``).

It is recognised by its name: nothing of django-storages or boto3 is imported for a project that does not use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.files.storage import Storage

BACKEND = "storages.backends.s3.S3Storage"


def is_bucket(storage: Storage | type[Storage]) -> bool:
    """Whether this storage, or class of storages, keeps its files in an S3 bucket."""
    cls = storage if isinstance(storage, type) else type(storage)
    return any(f"{base.__module__}.{base.__qualname__}" == BACKEND for base in cls.__mro__)


def is_whole(file: Any) -> bool:
    """Whether the bytes of the opened ``file`` are stored as they are, so that a part of them can be asked for."""
    return not file.obj.content_encoding


def chunks(file: Any, start: int, size: int) -> Iterator[bytes]:
    """The bytes of the opened ``file`` from ``start`` on, ``size`` at a time, as they come from the network.

    Reading the file itself would fetch all of it, before the first byte is there, into memory.
    """
    given: Mapping[str, Any] = file._storage.get_object_parameters(file.name)
    keys = {name: value for name, value in given.items() if name.startswith("SSECustomer")}
    body = file.obj.get(**keys, **({"Range": f"bytes={start}-"} if start else {}))["Body"]
    try:
        yield from body.iter_chunks(size)
    finally:
        body.close()


def address(storage: Any, name: str, *, seconds: int, content_type: str, disposition: str) -> str:
    """An address under which everybody may fetch the file for so long; the bucket sends what is said here along."""
    said = {
        "ResponseContentType": content_type or "application/octet-stream",
        "ResponseContentDisposition": disposition or "attachment",
        "ResponseCacheControl": "no-store",
    }
    url: str = storage.url(name, parameters=said, expire=seconds)
    return url
