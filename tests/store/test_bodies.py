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
def test_what_is_written_is_read(place, size):
    assert bodies.read(keep(pieces(size))) == b"".join(pieces(size))


def test_a_small_body_stays_in_the_database(place):
    body = keep(pieces(INLINE))
    assert (bytes(body.content), body.name, files(place)) == (b"".join(pieces(INLINE)), "", [])


def test_a_large_body_goes_to_the_storage(place):
    body = keep(pieces(INLINE + 1))
    [file] = files(place)
    assert (body.content, place / body.name) == (None, file)
    assert file.read_bytes() == b"".join(pieces(INLINE + 1))


def test_the_border_between_small_and_large_is_a_setting(place):
    with override_settings(ASYNC_EXCHANGE=exchange(INLINE_BYTES=10)):
        assert keep([b"x" * 11]).name
        assert not keep([b"x" * 10]).name


def test_one_large_chunk_goes_to_the_storage(place):
    assert keep([b"x" * 200_000]).size == len(files(place)[0].read_bytes()) == 200_000


@pytest.mark.usefixtures("nowhere")
def test_without_a_storage_large_bodies_stay_in_the_database():
    body = keep(pieces(300_000))
    assert (len(body.content), body.name) == (300_000, "")


@pytest.mark.parametrize("size", [10, 300_000])
def test_size_and_digest_are_kept(place, size):
    body = keep(pieces(size))
    assert (body.size, body.sha256) == (size, hashlib.sha256(b"".join(pieces(size))).hexdigest())


def test_an_empty_body_needs_no_row(place):
    assert keep([]) is None
    assert keep([b"", b""]) is None


def test_no_body_reads_as_no_bytes():
    assert bodies.read(None) == b""


def test_empty_chunks_in_between_end_nothing(place):
    assert bodies.read(keep([b"a", b"", b"b" * INLINE, b"", b"c"])) == b"a" + b"b" * INLINE + b"c"


def test_a_large_body_is_read_in_chunks(place):
    chunks = list(bodies.stream(keep(pieces(3 * bodies.CHUNK))))
    assert max(map(len, chunks)) <= bodies.CHUNK


def test_a_name_that_the_storage_changed_is_followed(renaming):
    body = keep(pieces(300_000))
    assert body.name.endswith("-renamed")
    assert bodies.read(body) == b"".join(pieces(300_000))


def test_two_bodies_never_share_a_name(place):
    assert keep(pieces(100_000)).name != keep(pieces(100_000)).name


def test_a_name_is_reserved_before_bytes_are_written(place):
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
def test_a_source_that_breaks_is_told(place, size):
    with pytest.raises(Gone):
        bodies.write(breaking(size), limit=LIMIT)


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_source_that_breaks_leaves_nothing(place, size):
    with pytest.raises(Gone):
        bodies.write(breaking(size), limit=LIMIT)
    assert (files(place), Body.objects.count()) == ([], 0)


@pytest.mark.parametrize("size", [1001, 300_000])
def test_more_than_the_limit_is_too_large(place, size):
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(size), limit=size - 1)


@pytest.mark.parametrize("size", [1001, 300_000])
def test_what_is_too_large_leaves_nothing(place, size):
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(size), limit=size - 1)
    assert (files(place), Body.objects.count()) == ([], 0)


@pytest.mark.parametrize("size", [1000, 300_000])
def test_exactly_the_limit_is_not_too_large(place, size):
    assert keep(pieces(size), limit=size).size == size


def test_of_what_is_too_large_no_more_is_read_than_the_limit(place):
    taken = []

    def chunks():
        for number in range(1000):
            taken.append(number)
            yield b"x" * 1000

    with pytest.raises(bodies.TooLarge):
        bodies.write(chunks(), limit=5000)
    assert len(taken) == 6


@pytest.mark.usefixtures("nowhere")
def test_the_limit_holds_without_a_storage():
    with pytest.raises(bodies.TooLarge):
        bodies.write(pieces(2000), limit=1999)


def test_a_full_storage_is_told(full):
    with pytest.raises(bodies.StorageFailed):
        bodies.write(pieces(300_000), limit=LIMIT)


def test_a_full_storage_keeps_no_part(full):
    with pytest.raises(bodies.StorageFailed):
        bodies.write(pieces(300_000), limit=LIMIT)
    assert (files(full), Body.objects.count()) == ([], 0)


