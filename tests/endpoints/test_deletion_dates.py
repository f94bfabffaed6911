"""Clients of the default dialect delete a result early, or have it kept for longer."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.auth.models import User
from django.core.files.storage import FileSystemStorage
from django.test import Client

from django_asyncexchange.dialects.prefer import Prefer
from django_asyncexchange.models import AsyncTask, Body, Delivery, Webhook
from django_asyncexchange.protocol.states import State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import pruning, retention
from django_asyncexchange.urls import routes

from ..services import soon, stored

pytestmark = pytest.mark.django_db

WEEK = dt.timedelta(days=7)
PATIENT = Prefer(name="prefer", policy=dataclasses.replace(Prefer.POLICY, max_retention=WEEK))
urlpatterns = list(routes(PATIENT))
patient = pytest.mark.urls("tests.endpoints.test_deletion_dates")

CONTENT = b"rows" * 50_000
ANSWERED = [State.DONE, State.API_ERROR]
UNFINISHED = [State.PENDING, State.PROCESSING]


@pytest.fixture
def anna() -> User:
    return User.objects.create(username="anna")


@pytest.fixture
def client(anna: User) -> Client:
    client = Client()
    client.force_login(anna)
    return client


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    """The directory of stored results."""
    backend = {"BACKEND": f"{__name__}.Storage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": backend}
    return tmp_path


class Storage(FileSystemStorage):
    """Its file ``locked`` stands for a storage that deletes nothing."""

    def delete(self, name: str) -> None:
        if self.exists("locked"):
            raise OSError("locked")
        super().delete(name)


def of(owner: User, state: State = State.DONE, **fields: Any) -> AsyncTask:
    return stored(state, owner=owner, dialect="prefer", **fields)


def filed(owner: User, state: State = State.DONE, **fields: Any) -> AsyncTask:
    """A task whose result is a file."""
    task = of(owner, state, **fields)
    bodies.attach(bodies.write([CONTENT], limit=10**9), task_id=task.pk, kind=Body.RESPONSE, attempt=task.attempt)
    return task


def address(task: AsyncTask, rest: str = "") -> str:
    return f"/async/tasks/{task.pk}{rest}"


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def in_directory(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()]


def dates(task: AsyncTask) -> tuple[dt.datetime, dt.datetime]:
    return AsyncTask.objects.values_list("deletion_date", "purge_date").get(pk=task.pk)


# Early ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ANSWERED)
def test_deleted_result_is_gone_at_once(client: Client, anna: User, files: Path, state: State) -> None:
    task = filed(anna, state)
    assert len(in_directory(files)) == 1
    response = client.delete(address(task))
    assert (response.status_code, response.content, response["Cache-Control"]) == (204, b"", "no-store")
    assert (in_directory(files), Body.objects.count()) == ([], 0)
    assert code(client.get(address(task, "/result"))) == (410, "expired")


def test_task_of_a_deleted_result_is_still_listed(client: Client, anna: User) -> None:
    task = of(anna, answer=b"{}")
    client.delete(address(task))
    [row] = client.get("/async/tasks").json()["results"]
    assert (row["id"], row["state"], row["links"].keys()) == (str(task.pk), "DONE", {"self", "operation"})


def test_result_can_be_deleted_again(client: Client, anna: User) -> None:
    task = of(anna, answer=b"{}")
    client.delete(address(task))
    before = dates(task)
    assert client.delete(address(task)).status_code == 204
    assert dates(task) == before


def test_signed_link_to_a_deleted_result_is_revoked(client: Client, anna: User) -> None:
    task = of(anna, answer=b"{}")
    link = client.get(address(task)).json()["links"]["download"]
    assert Client().get(link).content == b"{}"
    client.delete(address(task))
    assert code(Client().get(link)) == (410, "expired")


def test_failed_task_without_a_response_is_deleted_like_any_other(client: Client, anna: User) -> None:
    task = of(anna, State.ERROR, reason="lost")
    assert client.delete(address(task)).status_code == 204
    assert code(client.get(address(task, "/result"))) == (410, "expired")


@pytest.mark.parametrize("state", UNFINISHED)
def test_delete_cancels_an_unfinished_task(client: Client, anna: User, state: State) -> None:
    task = of(anna, state)
    for _ in range(2):
        assert client.delete(address(task)).status_code == 204
        assert code(client.get(address(task, "/result"))) == (410, "cancelled")


def test_deletion_date_of_a_cancelled_task_is_kept(client: Client, anna: User) -> None:
    task = of(anna, State.CANCEL)
    before = dates(task)
    client.delete(address(task))
    assert dates(task) == before


def test_monitor_only_cancels(client: Client, anna: User) -> None:
    task = of(anna, answer=b"{}")
    assert code(client.delete(f"/async/operations/{task.pk}")) == (409, "finished")
    assert client.get(address(task, "/result")).content == b"{}"


def test_deleted_result_has_no_event(client: Client, anna: User) -> None:
    for action in ("PROCESSED", "UPDATE"):
        Webhook.objects.create(dialect="prefer", account=str(anna.pk), action=action, url="https://8.8.8.8/")
    client.delete(address(of(anna, answer=b"{}")))
    assert not Delivery.objects.exists()


def test_file_that_cannot_be_deleted_is_left_to_pruning(client: Client, anna: User, files: Path) -> None:
    task = filed(anna)
    (files / "locked").touch()
    assert client.delete(address(task)).status_code == 204
    assert code(client.get(address(task, "/result"))) == (410, "expired")
    (files / "locked").unlink()
    assert pruning.prune()["bodies"] == 1
    assert in_directory(files) == []


@pytest.mark.parametrize("state", [*UNFINISHED, State.CANCEL])
def test_only_a_result_expires(anna: User, state: State) -> None:
    """Whatever the caller has read before: the database decides."""
    task = of(anna, state)
    before = dates(task)
    retention.expire(task)
    assert dates(task) == before


# Late -----------------------------------------------------------------------------------------------------------------


def patch(client: Client, task: AsyncTask, document: Any) -> Any:
    return client.patch(address(task), document, content_type="application/json")


def rfc3339(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@patient
@pytest.mark.parametrize("hours", [0.1, 30, 167])
def test_client_sets_the_deletion_date(client: Client, anna: User, hours: float) -> None:
    task, wanted = of(anna, answer=b"{}"), rfc3339(soon(hours=hours))
    response = patch(client, task, {"deletion_date": wanted})
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    document = response.json()
    assert (document["deletion_date"], document["state"]) == (wanted, "DONE")
    assert document == client.get(address(task)).json()
    assert rfc3339(dates(task)[0]) == wanted


@patient
def test_task_is_kept_as_long_as_its_result(client: Client, anna: User) -> None:
    task = of(anna, purge_date=soon(hours=2))
    patch(client, task, {"deletion_date": rfc3339(soon(hours=1))})
    assert dates(task)[1] == task.purge_date
    patch(client, task, {"deletion_date": rfc3339(soon(hours=3))})
    assert dates(task)[1] == dates(task)[0]


@patient
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "bad_request")),
        (b"\xff", (400, "bad_request")),
        (b"[]", (400, "bad_request")),
        (b"[" * 100_000, (400, "bad_request")),
        (b"{}", (400, "missing")),
        (b'{"deletion_date": "\\ud800\\u0000"}', (422, "deletion_date")),
        (b'{"deletion_date": 1e999}', (422, "deletion_date")),
        (b'{"deletion_date": "2020-01-01T00:00:00Z"}', (422, "deletion_date")),
        (b'{"deletion_date": "2999-01-01T00:00:00Z"}', (422, "deletion_date")),
    ],
)
def test_other_body_is_a_problem(client: Client, anna: User, body: bytes, expected: tuple[int, str]) -> None:
    task = of(anna, answer=b"{}")
    before = dates(task)
    assert code(patch(client, task, body)) == expected
    assert dates(task) == before


@patient
@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        (State.PENDING, {}, (409, "not_ready")),
        (State.PROCESSING, {}, (409, "not_ready")),
        (State.CANCEL, {}, (410, "cancelled")),
        (State.DONE, {"deletion_date": soon(seconds=-1)}, (410, "expired")),
    ],
)
def test_task_without_a_result_is_a_problem(
    client: Client, anna: User, state: State, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert code(patch(client, of(anna, state, **fields), {"deletion_date": rfc3339(soon(hours=1))})) == expected


@patient
def test_deletion_date_of_somebody_elses_task_is_a_404(client: Client) -> None:
    task = of(User.objects.create(username="otto"))
    assert code(patch(client, task, {"deletion_date": rfc3339(soon(hours=1))})) == (404, "not_found")


def test_change_without_max_retention_is_a_405(client: Client, anna: User) -> None:
    response = patch(client, of(anna), {"deletion_date": rfc3339(soon(hours=1))})
    assert code(response) == (405, "method_not_allowed")
    assert response["Allow"] == "DELETE, GET"


@pytest.mark.parametrize(
    ("state", "fields"),
    [(State.PENDING, {}), (State.PROCESSING, {}), (State.CANCEL, {}), (State.DONE, {"deletion_date": soon()})],
)
def test_result_that_is_gone_meanwhile_stays_gone(anna: User, state: State, fields: dict[str, Any]) -> None:
    task = of(anna, state, **fields)
    assert not retention.keep_until(task, soon(hours=1))
    assert dates(task)[0] == task.deletion_date
