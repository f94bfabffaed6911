"""S3 features beyond Django's Storage API: range reads and presigned URLs (django-storages' ``S3Storage``).

The class is recognised by its dotted path, so that projects without it import neither django-storages nor boto3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.files.storage import Storage

BACKEND = "storages.backends.s3.S3Storage"


def is_bucket(storage: Storage | type[Storage]) -> bool:
    """Whether this storage, or storage class, is an S3 bucket."""
    cls = storage if isinstance(storage, type) else type(storage)
    return any(f"{base.__module__}.{base.__qualname__}" == BACKEND for base in cls.__mro__)


def supports_ranges(file: Any) -> bool:
    """Whether the object of the open ``file`` is stored without Content-Encoding, so that ranges can be read."""
    return not file.obj.content_encoding


def chunks(file: Any, start: int, size: int) -> Iterator[bytes]:
    """Yield the bytes of the open ``file`` from ``start``, ``size`` at a time, straight from the network.

    Reading the file object would first download all of it into memory.
    """
    parameters: Mapping[str, Any] = file._storage.get_object_parameters(file.name)
    keys = {name: value for name, value in parameters.items() if name.startswith("SSECustomer")}
    body = file.obj.get(**keys, **({"Range": f"bytes={start}-"} if start else {}))["Body"]
    try:
        yield from body.iter_chunks(size)
    finally:
        body.close()


def presigned_url(storage: Any, name: str, *, seconds: int, content_type: str, disposition: str) -> str:
    """A presigned URL, valid for ``seconds``; the bucket sends the given headers."""
    response_headers = {
        "ResponseContentType": content_type or "application/octet-stream",
        "ResponseContentDisposition": disposition or "attachment",
        "ResponseCacheControl": "no-store",
    }
    url: str = storage.url(name, parameters=response_headers, expire=seconds)
    return url
