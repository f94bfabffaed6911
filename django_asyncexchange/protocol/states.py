"""The life of a task. Everything about transitions lives in this file; what is absent from the table is illegal.

Stored values are a wire format (rows, MoySklad's answers): never rename one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class State(enum.StrEnum):
    """Where a task is. Source: contract 0.4 and MoySklad's ``state`` (S002)."""

    PENDING = "PENDING"
    """Accepted, stored and queued."""
    PROCESSING = "PROCESSING"
    """One worker runs it."""
    DONE = "DONE"
    """The view answered below 400."""
    API_ERROR = "API_ERROR"
    """The view answered 4xx."""
    ERROR = "ERROR"
    """The view raised or answered 5xx (answer kept), or there is no answer; see Reason."""
    CANCEL = "CANCEL"
    """Cancelled by its owner or an administrator."""

    @property
    def is_final(self) -> bool:
        return self in FINAL


class Reason(enum.StrEnum):
    """Why a task is in ERROR."""

    EXCEPTION = "exception"
    """The view raised or answered 5xx; that answer is stored."""
    RUN_TIMEOUT = "run_timeout"
    """It ran longer than the run limit."""
    LOST = "lost"
    """Its worker died after the start; the outcome is not known."""
    QUEUE_TIMEOUT = "queue_timeout"
    """It waited longer than its dialect allows; it never started."""
    STORAGE = "storage"
    """Its answer could not be stored."""


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.PROCESSING, State.CANCEL, State.ERROR}),
    State.PROCESSING: frozenset({State.DONE, State.API_ERROR, State.ERROR, State.CANCEL, State.PENDING}),
    State.DONE: frozenset(),
    State.API_ERROR: frozenset(),
    State.ERROR: frozenset(),
    State.CANCEL: frozenset(),
}

UNFINISHED = frozenset(state for state, targets in TRANSITIONS.items() if targets)
FINAL = frozenset(State) - UNFINISHED


def sources(target: State) -> frozenset[State]:
    """The states from which ``target`` may be entered."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


def outcome(status_code: int) -> State:
    """The final state of a task whose view answered with ``status_code``."""
    if status_code < 400:
        return State.DONE
    return State.API_ERROR if status_code < 500 else State.ERROR
