"""The end of a run: store the response, end failed and interrupted runs, and those whose outcome cannot be recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError

from ..protocol.states import Reason, State
from ..protocol.values import Progress
from ..store import bodies, db_retry
from ..store.values import Claim, Ended
from ..tasks import failures, lifecycle, recovery
from . import watchdog
from .watched_run import WatchedRun

logger = logging.getLogger("django_asyncexchange")

P = ParamSpec("P")
T = TypeVar("T")

DATABASE_WAIT = 60.0
"""How long claiming and ending a run wait for an unavailable database, in seconds."""


def with_retries(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``work``; wait for an unavailable database, so that an outage loses no call."""
    return db_retry.retry_while_unavailable(partial(work, *args, **kwargs), DATABASE_WAIT)


def end_interrupted(claim: Claim, run: WatchedRun | None, error: BaseException) -> None:
    """End a run that was interrupted by the watchdog, by the executor's time limit, or by a view that exits."""
    logger.warning("task %s: interrupted: %s", claim.task.pk, run.reason if run else "from outside", exc_info=True)
    if run is not None and run.reason is State.CANCEL:
        with_retries(lifecycle.confirm_cancel, claim, run.progress)
    else:
        late = run is not None and run.age >= run.limit
        fail(claim, run, Reason.RUN_TIMEOUT if late else Reason.EXCEPTION, error)


def fail(claim: Claim, run: WatchedRun | None, reason: Reason, error: BaseException) -> None:
    """End a run without a response in ERROR."""
    with_retries(lifecycle.fail, claim, reason, failures.format_error(error), run.progress if run else None)


def finish(claim: Claim, *, draft: bodies.Draft, progress: Progress | None, **answer: Any) -> Ended | None:
    """Store the response, as soon as the database is available.

    If the database cannot store it (too large a packet, say), the task ends in ERROR.
    """
    try:
        return with_retries(lifecycle.finish, claim, draft=draft, progress=progress, **answer)
    except (DatabaseError, InterfaceError, bodies.StorageFailed) as error:
        logger.exception("task %s: response could not be stored", claim.task.pk)
        bodies.discard(draft)
        return with_retries(lifecycle.fail, claim, Reason.STORAGE, failures.format_error(error), progress)


def end_unrecorded(claim: Claim | None, error: Exception) -> None:
    """Treat the run as lost once the database is available: its lease is renewed while this process lives.

    ``claim``: None if the claim itself failed. A worker that is refused by a database that is available exits: it would
    claim call after call, and end none.
    """
    if claim is not None:
        try:
            with_retries(recovery.handle_lost, claim)
            return
        except Exception as second:
            logger.exception("task %s: could not be ended; it is lost when its lease expires", claim.task.pk)
            error = second
    if isinstance(error, (*db_retry.UNAVAILABLE, *db_retry.BROKEN_SESSION)) and not db_retry.is_unavailable():
        watchdog.kill_worker()
