"""Where bodies are stored."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.db import connections, transaction
from django.test import override_settings

from django_asyncexchange.models import Body
from django_asyncexchange.store import bodies

from ..services import exchange, stored

pytestmark = pytest.mark.django_db

LIMIT = 10**6
INLINE = 64 * 1024


@pytest.fixture
def place(tmp_path):
    """The directory of ``STORAGES["asyncexchange"]``."""
    yield from storages_in(tmp_path, "django.core.files.storage.FileSystemStorage")


@pytest.fixture
def renaming(tmp_path):
    yield from storages_in(tmp_path, f"{__name__}.Renaming")


@pytest.fixture
def full(tmp_path):
    yield from storages_in(tmp_path, f"{__name__}.Full")


@pytest.fixture
def stubborn(tmp_path):
    yield from storages_in(tmp_path, f"{__name__}.Stubborn")


@pytest.fixture
def nowhere():
    """A project without a storage for bodies."""
    with override_settings(STORAGES={"default": settings.STORAGES["default"]}):
        yield


def storages_in(location, backend):
    ours = {"BACKEND": backend, "OPTIONS": {"location": location}}
    with override_settings(STORAGES={**settings.STORAGES, "asyncexchange": ours}):
        yield location


class Renaming(FileSystemStorage):
    """A storage that changes names."""

    def get_available_name(self, name, max_length=None):
        return f"{name}-renamed"


class Full(FileSystemStorage):
    """A storage that is full after a part."""

    def _save(self, name, content):
        super()._save(name, content)
        raise OSError(28, "No space left on device")


class Stubborn(FileSystemStorage):
    """A storage that cannot delete."""

    def delete(self, name):
        raise PermissionError(name)


def files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


def pieces(size: int, piece: int = 1000):
    content = bytes(index % 251 for index in range(size))
    return [content[start : start + piece] for start in range(0, size, piece)]


def keep(chunks, limit=LIMIT):
    """Write ``chunks`` as the response body of a new task."""
    task = stored()
    draft = bodies.write(chunks, limit=limit)
    bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE)
    return task.bodies.first()


@pytest.mark.parametrize("size", [1, 1000, INLINE, INLINE + 1, 300_000])
def test_written_body_is_read_back(place, size):
    assert bodies.read(keep(pieces(size))) == b"".join(pieces(size))


def test_small_body_is_stored_in_the_database(place):
    body = keep(pieces(INLINE))
    assert (bytes(body.content), body.name, files(place)) == (b"".join(pieces(INLINE)), "", [])


def test_large_body_is_stored_in_the_storage(place):
    body = keep(pieces(INLINE + 1))
    [file] = files(place)
    assert (body.content, place / body.name) == (None, file)
    assert file.read_bytes() == b"".join(pieces(INLINE + 1))


def test_inline_bytes_is_the_limit_between_database_and_storage(place):
    with override_settings(ASYNC_EXCHANGE=exchange(INLINE_BYTES=10)):
        assert keep([b"x" * 11]).name
        assert not keep([b"x" * 10]).name


def test_one_large_chunk_is_stored_in_the_storage(place):
    assert keep([b"x" * 200_000]).size == len(files(place)[0].read_bytes()) == 200_000


@pytest.mark.usefixtures("nowhere")
def test_large_body_is_stored_in_the_database_without_a_storage():
    body = keep(pieces(300_000))
    assert (len(body.content), body.name) == (300_000, "")


@pytest.mark.parametrize("size", [10, 300_000])
def test_size_and_digest_are_stored(place, size):
    body = keep(pieces(size))
    assert (body.size, body.sha256) == (size, hashlib.sha256(b"".join(pieces(size))).hexdigest())


def test_empty_body_has_no_row(place):
    assert keep([]) is None
    assert keep([b"", b""]) is None


def test_no_body_is_read_as_empty():
    assert bodies.read(None) == b""


def test_empty_chunks_are_skipped(place):
    assert bodies.read(keep([b"a", b"", b"b" * INLINE, b"", b"c"])) == b"a" + b"b" * INLINE + b"c"


def test_large_body_is_read_in_chunks(place):
    chunks = list(bodies.stream(keep(pieces(3 * bodies.CHUNK))))
    assert max(map(len, chunks)) <= bodies.CHUNK


def test_name_changed_by_the_storage_is_used(renaming):
    body = keep(pieces(300_000))
    assert body.name.endswith("-renamed")
    assert bodies.read(body) == b"".join(pieces(300_000))


def test_two_bodies_never_share_a_name(place):
    assert keep(pieces(100_000)).name != keep(pieces(100_000)).name


def test_name_is_reserved_before_the_file_is_written(place):
    seen = []

    def chunks():
        yield b"x" * 100_000
        seen.extend(Body.objects.values_list("name", flat=True))
        yield b"x"

    bodies.write(chunks(), limit=LIMIT)
    assert [bool(name) for name in seen] == [True]


class Gone(Exception):
    pass


def breaking(size):
    yield b"x" * size
    raise Gone


@pytest.mark.parametrize("size", [10, 300_000])
def test_exception_of_the_source_is_raised(place, size):
    with pytest.raises(Gone):
        bodies.write(breaking(size), limit=LIMIT)


@pytest.mark.parametrize("size", [10, 300_000])
def test_exception_of_the_source_leaves_nothing(place, size):
    with pytest.raises(Gone):
        bodies.write(breaking(size), limit=LIMIT)
    assert (files(place), Body.objects.count()) == ([], 0)


@pytest.mark.parametrize("size", [1001, 300_000])
def test_body_over_the_limit_raises_too_large(place, size):
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(size), limit=size - 1)


@pytest.mark.parametrize("size", [1001, 300_000])
def test_body_over_the_limit_leaves_nothing(place, size):
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(size), limit=size - 1)
    assert (files(place), Body.objects.count()) == ([], 0)


@pytest.mark.parametrize("size", [1000, 300_000])
def test_body_of_exactly_the_limit_is_stored(place, size):
    assert keep(pieces(size), limit=size).size == size


def test_source_over_the_limit_is_not_read_further(place):
    taken = []

    def chunks():
        for number in range(1000):
            taken.append(number)
            yield b"x" * 1000

    with pytest.raises(bodies.TooLarge):
        bodies.write(chunks(), limit=5000)
    assert len(taken) == 6


@pytest.mark.usefixtures("nowhere")
def test_limit_holds_without_a_storage():
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(2000), limit=1999)


def test_full_storage_raises_storage_failed(full):
    with pytest.raises(bodies.StorageFailed):
        bodies.write(pieces(300_000), limit=LIMIT)


def test_full_storage_leaves_no_part(full):
    with pytest.raises(bodies.StorageFailed):
        bodies.write(pieces(300_000), limit=LIMIT)
    assert (files(full), Body.objects.count()) == ([], 0)


def test_discarded_draft_is_deleted(place):
    bodies.discard(bodies.write(pieces(300_000), limit=LIMIT))
    assert (files(place), Body.objects.count()) == ([], 0)


def test_discarded_small_draft_is_deleted(place):
    bodies.discard(bodies.write(pieces(10), limit=LIMIT))
    assert Body.objects.count() == 0


def test_delete_removes_row_and_file(place):
    keep(pieces(300_000))
    assert bodies.delete(Body.objects.all()) == 1
    assert (files(place), Body.objects.count()) == ([], 0)


def test_delete_of_a_missing_file_is_no_error(place):
    [file] = [place / keep(pieces(300_000)).name]
    file.unlink()
    assert bodies.delete(Body.objects.all()) == 1


def test_file_that_cannot_be_deleted_keeps_its_row(stubborn, caplog):
    keep(pieces(300_000))
    assert bodies.delete(Body.objects.all()) == 0
    assert (len(files(stubborn)), Body.objects.count()) == (1, 1)
    assert "could not be deleted" in caplog.text


def test_file_that_cannot_be_deleted_does_not_block_others(stubborn):
    keep(pieces(300_000))
    keep(pieces(10))
    assert bodies.delete(Body.objects.all()) == 1


def test_stored_body_without_its_storage_raises_storage_failed(place):
    body = keep(pieces(300_000))
    with (
        override_settings(STORAGES={"default": settings.STORAGES["default"]}),
        pytest.raises(bodies.StorageFailed),
    ):
        bodies.read(body)


# From an offset ------------------------------------------------------------------------------------------------------


class Tape(FileSystemStorage):
    """A storage whose files cannot seek."""

    def _open(self, name, mode="rb"):
        file = super()._open(name, mode)
        file.seekable = lambda: False
        return file


class Counter(io.FileIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        Counter.count += len(data)
        return data


class Counting(FileSystemStorage):
    def _open(self, name, mode="rb"):
        return File(Counter(self.path(name)))


WHOLE = b"".join(pieces(300_000))


@pytest.fixture(params=["django.core.files.storage.FileSystemStorage", f"{__name__}.Tape"])
def any_place(request, tmp_path):
    yield from storages_in(tmp_path, request.param)


@pytest.mark.usefixtures("any_place")
@pytest.mark.parametrize("start", [0, 1, 65_536, 299_999, 300_000])
def test_stored_body_is_read_from_an_offset(start):
    assert b"".join(bodies.stream(keep(pieces(300_000)), start)) == WHOLE[start:]


@pytest.mark.parametrize("start", [0, 1, 999, 1000])
def test_small_body_is_read_from_an_offset(start):
    assert b"".join(bodies.stream(keep(pieces(1000)), start)) == WHOLE[start:1000]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", [1000, 300_000])
@pytest.mark.parametrize("start", [0, 1, 900])
def test_sealed_body_is_read_from_an_offset(size, start):
    with override_settings(ASYNC_EXCHANGE=exchange(ENCRYPTION_KEYS=[Fernet.generate_key()])):
        task = stored()
        bodies.attach(bodies.write(pieces(size), limit=LIMIT, seal=True), task_id=task.pk, kind=Body.REQUEST)
        assert b"".join(bodies.stream(task.bodies.get(), start)) == WHOLE[start:size]


def test_bytes_before_the_offset_are_not_read(tmp_path):
    for _ in storages_in(tmp_path, f"{__name__}.Counting"):
        body = keep(pieces(300_000))
        Counter.count = 0
        assert b"".join(bodies.stream(body, 250_000)) == WHOLE[250_000:]
        assert Counter.count == 50_000


# Incomplete files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1000])
@pytest.mark.parametrize("left", [0, 1, 299_999])
def test_truncated_file_raises_storage_failed(place, start, left):
    body = keep(pieces(300_000))
    os.truncate(place / body.name, left)
    with pytest.raises(bodies.StorageFailed):
        list(bodies.stream(body, start))


def test_missing_file_raises_storage_failed_with_a_hint(place):
    body = keep(pieces(300_000))
    (place / body.name).unlink()
    with pytest.raises(bodies.StorageFailed, match="share this storage"):
        bodies.read(body)


def test_draft_deleted_meanwhile_cannot_be_attached(place):
    draft = bodies.write(pieces(300_000), limit=LIMIT)
    Body.objects.all().delete()
    with pytest.raises(bodies.StorageFailed):
        bodies.attach(draft, task_id=stored().pk, kind=Body.RESPONSE)


# Row first -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_reservation_is_committed_before_the_file_is_written(place):
    def seen_by_others():
        try:
            return list(Body.objects.values_list("name", flat=True))
        finally:
            connections.close_all()

    def chunks():
        yield b"x" * 100_000
        with ThreadPoolExecutor(1) as other:
            names.extend(other.submit(seen_by_others).result())

    names = []
    draft = bodies.write(chunks(), limit=LIMIT)
    assert names == [draft.name]


@pytest.mark.django_db(transaction=True)
def test_rolled_back_project_transaction_leaves_no_file(place):
    with pytest.raises(Gone), transaction.atomic():
        bodies.write(pieces(300_000), limit=LIMIT)
        raise Gone
    assert (files(place), Body.objects.count()) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_large_body_in_a_project_transaction_is_stored_in_the_database(place):
    with transaction.atomic():
        body = keep(pieces(300_000))
    assert (bodies.read(body), body.size, body.name) == (WHOLE, 300_000, "")


@pytest.mark.django_db(transaction=True)
def test_limit_holds_in_a_project_transaction(place):
    with pytest.raises(bodies.TooLarge), transaction.atomic():
        bodies.write(pieces(300_000), limit=299_999)