def test_a_draft_that_is_discarded_is_gone(place):
    bodies.discard(bodies.write(pieces(300_000), limit=LIMIT))
    assert (files(place), Body.objects.count()) == ([], 0)


def test_a_small_draft_can_be_discarded(place):
    bodies.discard(bodies.write(pieces(10), limit=LIMIT))
    assert Body.objects.count() == 0


def test_deleting_removes_row_and_file(place):
    keep(pieces(300_000))
    assert bodies.delete(Body.objects.all()) == 1
    assert (files(place), Body.objects.count()) == ([], 0)


def test_deleting_twice_is_no_mistake(place):
    [file] = [place / keep(pieces(300_000)).name]
    file.unlink()
    assert bodies.delete(Body.objects.all()) == 1


def test_a_file_that_cannot_be_deleted_keeps_its_row(stubborn, caplog):
    keep(pieces(300_000))
    assert bodies.delete(Body.objects.all()) == 0
    assert (len(files(stubborn)), Body.objects.count()) == (1, 1)
    assert "could not be deleted" in caplog.text


def test_a_file_that_resists_does_not_hold_up_others(stubborn):
    keep(pieces(300_000))
    keep(pieces(10))
    assert bodies.delete(Body.objects.all()) == 1


def test_a_stored_body_without_its_storage_cannot_be_read(place):
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
def test_a_stored_body_is_read_from_anywhere(start):
    assert b"".join(bodies.stream(keep(pieces(300_000)), start)) == WHOLE[start:]


@pytest.mark.parametrize("start", [0, 1, 999, 1000])
def test_a_small_body_is_read_from_anywhere(start):
    assert b"".join(bodies.stream(keep(pieces(1000)), start)) == WHOLE[start:1000]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", [1000, 300_000])
@pytest.mark.parametrize("start", [0, 1, 900])
def test_a_sealed_body_is_read_from_anywhere(size, start):
    with override_settings(ASYNC_EXCHANGE=exchange(ENCRYPTION_KEYS=[Fernet.generate_key()])):
        task = stored()
        bodies.attach(bodies.write(pieces(size), limit=LIMIT, seal=True), task_id=task.pk, kind=Body.REQUEST)
        assert b"".join(bodies.stream(task.bodies.get(), start)) == WHOLE[start:size]


def test_what_comes_before_a_part_is_not_read(tmp_path):
    for _ in storages_in(tmp_path, f"{__name__}.Counting"):
        body = keep(pieces(300_000))
        Counter.count = 0
        assert b"".join(bodies.stream(body, 250_000)) == WHOLE[250_000:]
        assert Counter.count == 50_000


# Incomplete files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1000])
@pytest.mark.parametrize("left", [0, 1, 299_999])
def test_a_file_that_was_cut_short_is_no_body(place, start, left):
    body = keep(pieces(300_000))
    os.truncate(place / body.name, left)
    with pytest.raises(bodies.StorageFailed):
        list(bodies.stream(body, start))


def test_a_file_that_is_gone_is_told(place):
    body = keep(pieces(300_000))
    (place / body.name).unlink()
    with pytest.raises(bodies.StorageFailed, match="share this storage"):
        bodies.read(body)


def test_a_draft_that_was_swept_away_cannot_be_attached(place):
    draft = bodies.write(pieces(300_000), limit=LIMIT)
    Body.objects.all().delete()
    with pytest.raises(bodies.StorageFailed):
        bodies.attach(draft, task_id=stored().pk, kind=Body.RESPONSE)


# Row first -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_reservation_is_committed_before_bytes_are_written(place):
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
def test_a_rollback_of_the_projects_own_leaves_no_file_behind(place):
    with pytest.raises(Gone), transaction.atomic():
        bodies.write(pieces(300_000), limit=LIMIT)
        raise Gone
    assert (files(place), Body.objects.count()) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_in_a_transaction_of_the_projects_own_a_large_body_is_kept_too(place):
    with transaction.atomic():
        body = keep(pieces(300_000))
    assert (bodies.read(body), body.size, body.name) == (WHOLE, 300_000, "")


@pytest.mark.django_db(transaction=True)
def test_in_a_transaction_of_the_projects_own_the_limit_holds(place):
    with pytest.raises(bodies.TooLarge), transaction.atomic():
        bodies.write(pieces(300_000), limit=299_999)
