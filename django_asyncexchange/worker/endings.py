"""How a run ends that has no answer, and what becomes of a process that cannot even write that down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError

from ..protocol.states import Reason, State
from ..store import bodies, db_retry
from ..store.values import Claim, Ended
from ..tasks import failures, lifecycle, recovery
from . import watchdog
from .watched_run import WatchedRun

logger = logging.getLogger("django_asyncexchange")

P = ParamSpec("P")
T = TypeVar("T")

FINISHING = 60.0
"""For how long the beginning and the end of a run wait for a database that is away, in seconds."""


def patiently(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what a view has no part in, as soon as there is a database for it: a call is not lost over an outage."""
    return db_retry.outlast(partial(work, *args, **kwargs), FINISHING)


def interrupted(claim: Claim, run: WatchedRun | None, error: BaseException) -> None:
    """End a run that was interrupted by us, by the time limit of whatever runs us, or by a view that leaves."""
    logger.warning("task %s: interrupted, %s", claim.task.pk, run.reason if run else "from outside", exc_info=True)
    if run is not None and run.reason is State.CANCEL:
        patiently(lifecycle.confirm_cancel, claim, run.progress)
    else:
        late = run is not None and run.age >= run.limit
        failed(claim, run, Reason.RUN_TIMEOUT if late else Reason.EXCEPTION, error)


def failed(claim: Claim, run: WatchedRun | None, reason: Reason, error: BaseException) -> None:
    """End a run that has no response."""
    patiently(lifecycle.fail, claim, reason, failures.described(error), run.progress if run else None)


def answered(claim: Claim, *, draft: bodies.Draft, **answer: Any) -> Ended | None:
    """Store the response, as soon as there is a database to store it in.

    One that the database does not take (too large a packet, say) still ends its task.
    """
    try:
        return patiently(lifecycle.finish, claim, draft=draft, **answer)
    except (DatabaseError, InterfaceError, bodies.StorageFailed) as error:
        logger.exception("task %s: the response could not be stored", claim.task.pk)
        bodies.discard(draft)
        return patiently(lifecycle.fail, claim, Reason.STORAGE, failures.described(error))


def unrecorded(claim: Claim | None, error: Exception) -> None:
    """Treat a run as lost as soon as there is a database again: while this process lives, others would wait for it.

    ``claim``: None if even the claim has failed. A worker that is refused by a database that others may reach leaves
    too: it would take call after call, and end none.
    """
    if claim is not None:
        try:
            patiently(recovery.give_up, claim)
            return
        except Exception as another:
            logger.exception("task %s: it is left to its lease", claim.task.pk)
            error = another
    if isinstance(error, (*db_retry.AWAY, *db_retry.SPOILT)) and not db_retry.is_away():
        watchdog.kill_worker()
