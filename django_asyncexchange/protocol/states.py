"""The states of a task and the transitions between them; any other transition is illegal.

The values are stored in rows and sent to clients: never rename one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class State(enum.StrEnum):
    """The state of a task. The values are those of MoySklad's ``state``."""

    PENDING = "PENDING"
    """Accepted, stored and queued."""
    PROCESSING = "PROCESSING"
    """Running in a worker."""
    DONE = "DONE"
    """The view returned a status below 400."""
    API_ERROR = "API_ERROR"
    """The view returned 4xx."""
    ERROR = "ERROR"
    """The view raised or returned 5xx, whose response is stored, or there is no response: see ``Reason``."""
    CANCEL = "CANCEL"
    """Cancelled by its owner or an administrator."""

    @property
    def is_final(self) -> bool:
        return self in FINAL


class Reason(enum.StrEnum):
    """Why a task is in ERROR."""

    EXCEPTION = "exception"
    """The view raised or returned 5xx; that response is stored."""
    RUN_TIMEOUT = "run_timeout"
    """It ran for longer than ``RUN_LIMIT``."""
    LOST = "lost"
    """Its worker died after the start; the outcome is unknown."""
    QUEUE_TIMEOUT = "queue_timeout"
    """It was queued for longer than ``QUEUE_LIMIT`` and never started."""
    STORAGE = "storage"
    """Its response could not be stored."""


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
    """The final state of a task whose view returned ``status_code``."""
    if status_code < 400:
        return State.DONE
    return State.API_ERROR if status_code < 500 else State.ERROR
