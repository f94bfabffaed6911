"""What ``Dialect`` answers by default, and how a row of ``CODES`` and an exception's message make an error's text."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Dialect, Trigger, Wire
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import Call, Replay, header

from .contract import (
    NOW,
    TASK_ID,
    DialectContract,
    call,
    context,
    document,
    error_classes,
    imported,
    modules_of,
    snapshot,
)


class Minimal(Dialect):
    """The fewest lines that make a dialect."""

    TRIGGER = Trigger.HEADER
    TRIGGER_NAME = "X-Later"

    def wants_async(self, call: Call) -> bool:
        return bool(call.header("X-Later"))


class OwnTexts(Minimal):
    CODES = {
        **Dialect.CODES,
        exceptions.TaskNotFound: Wire(code="unknown", status=404, text="No task %(id)s."),
        exceptions.ListingRefused: Wire(code="list", status=400),
    }
    RETRYABLE = (exceptions.SubmitFailed,)
    HIDES_EXPIRED = True


class TestMinimal(DialectContract):
    cls = Minimal

    def test_only_the_standard_library_is_imported(self) -> None:
        """But for the package itself and pytest, which a test needs."""
        for file in modules_of(self.cls):
            assert imported(file) <= sys.stdlib_module_names | {"django_asyncexchange", "pytest"}


MINIMAL = Minimal(name="minimal")
OWN_TEXTS = OwnTexts(name="own")

RESULTS: tuple[tuple[State, dict[str, Any], type[Exception] | None], ...] = (
    (State.PENDING, {}, exceptions.ResultNotReady),
    (State.PROCESSING, {}, exceptions.ResultNotReady),
    (State.PROCESSING, {"status_code": 200}, exceptions.ResultNotReady),
    (State.DONE, {}, None),
    (State.API_ERROR, {}, None),
    (State.ERROR, {}, None),
    (State.ERROR, {"status_code": None}, exceptions.ResultFailed),
    (State.ERROR, {"status_code": None, "deletion_date": NOW}, exceptions.ResultExpired),
    (State.DONE, {"deletion_date": NOW}, exceptions.ResultExpired),
    (State.CANCEL, {}, exceptions.ResultCancelled),
    (State.CANCEL, {"deletion_date": NOW}, exceptions.ResultCancelled),
)


@pytest.mark.parametrize(("state", "changes", "error"), RESULTS)
def test_result_is_replayed_or_its_absence_explained(
    state: State, changes: dict[str, Any], error: type[Exception] | None
) -> None:
    task = snapshot(state, **changes)
    if error is None:
        assert MINIMAL.result_error(task, NOW) is None
        assert MINIMAL.result(task, context()) == Replay()
    else:
        with pytest.raises(error):
            MINIMAL.result(task, context())


def test_failed_result_has_the_reason() -> None:
    error = MINIMAL.result_error(snapshot(State.ERROR, status_code=None, reason=Reason.LOST), NOW)
    assert error is not None and error.details == {"reason": Reason.LOST}


@pytest.mark.parametrize("state", [State.DONE, State.CANCEL, State.ERROR])
def test_expired_task_is_unknown_where_the_dialect_hides_it(state: State) -> None:
    with pytest.raises(exceptions.TaskNotFound):
        OWN_TEXTS.result(snapshot(state, deletion_date=NOW), context())


@pytest.mark.parametrize("cls", error_classes())
def test_error_without_an_own_text_has_the_message_of_its_row(cls: type[exceptions.AsyncExchangeError]) -> None:
    row = next(parent for parent in cls.__mro__ if parent in Minimal.CODES)
    assert MINIMAL.wire(cls()).text == row.message


def test_error_has_the_text_of_its_dialect_with_its_details() -> None:
    body = document(OWN_TEXTS.problem(exceptions.TaskNotFound(id=7), context()))
    assert body == {"code": "unknown", "detail": "No task 7."}


def test_error_without_a_row_has_the_message_of_its_parents_row() -> None:
    body = document(OWN_TEXTS.problem(exceptions.DateMalformed(value="x"), context()))
    assert body == {"code": "list", "detail": "The list cannot be shown this way."}


def test_message_leaves_missing_details_empty() -> None:
    assert str(exceptions.FieldMissing(parameter="url")) == "The field url has to be given."
    assert str(exceptions.FieldMissing()) == "The field  has to be given."


def test_status_of_an_error_replaces_that_of_its_row() -> None:
    error = exceptions.HttpRefused()
    error.status = 418
    assert MINIMAL.problem(error, context()).status == 418


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (exceptions.SubmitFailed(), "1"),
        (exceptions.NoWorker(), "1"),
        (exceptions.SubmitFailed(headers=(("Retry-After", "30"),)), "30"),
        (exceptions.TaskNotFound(), None),
    ],
)
def test_retryable_errors_say_when_to_retry(error: exceptions.AsyncExchangeError, seconds: str | None) -> None:
    assert header(OWN_TEXTS.problem(error, context()).headers, "Retry-After") == seconds


def test_the_kick_off_leads_to_the_status() -> None:
    accepted = MINIMAL.accepted(snapshot(State.PENDING), context(base="https://example.com"))
    assert header(accepted.headers, "Location") == f"https://example.com/tasks/{TASK_ID}"
    assert document(accepted) == {"id": str(TASK_ID), "state": "PENDING"}


def test_status_names_the_state() -> None:
    assert document(MINIMAL.status(snapshot(State.DONE), context())) == {"id": str(TASK_ID), "state": "DONE"}


def test_states_are_named_as_they_are_stored() -> None:
    assert set(Minimal.WORDS.items()) == {(state, state.value) for state in State}


def test_a_call_is_noticed_by_its_header() -> None:
    assert MINIMAL.wants_async(call(X_Later="yes"))
    assert not MINIMAL.may_want_async("/", {"HTTP_OTHER": "yes"})
