"""System checks of the storage of bodies, SENDFILE and PRESIGNED."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.files.storage import FileSystemStorage, Storage
from django.utils.module_loading import import_string

from ..conf import conf
from ..store import s3
from .registry import CheckId, Finding, registered

STORAGE = "asyncexchange"


def _given() -> tuple[type[Storage] | None, dict[str, Any]]:
    """(class, options) of the storage for bodies; (None, {}) if there is none, or it cannot be created."""
    given = conf.project("STORAGES", {}).get(STORAGE)
    if given is None or next(_storage_mistakes(), None):
        return None, {}
    return import_string(given["BACKEND"]), given.get("OPTIONS", {})


def _storage_mistakes() -> Iterator[tuple[str, str]]:
    given = conf.project("STORAGES", {}).get(STORAGE)
    if given is None:
        return
    try:
        backend = import_string(given["BACKEND"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # repeated when the storage is used
            backend(**given.get("OPTIONS", {}))
    except KeyError:
        yield "it has no BACKEND.", "Add the dotted path of a storage class as 'BACKEND'."
    except ImportError as error:
        yield f"its BACKEND cannot be imported: {error}", "Name a storage class that is there, and install its package."
    except Exception as error:
        yield f"it cannot be created: {type(error).__name__}: {error}", "Give it the OPTIONS that its class takes."


@registered(checks.Tags.files, deploy=True)
def check_storage_is_there() -> Iterator[Finding]:
    if conf.project("STORAGES", {}).get(STORAGE) is None:
        yield (
            CheckId.STORAGE_MISSING,
            f"STORAGES has no {STORAGE!r}: bodies of every size are kept in the database.",
            f"Add a storage {STORAGE!r} that is not served publicly, for bodies above INLINE_BYTES.",
        )


@registered(checks.Tags.files)
def check_storage() -> Iterator[Finding]:
    if wrong := next(_storage_mistakes(), None):
        yield CheckId.STORAGE_WRONG, f"STORAGES[{STORAGE!r}] cannot be used: {wrong[0]}", wrong[1]
    backend, options = _given()
    if backend is None:
        return
    location = options.get("location")
    if issubclass(backend, FileSystemStorage) and (location is None or location == conf.project("MEDIA_ROOT")):
        yield (
            CheckId.STORAGE_PUBLIC,
            f"STORAGES[{STORAGE!r}] writes into MEDIA_ROOT, which is served to everybody.",
            "Give it OPTIONS['location'], a directory of its own.",
        )


@registered(checks.Tags.files, deploy=True)
def check_threads() -> Iterator[Finding]:
    backend, options = _given()
    transfer = _of_bucket(options, "transfer_config", None)
    if (
        backend is not None
        and s3.is_bucket(backend)
        and getattr(transfer, "use_threads", _of_bucket(options, "use_threads", True))
    ):
        yield (
            CheckId.STORAGE_THREADS,
            f"STORAGES[{STORAGE!r}] uploads with ten threads, each of which holds a part in memory.",
            "Set OPTIONS['transfer_config'] to boto3's TransferConfig(use_threads=False): a worker then holds a few.",
        )


@registered(checks.Tags.files)
def check_sendfile() -> Iterator[Finding]:
    if conf.SENDFILE and (wrong := next(_sendfile_mistakes(), None)):
        yield CheckId.SENDFILE_WRONG, f"ASYNC_EXCHANGE['SENDFILE'] has no effect: {wrong[0]}", wrong[1]


def _sendfile_mistakes() -> Iterator[tuple[str, str]]:
    backend, options = _given()
    root = conf.project("SENDFILE_ROOT")
    if find_spec("django_sendfile") is None:
        yield "django-sendfile2 is not installed.", "pip install django-asyncexchange[sendfile]"
    if not conf.has_sendfile_server:
        yield (
            f"SENDFILE_BACKEND is {conf.project('SENDFILE_BACKEND')!r}, which leaves the work to Django.",
            "Name the backend of your web server, for example 'django_sendfile.backends.nginx'.",
        )
    if backend is None or not issubclass(backend, FileSystemStorage):
        yield (
            f"STORAGES[{STORAGE!r}] does not keep its files in this machine's file system.",
            "Use FileSystemStorage, or remove SENDFILE.",
        )
    elif root is None or not Path(options.get("location") or "").is_relative_to(root):
        yield (
            f"SENDFILE_ROOT is {root!r}, and the location of STORAGES[{STORAGE!r}] is not below it.",
            "Set SENDFILE_ROOT to that location.",
        )


@registered(checks.Tags.files)
def check_presigned() -> Iterator[Finding]:
    if conf.PRESIGNED and (wrong := next(_presigned_mistakes(), None)):
        yield CheckId.PRESIGNED_WRONG, f"ASYNC_EXCHANGE['PRESIGNED'] cannot work: {wrong[0]}", wrong[1]


def _presigned_mistakes() -> Iterator[tuple[str, str]]:
    backend, options = _given()
    if backend is None or not s3.is_bucket(backend):
        yield (
            f"STORAGES[{STORAGE!r}] is no S3 bucket.",
            f"Use {s3.BACKEND}, or remove PRESIGNED.",
        )
    elif not _of_bucket(options, "querystring_auth", True):
        yield "the addresses of its storage are not signed.", "Set OPTIONS['querystring_auth'] to True."
    elif _of_bucket(options, "custom_domain", None):
        yield (
            "with a custom domain, responses have neither the media type nor the file name.",
            "Remove OPTIONS['custom_domain'].",
        )


def _of_bucket(options: dict[str, Any], name: str, default: Any) -> Any:
    """An option of django-storages, or the setting for it."""
    prefix = "AWS_" if name == "querystring_auth" else "AWS_S3_"
    return options.get(name, conf.project(f"{prefix}{name.upper()}", default))
