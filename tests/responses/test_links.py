"""With a fixed clock: signed links to the second, and every result unavailable exactly from its deletion date on.

Nothing is pruned here: the stored bytes still exist.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import models
from django.test import Client

from django_asyncexchange.exceptions import NotCancellable
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.models.querysets import AsyncTaskQuerySet
from django_asyncexchange.protocol.states import State
from django_asyncexchange.sql.queries import PreparedRows
from django_asyncexchange.store import bodies, statements
from django_asyncexchange.tasks import lifecycle, pruning

from ..services import prefix_of, soon, stored

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)
CONTENT = b'{"rows": ["seven"]}'
REFUSED = (403, 404)


@pytest.fixture
def clock(monkeypatch):
    """Sets the database's time as views read it: stored columns plus an interval."""

    def stands_at(moment: dt.datetime) -> None:
        since = models.F("finished") + models.Value(moment - NOON, output_field=models.DurationField())
        now = models.ExpressionWrapper(since, output_field=models.DateTimeField())
        monkeypatch.setattr(AsyncTaskQuerySet, "with_now", lambda rows: rows.annotate(now=now))
        monkeypatch.setattr(statements, "READ", PreparedRows(statements.READ._rows))  # compiled anew

    stands_at(NOON)
    return stands_at


@pytest.fixture
def anna(django_user_model):
    return django_user_model.objects.create(username="anna")


def done(owner: Any, dialect: str = "moysklad", state: State = State.DONE, **fields: Any) -> AsyncTask:
    """A finished task of ``owner`` at noon, whose result is kept for an hour."""
    dates = {"finished": NOON, "deletion_date": NOON + dt.timedelta(hours=1), **fields}
    return stored(state, owner=owner, dialect=dialect, answer=CONTENT, **dates)


def ask(address: str, user: Any = None, **headers: str) -> Any:
    client = Client(headers={name.replace("_", "-"): text for name, text in headers.items()})
    if user is not None:
        client.force_login(user)
    return client.get(address)


def handed_out(task: AsyncTask, user: Any) -> str:
    """The link that the owner gets now, without its host."""
    response = ask(f"{prefix_of(task.dialect)}/async/{task.pk}/result", user)
    assert response.status_code == 302
    target = urlsplit(response.headers["Location"])
    return f"{target.path}?{target.query}"


# Signed links ---------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S001-36", "S002-50")
@pytest.mark.parametrize("dialect", ["moysklad", "kladana"])
@pytest.mark.parametrize(
    ("seconds", "status"), [(0, 200), (1, 200), (299, 200), (300, 200), (301, 403), (302, 403), (3000, 403)]
)
def test_link_is_valid_for_300_seconds(clock, anna, dialect, seconds, status):
    path = handed_out(done(anna, dialect), anna)
    clock(NOON + dt.timedelta(seconds=seconds))
    response = ask(path)
    assert (response.status_code, response.content == CONTENT) == (status, status == 200)


@pytest.mark.parametrize(("seconds", "status"), [(-0.5, 200), (0, 404), (0.001, 404), (299, 404)])
def test_link_ends_at_the_deletion_date(clock, anna, seconds, status):
    ends = NOON.replace(microsecond=0) + dt.timedelta(seconds=60)
    path = handed_out(done(anna, deletion_date=ends), anna)
    clock(ends + dt.timedelta(seconds=seconds))
    assert ask(path).status_code == status


def test_expiry_of_a_link_is_not_after_the_deletion_date(clock, anna):
    ends = NOON + dt.timedelta(seconds=60)
    query = dict(parse_qsl(urlsplit(handed_out(done(anna, deletion_date=ends), anna)).query))
    assert int(query["temp_url_expires"]) == int(ends.timestamp())


def test_link_with_any_changed_byte_is_refused(clock, anna):
    task = done(anna)
    done(anna)
    path = handed_out(task, anna).partition("&filename=")[0]
    first = path.index(str(task.pk))
    tampered = {f"{path[:at]}{other}{path[at + 1 :]}" for at in range(first, len(path)) for other in others(path[at])}
    statuses = {ask(changed).status_code for changed in tampered}
    assert len(tampered) > 2 * 36 + 64
    assert statuses <= {400, 401, *REFUSED}


def others(byte: str) -> set[str]:
    """Other bytes for the same place."""
    return {chr(ord(byte) ^ 1), "0", "%00"} - {byte, "&", "#", "?"}


def test_link_with_any_missing_or_doubled_byte_is_refused(clock, anna):
    path = handed_out(done(anna), anna).partition("&filename=")[0]
    first = path.index("temp_url_sig=")
    for at in range(first, len(path)):
        assert ask(path[:at] + path[at + 1 :]).status_code in REFUSED
        if path[at] != "&":  # one more empty parameter changes nothing
            assert ask(path[: at + 1] + path[at:]).status_code in REFUSED


