"""Runs captured calls: claim, rebuild, Django's own handler, record. Never raises, returns nothing.

A run takes place in a fresh context, as the owner, through the project's whole middleware chain. Views meet the task as
``request.async_task``; throttles, which fired at submit, do not fire again.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections, connections, router, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from . import (
    acting,
    bodies,
    capture,
    delivery,
    handling,
    http,
    identity,
    isolation,
    lifecycle,
    outages,
    presence,
    recovery,
    retention,
    turns,
    watch,
    zones,
)
from .conf import conf
from .dialects.base import Dialect
from .models import AsyncTask
from .runs import Run
from .states import Reason, State

logger = logging.getLogger("django_asyncexchange")

P = ParamSpec("P")
T = TypeVar("T")

FINISHING = 60.0
"""For how long the beginning and the end of a run wait for a database that is away, in seconds."""


def run(task_id: str) -> None:
    """Perform the task ``task_id``, if nobody has yet, and then what waits for its end, as long as that is a matter of
    moments. This name is stored in queues: never move it.
    """
    until = time.monotonic() + turns.SLICE
    task: AsyncTask | None = None
    try:
        task = _patiently(lifecycle.claim, task_id)
        while task is not None:
            task = contextvars.Context().run(_perform, task, until)
    except Exception:
        logger.exception("task %s: the run could not be recorded", task.pk if task else task_id)
        if task is not None:
            _let_go(task)


def _patiently(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what a view has no part in, as soon as there is a database for it: a call is not lost over an outage."""
    return outages.outlast(partial(work, *args, **kwargs), FINISHING)


def _let_go(task: AsyncTask) -> None:
    """Treat a run as lost as soon as there is a database again: while this process lives, others would wait for it."""
    try:
        _patiently(recovery.give_up, task)
    except Exception:
        logger.exception("task %s: it is left to its lease", task.pk)


def _perform(task: AsyncTask, until: float) -> AsyncTask | None:
    """Run the call and store what came of it. Returns the next one, where that was claimed with its end."""
    limit = conf.policy(task.dialect).run_limit.total_seconds()
    before = isolation.in_transaction()
    run: Run | None = None
    try:
        with watch.over(task, limit) as run, _surroundings(task), _request(task) as request:
            if task.has_body_elsewhere and not _patiently(lifecycle.is_mine, task):
                return None  # cancelled since, and its body erased: it was perhaps not read whole
            answer = _answer(run, request)
            status, phrase, headers = answer.status_code, answer.reason_phrase, http.stored_headers(answer, request)
            if not answer.streaming:
                isolation.settle(before)  # a stream may need until its end what its view has opened
            try:
                chunks = run.counted(http.chunks_of(answer), answer)
                draft = bodies.write(chunks, limit=conf.MAX_RESULT_BYTES, patience=FINISHING)
            finally:
                answer.close()
    except (bodies.TooLarge, bodies.StorageFailed):
        logger.exception("task %s: a body could not be read or stored", task.pk)
        isolation.settle(before)
        _patiently(lifecycle.fail, task, Reason.STORAGE)
    except Exception:
        logger.exception("task %s: the run raised", task.pk)
        isolation.settle(before)
        _patiently(lifecycle.fail, task, Reason.EXCEPTION)
    except SystemExit:
        connections.close_all()  # whatever it was waiting for
        _interrupted(task, run)
    else:
        isolation.settle(before)
        claimed: list[AsyncTask] = []
        then = turns.pass_on if before else partial(_go_on, claimed, until)
        _finish(task, status=status, reason_phrase=phrase, headers=headers, draft=draft, then=then)
        return claimed[0] if claimed else None
    return None


def _go_on(claimed: list[AsyncTask], until: float, dialect: Dialect, account: str) -> None:
    """Claim the next call for this worker, in the same commit; or send it, where it is late or takes more than that."""
    task: AsyncTask | None = None
    if time.monotonic() < until:
        try:
            task = lifecycle.claim_next(dialect, account)
        except DatabaseError:
            logger.exception("the next call could not be claimed; it is sent")
    if task is None:
        turns.pass_on(dialect, account)
    else:
        transaction.on_commit(lambda: claimed.append(task), using=router.db_for_write(AsyncTask))


def _interrupted(task: AsyncTask, run: Run | None) -> None:
    """End a run that was interrupted by us, by the ceiling of whatever runs us, or by a view that leaves."""
    logger.warning("task %s: interrupted, %s", task.pk, run.reason if run else "from outside")
    if run is not None and run.reason is State.CANCEL:
        _patiently(lifecycle.give_in, task)
    else:
        late = run is not None and run.age >= run.limit
        _patiently(lifecycle.fail, task, Reason.RUN_TIMEOUT if late else Reason.EXCEPTION)


def _finish(task: AsyncTask, *, draft: bodies.Draft, **answer: Any) -> None:
    """Store the answer, as soon as there is a database to store it in.

    One that the database does not take (too large a packet, say) still ends its task.
    """
    try:
        _patiently(lifecycle.finish, task, draft=draft, **answer)
    except (DatabaseError, InterfaceError, bodies.StorageFailed):
        logger.exception("task %s: the answer could not be stored", task.pk)
        bodies.discard(draft)
        _patiently(lifecycle.fail, task, Reason.STORAGE)


def _request(task: AsyncTask) -> contextlib.AbstractContextManager[HttpRequest]:
    if task.has_body_elsewhere:
        return capture.rebuilt(task.captured, bodies.stream(_patiently(bodies.request_of, task.pk)))
    return capture.rebuilt(task.captured, task.body_at_hand())


def _answer(run: Run, request: HttpRequest) -> Any:
    """The response of the captured call, or a 401 where its owner may not act any more."""
    request.async_task = run  # type: ignore[attr-defined]
    acting.begin(request, identity.of(run.task, run.task.captured), _patiently)
    response = handling.handler()(request)
    if acting.is_lost(request):  # whatever a middleware has made of it
        response.close()
        return HttpResponse(status=401)
    return response


@contextlib.contextmanager
def _surroundings(task: AsyncTask) -> Iterator[None]:
    """Language and time zone as at submit; both end with the run's context."""
    call = task.captured
    with contextlib.ExitStack() as stack:
        if call.language:
            stack.enter_context(translation.override(call.language))
        if call.time_zone:
            stack.enter_context(timezone.override(zones.zone_of(call.time_zone)))
        yield


def keep_house(stop: threading.Event) -> None:
    """Sweep at once and every ``SWEEP_SECONDS``, prune every ``PRUNE_SECONDS`` (0 = never), until ``stop`` is set."""
    pruned = time.monotonic()
    while True:
        try:
            presence.announce()
            recovery.recover()
            turns.sweep()
            delivery.sweep()
            if conf.PRUNE_SECONDS and time.monotonic() - pruned >= conf.PRUNE_SECONDS:
                pruned = time.monotonic()
                retention.prune()
        except Exception:
            logger.exception("housekeeping failed; it is tried again")
            close_old_connections()  # a broken one stays broken: nobody else closes those of this thread
        if stop.wait(conf.SWEEP_SECONDS):
            return
