"""Solitude's dialect."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid

import pytest

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Trigger
from django_asyncexchange.dialects.solitude import ABSENT, Solitude
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import Context, Replay, Response, header

from .contract import NOW, DialectContract, call, context, document, snapshot

MARK = "Solitude-Async"
FINISHED_WITH_ANSWER = (State.DONE, State.API_ERROR, State.ERROR)
LOST = {"status_code": None, "content": None, "reason": Reason.LOST}


class TestSolitude(DialectContract):
    cls = Solitude
    shared_words = frozenset({"yes", "no"})


@pytest.fixture
def solitude() -> Solitude:
    return Solitude(name="solitude")


def at(path: str = "") -> Context:
    return context(base=f"https://example.com{path}", path=path)


# Submitting ----------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S004-6")
def test_trigger_is_a_header() -> None:
    assert Solitude.TRIGGER is Trigger.HEADER


@pytest.mark.seed("S004-7")
@pytest.mark.parametrize("text", ["yes", "no", "0", "async", " yes "])
def test_any_value_of_the_header_is_a_trigger(solitude: Solitude, text: str) -> None:
    assert solitude.wants_async(call("POST", Solitude_Async=text))


@pytest.mark.seed("S004-1")
@pytest.mark.parametrize("headers", [{}, {"Solitude_Async": ""}, {"Solitude_Async": " \t"}])
def test_empty_or_missing_header_is_synchronous(solitude: Solitude, headers: dict[str, str]) -> None:
    assert not solitude.wants_async(call("POST", **headers))


@pytest.mark.seed("S004-3", "S004-4", "S004-5")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_write_is_admitted(solitude: Solitude, method: str) -> None:
    solitude.admit(call(method, Solitude_Async="yes"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_other_method_is_a_405(solitude: Solitude, method: str) -> None:
    one = call(method, Solitude_Async="yes")
    assert solitude.wants_async(one)
    with pytest.raises(exceptions.MethodNotAllowed) as caught:
        solitude.admit(one)
    response = solitude.problem(caught.value, at())
    assert response.status == 405
    assert header(response.headers, "Allow") == "PATCH, POST, PUT"


def test_target_is_the_call_itself(solitude: Solitude) -> None:
    assert solitude.target(call("POST", "/generic/buyer/", "a=1&a=2")) == ("/generic/buyer/", "a=1&a=2")


def test_every_view_is_eligible() -> None:
    assert Solitude.EVERY_VIEW


# The 202 -------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S004-9", "S004-10", "S004-11")
def test_kick_off_has_two_paths(solitude: Solitude) -> None:
    task = snapshot(State.PENDING, id=uuid.UUID("ca8027fe-3570-4e70-8313-00e81ce8432d"))
    response = solitude.accepted(task, at())
    assert response.status == 202
    assert document(response) == {
        "replay": "/delay/replay/ca8027fe-3570-4e70-8313-00e81ce8432d/",
        "result": "/delay/result/ca8027fe-3570-4e70-8313-00e81ce8432d/",
    }


def test_paths_start_at_the_prefix(solitude: Solitude) -> None:
    assert document(solitude.accepted(snapshot(), at("/solitude")))["result"].startswith("/solitude/delay/result/")


def test_kick_off_has_no_location(solitude: Solitude) -> None:
    assert header(solitude.accepted(snapshot(), at()).headers, "Location") is None


# Result --------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S004-2", "S004-13")
@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_result_of_an_unfinished_task_is_a_404(solitude: Solitude, state: State) -> None:
    assert solitude.result(snapshot(state), at()).status == 404


@pytest.mark.seed("S004-12", "S004-14", "S004-15", "S004-16")
def test_result_of_a_create(solitude: Solitude) -> None:
    body = '{"paypal": null, "pin": false, "resource_pk": 1}'
    answer = document(solitude.result(snapshot(status_code=201, content=body.encode()), at()))
    assert (answer["run"], answer["status_code"], answer["content"]) == (True, 201, body)
    assert answer["id"] == "498b8673-0308-11e6-9464-e4de00000089"


@pytest.mark.parametrize(
    ("state", "status"), [(State.DONE, 200), (State.API_ERROR, 403), (State.ERROR, 500)], ids=lambda value: str(value)
)
def test_result_is_a_200_with_the_views_status(solitude: Solitude, state: State, status: int) -> None:
    response = solitude.result(snapshot(state), at())
    assert response.status == 200
    assert (document(response)["run"], document(response)["status_code"]) == (True, status)


def test_result_of_a_lost_task_has_status_500(solitude: Solitude) -> None:
    answer = document(solitude.result(snapshot(State.ERROR, **LOST), at()))
    assert (answer["run"], answer["status_code"]) == (True, 500)
    assert json.loads(answer["content"])["error"] == "failed"


def test_result_of_a_cancelled_task_has_status_410(solitude: Solitude) -> None:
    response = solitude.result(snapshot(State.CANCEL), at())
    assert response.status == 200
    assert (document(response)["run"], document(response)["status_code"]) == (False, 410)


@pytest.mark.parametrize("state", [*FINISHED_WITH_ANSWER, State.CANCEL])
def test_expired_result_is_a_404(solitude: Solitude, state: State) -> None:
    assert solitude.result(snapshot(state, deletion_date=NOW), at()) == ABSENT


@pytest.mark.seed("S004-14")
def test_result_has_every_field_of_the_original(solitude: Solitude) -> None:
    answer = document(solitude.result(snapshot(), at()))
    assert next(iter(answer)) == "uuid"
    assert answer["uuid"] == "498b8673-0308-11e6-9464-e4de00000089"
    assert answer["created"] == "2021-02-16T12:28:00"
    assert answer["modified"] == "2021-02-16T12:30:00"
    assert answer["counter"] == 1
    assert answer["resource_pk"] == uuid.UUID(answer["uuid"]).int >> 65
    assert answer["resource_uri"] == "/delay/result/498b8673-0308-11e6-9464-e4de00000089/"


def test_resource_pk_fits_a_signed_64_bit_integer(solitude: Solitude) -> None:
    answer = document(solitude.result(snapshot(id=uuid.UUID(int=2**128 - 1)), at()))
    assert answer["resource_pk"] < 2**63


def test_text_is_not_encoded(solitude: Solitude) -> None:
    answer = document(solitude.result(snapshot(content="ответ".encode()), at()))
    assert answer["content"] == "ответ"
    assert "content_encoding" not in answer


def test_binary_content_is_base64(solitude: Solitude) -> None:
    answer = document(solitude.result(snapshot(content=b"\xff\x00"), at()))
    assert (base64.b64decode(answer["content"]), answer["content_encoding"]) == (b"\xff\x00", "base64")


def test_response_without_a_body_has_empty_content(solitude: Solitude) -> None:
    assert document(solitude.result(snapshot(status_code=204, content=None), at()))["content"] == ""


@pytest.mark.parametrize("state", State)
def test_only_the_result_reads_bodies(solitude: Solitude, state: State) -> None:
    assert solitude.reads("result", state) is (state in FINISHED_WITH_ANSWER)
    assert not solitude.reads("replay", state)


# Replay --------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S004-17", "S004-18", "S004-19", "S004-20")
@pytest.mark.parametrize("state", FINISHED_WITH_ANSWER)
def test_replay_is_the_response_marked_yes(solitude: Solitude, state: State) -> None:
    assert solitude.replay(snapshot(state), at()) == Replay(headers=((MARK, "yes"),))


@pytest.mark.seed("S004-19", "S004-21")
@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_replay_of_an_unfinished_task_is_an_empty_404_marked_no(solitude: Solitude, state: State) -> None:
    response = solitude.replay(snapshot(state), at())
    assert isinstance(response, Response)
    assert (response.status, response.body, header(response.headers, MARK)) == (404, b"", "no")


@pytest.mark.seed("S004-22")
def test_replayed_404_differs_by_its_mark(solitude: Solitude) -> None:
    real = solitude.replay(snapshot(State.API_ERROR, status_code=404), at())
    early = solitude.replay(snapshot(State.PENDING), at())
    assert (header(real.headers, MARK), header(early.headers, MARK)) == ("yes", "no")


def test_replay_of_a_lost_task_is_a_500_marked_yes(solitude: Solitude) -> None:
    response = solitude.replay(snapshot(State.ERROR, **LOST), at())
    assert (response.status, header(response.headers, MARK)) == (500, "yes")
    assert document(response)["error"] == "failed"


def test_replay_of_a_cancelled_task_is_a_410_marked_no(solitude: Solitude) -> None:
    response = solitude.replay(snapshot(State.CANCEL), at())
    assert (response.status, header(response.headers, MARK)) == (410, "no")
    assert document(response)["error"] == "cancelled"


def test_expired_replay_is_a_404(solitude: Solitude) -> None:
    assert solitude.replay(snapshot(deletion_date=NOW - dt.timedelta(seconds=1)), at()) == ABSENT


@pytest.mark.parametrize("verb", ["result", "replay"])
@pytest.mark.parametrize("error", [exceptions.TaskNotFound, exceptions.MalformedId, exceptions.RouteNotFound])
def test_unknown_and_pending_tasks_have_the_same_answer(
    solitude: Solitude, verb: str, error: type[exceptions.TaskNotFound]
) -> None:
    pending = getattr(solitude, verb)(snapshot(State.PENDING), at())
    assert solitude.problem(error(id="x"), at()) == pending