def test_filename_parameter_is_ignored(clock, anna):
    path = handed_out(done(anna), anna).partition("&filename=")[0]
    assert ask(f"{path}&filename=../../etc/passwd").headers["Content-Disposition"].startswith("attachment; filename=")


def test_link_is_for_one_task(clock, anna):
    task, other = done(anna), done(anna)
    assert ask(handed_out(task, anna).replace(str(task.pk), str(other.pk))).status_code == 403


def test_link_to_a_deleted_task_is_refused(clock, anna):
    task = done(anna)
    path = handed_out(task, anna)
    assert pruning.delete_finished([task]) == 1
    assert ask(path).status_code == 403


def test_late_cancellation_keeps_the_result(clock, anna):
    task = done(anna)
    path = handed_out(task, anna)
    with pytest.raises(NotCancellable):
        lifecycle.cancel(task)
    assert ask(path).content == CONTENT


def test_link_to_a_cancelled_task_is_refused(clock, anna):
    path = handed_out(done(anna), anna)
    AsyncTask.objects.update(state=State.CANCEL)
    assert ask(path).status_code == 403


# Deletion dates -------------------------------------------------------------------------------------------------------

ADDRESSES = [
    ("moysklad", "/async/{id}/result", 302, 404),
    ("kladana", "/async/{id}/result", 302, 404),
    ("solitude", "/delay/result/{id}/", 200, 404),
    ("solitude", "/delay/replay/{id}/", 200, 404),
    ("mailru", "/v2/responses/{id}.json", 200, 404),
    ("prefer", "/tasks/{id}/result", 200, 410),
]
"""(dialect, address of a result, status while there is one, status when it is over)"""


@pytest.mark.parametrize(("dialect", "path", "before", "after"), ADDRESSES)
def test_result_is_available_before_its_deletion_date(clock, anna, dialect, path, before, after):
    task = done(anna, dialect)
    clock(task.deletion_date - dt.timedelta(milliseconds=1))
    assert ask(prefix_of(dialect) + path.format(id=task.pk), anna).status_code == before


@pytest.mark.parametrize("later", [dt.timedelta(0), dt.timedelta(milliseconds=1), dt.timedelta(days=6)])
@pytest.mark.parametrize(("dialect", "path", "before", "after"), ADDRESSES)
def test_result_is_unavailable_from_its_deletion_date_on(clock, anna, dialect, path, before, after, later):
    task = done(anna, dialect)
    clock(task.deletion_date + later)
    response = ask(prefix_of(dialect) + path.format(id=task.pk), anna)
    assert (response.status_code, CONTENT in response.content) == (after, False)
    assert Body.objects.count() == 1


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-1"}, {"If_None_Match": "*"}, {"Accept_Encoding": "gzip"}])
def test_ranges_and_conditions_respect_the_deletion_date(clock, anna, headers):
    task = done(anna)
    path = handed_out(task, anna)
    clock(task.deletion_date)
    assert ask(path, **headers).status_code == 404


@pytest.mark.parametrize("state", [State.API_ERROR, State.ERROR])
@pytest.mark.parametrize(("dialect", "path", "before", "after"), ADDRESSES[2:])
def test_error_is_unavailable_from_its_deletion_date_on(clock, anna, state, dialect, path, before, after):
    task = done(anna, dialect, state=state, status_code=400)
    clock(task.deletion_date)
    response = ask(prefix_of(dialect) + path.format(id=task.pk), anna)
    assert (response.status_code, CONTENT in response.content) == (after, False)


def test_cisco_result_is_unavailable_from_its_deletion_date_on(clock, anna):
    task = done(anna, "cisco", method="POST")
    address = f"{prefix_of('cisco')}/asyncrequeststatus/{task.pk}"
    clock(task.deletion_date - dt.timedelta(milliseconds=1))
    before = ask(address, anna)
    clock(task.deletion_date)
    after = ask(address, anna)
    assert before.status_code == 200
    assert before.content != after.content
    assert CONTENT not in after.content


def test_prune_deletes_expired_files_only(settings, tmp_path, anna):
    ours = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "asyncexchange": ours}
    names = {}
    for over in (True, False):
        task = stored(State.DONE, owner=anna, deletion_date=soon(seconds=-1 if over else 60))
        draft = bodies.write([b"x" * 100_000], limit=10**6)
        bodies.attach(draft, task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
        names[over] = draft.name
    pruning.prune()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [names[False]]
