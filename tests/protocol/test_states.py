"""States of a task and their transitions."""

from __future__ import annotations

import pytest

from django_asyncexchange.protocol.states import FINAL, TRANSITIONS, UNFINISHED, Reason, State, outcome, sources

DRAWN = {
    ("PENDING", "PROCESSING"),
    ("PENDING", "CANCEL"),
    ("PENDING", "ERROR"),
    ("PROCESSING", "DONE"),
    ("PROCESSING", "API_ERROR"),
    ("PROCESSING", "ERROR"),
    ("PROCESSING", "CANCEL"),
    ("PROCESSING", "PENDING"),
}
PAIRS = [(source, target) for source in State for target in State]


@pytest.mark.seed("S002-24")
def test_there_are_six_states():
    assert [state.value for state in State] == ["PENDING", "PROCESSING", "DONE", "API_ERROR", "ERROR", "CANCEL"]


def test_reasons_are_stored_as_written():
    assert {reason.value for reason in Reason} >= {"exception", "run_timeout", "lost", "queue_timeout", "storage"}


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda state: state.value)
def test_legal_transitions(source, target):
    assert (target in TRANSITIONS[source]) == ((source, target) in DRAWN)


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda state: state.value)
def test_sources_are_the_inverse_of_transitions(source, target):
    assert (source in sources(target)) == (target in TRANSITIONS[source])


@pytest.mark.parametrize("state", State)
def test_final_state_has_no_transitions(state):
    assert state.is_final == (not TRANSITIONS[state])


def test_every_state_is_either_final_or_unfinished():
    assert set(State) == FINAL | UNFINISHED
    assert not FINAL & UNFINISHED


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, State.DONE),
        (204, State.DONE),
        (302, State.DONE),
        (399, State.DONE),
        (400, State.API_ERROR),
        (404, State.API_ERROR),
        (499, State.API_ERROR),
        (500, State.ERROR),
        (503, State.ERROR),
        (599, State.ERROR),
    ],
)
def test_final_state_follows_from_the_status_code(status, state):
    assert outcome(status) is state
