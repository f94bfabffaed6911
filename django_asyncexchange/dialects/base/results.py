"""Whether a task has a result yet and, if not, why."""

from __future__ import annotations

import datetime as dt

from ...exceptions import ResultCancelled, ResultExpired, ResultFailed, ResultNotReady, ResultUnavailable
from ...protocol.states import State
from ...protocol.values import Snapshot


def result_error(task: Snapshot, now: dt.datetime) -> ResultUnavailable | None:
    """Why ``task`` has no result at ``now`` (database time, aware), or None where it has one.

    A cancelled task stays cancelled after its deletion date; any other finished task has expired then.
    """
    if not task.state.is_final:
        return ResultNotReady()
    if task.state is State.CANCEL:
        return ResultCancelled()
    if task.is_expired(now):
        return ResultExpired()
    return None if task.has_response else ResultFailed(reason=task.reason)
