"""Run captured calls: claim, rebuild, Django's own handler, record. Never raises, returns nothing.

A run has a fresh context, the owner as its user, and the project's whole middleware chain. Views have
``request.async_task``; throttles were applied at submit and are not applied again.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from .. import configuration, executors
from ..conf import conf
from ..identity import snapshot
from ..intake import capture
from ..protocol import time_zones
from ..protocol.states import Reason
from ..protocol.values import Request
from ..responses import cookies, http
from ..store import bodies, db_sessions
from ..store.transitions import Look
from ..store.values import Claim
from ..tasks import dispatch, failures, lifecycle, presence, pruning, recovery
from ..webhooks import delivery
from . import asgi, endings, handlers, run_request, watchdog
from .endings import DATABASE_WAIT, with_retries
from .watched_run import WatchedRun

logger = logging.getLogger("django_asyncexchange")

SLICE_SECONDS = 0.5
"""How long a worker goes on before other messages of its queue have their turn. Calls are not cut off."""

SAME_MOMENT = dt.timedelta(milliseconds=1)
"""Tasks may be dispatched at the same moment. SQLite compares text: ``.123`` is less than ``.123000``."""


class Slice:
    """The time for which a worker goes on with ready tasks, without a message for each.

    Within it only later tasks are looked for, so that PostgreSQL does not read the index entries of all claimed tasks
    again and again until it is vacuumed.
    """

    def __init__(self) -> None:
        goes_on = executors.load().needs_worker and not db_sessions.Sessions().in_transaction
        self._until = time.monotonic() + SLICE_SECONDS if goes_on else 0.0
        self._look = lifecycle.look()

    @property
    def look(self) -> Look | None:
        """The look for the next task; None when the slice is over."""
        return self._look if time.monotonic() < self._until else None

    def end(self) -> None:
        self._until = 0.0

    def claim_first(self) -> Claim | None:
        """Claim the next task, whatever the time. The slice ends if there is none."""
        claim = self.begun(with_retries(lifecycle.claim_next, self._look))
        if claim is None:
            self.end()
        return claim

    def claim_next(self) -> Claim | None:
        return None if self.look is None else self.claim_first()

    def finish(self, claim: Claim, **response: Any) -> Claim | None:
        """Store the response of ``claim``, and claim the next task in the same commit."""
        look = self.look
        ended = endings.finish(claim, **response, next_look=look)
        following = self.begun(ended.next) if ended else None
        if following is None and look is not None:
            return self.claim_first()  # nobody else was told of the task that this end has dispatched
        return following

    def begun(self, claim: Claim | None) -> Claim | None:
        """``claim``, which a look has found."""
        if claim is not None:
            self._look = dataclasses.replace(self._look, since=claim.task.sent - SAME_MOMENT)
        return claim


def run(task_id: str) -> None:
    """Run the task ``task_id``, if nobody has claimed it, and then ready tasks for ``SLICE_SECONDS``.

    Queues store the name of this function: never move it.
    """
    _run_calls(lambda slice: with_retries(lifecycle.claim, task_id), f"task {task_id}")


def run_ready() -> None:
    """Run ready tasks, until there are none or ``SLICE_SECONDS`` have passed."""
    _run_calls(Slice.claim_first, "ready tasks")


def _run_calls(claim_first: Callable[[Slice], Claim | None], what: str) -> None:
    try:
        configuration.require_usable()
    except ImproperlyConfigured as error:  # tasks stay PENDING
        logger.error("%s not run, invalid settings: %s", what, error)
        return
    claim: Claim | None = None
    try:
        if watchdog.is_worker():
            db_sessions.clean_up()
        slice = Slice()
        claim = claim_first(slice)
        while claim is not None:
            claim = contextvars.Context().run(_run_call, claim, slice) or slice.claim_next()
    except Exception as error:
        logger.exception("%s: outcome could not be recorded", f"task {claim.task.pk}" if claim else what)
        endings.end_unrecorded(claim, error)


def _run_call(claim: Claim, slice: Slice) -> Claim | None:
    """Run the call and store its response. Returns the next claim, if one was made in the same commit."""
    task = claim.task
    limit = conf.policy(task.dialect).run_limit.total_seconds()
    sessions, run = db_sessions.Sessions(), None
    try:
        call = task.captured
        with sessions, watchdog.watch(claim, limit) as run, _locale(call), _request(claim, call) as request:
            if claim.has_unread_body and not with_retries(lifecycle.is_current, claim):
                return None  # cancelled meanwhile and its body deleted: it may have been read incompletely
            with _answered(run, call, request) as (answer, chunks):
                status, phrase, headers = answer.status_code, answer.reason_phrase, http.stored_headers(answer, request)
                sealed = cookies.sealed(answer, request) if call.patience else ""
                if not answer.streaming:
                    sessions.clean_up()  # a streaming response may still use the view's connections
                draft = bodies.write(chunks, limit=conf.MAX_RESULT_BYTES, retry_for=DATABASE_WAIT)
    except (bodies.TooLarge, bodies.StorageFailed) as error:
        logger.exception("task %s: body could not be read or stored", task.pk)
        sessions.clean_up()
        endings.fail(claim, run, Reason.STORAGE, error)
    except Exception as error:
        logger.exception("task %s: exception in the run", task.pk)
        sessions.clean_up()
        endings.fail(claim, run, Reason.EXCEPTION, error)
    except BaseException as error:
        # Our interrupt, the executor's time limit, or the view: SystemExit, KeyboardInterrupt, asyncio.CancelledError.
        sessions.close()  # even if a query is running
        slice.end()  # a time limit of the executor strikes once
        endings.end_interrupted(claim, run, error)
    else:
        sessions.clean_up()
        response = {"status": status, "reason_phrase": phrase, "headers": headers, "draft": draft}
        response["cookies"] = sealed if _is_awaited(run, call) else ""
        return slice.finish(claim, **response, failure=failures.recorded(request), progress=run.progress)
    return None


def _is_awaited(run: WatchedRun, call: Request) -> bool:
    """Whether the connection of ``call`` is still held. Its hold has begun after the task was created."""
    task = run.claim.task
    return bool((task.started - task.created).total_seconds() + run.age < call.patience)


def _request(claim: Claim, call: Request) -> contextlib.AbstractContextManager[HttpRequest]:
    if claim.has_unread_body:
        return capture.rebuilt(call, bodies.stream(with_retries(bodies.request_body, claim.task.pk)))
    return capture.rebuilt(call, claim.body())


@contextlib.contextmanager
def _answered(run: WatchedRun, call: Request, request: HttpRequest) -> Iterator[tuple[Any, Iterable[bytes]]]:
    """Yield the response of the call and the chunks of its body; a 401 if the owner may no longer act."""
    request.async_task = run.context  # type: ignore[attr-defined]
    run_request.begin(request, snapshot.of(run.claim.task, call), with_retries)
    run.begin()
    with _response_of(run, call, request) as (response, chunks):
        if run_request.is_owner_lost(request):  # even if middleware has changed the response
            response, chunks = HttpResponse(status=401), []
        yield response, chunks


def _response_of(
    run: WatchedRun, call: Request, request: HttpRequest
) -> contextlib.AbstractContextManager[tuple[Any, Iterable[bytes]]]:
    if isinstance(request, ASGIRequest):
        return asgi.response_of(request, run, partial(_locale, call))
    return _by_wsgi(run, request)


@contextlib.contextmanager
def _by_wsgi(run: WatchedRun, request: HttpRequest) -> Iterator[tuple[Any, Iterable[bytes]]]:
    response = handlers.handler()(request)
    with contextlib.closing(response):
        yield response, run.counted(http.chunks_of(response), response)


@contextlib.contextmanager
def _locale(call: Request) -> Iterator[None]:
    """Activate the language and time zone of the submit; both end with the run's context."""
    with contextlib.ExitStack() as stack:
        if call.language:
            stack.enter_context(translation.override(call.language))
        if call.time_zone:
            stack.enter_context(timezone.override(time_zones.zone_of(call.time_zone)))
        yield


def run_maintenance(stop: threading.Event) -> None:
    """Sweep at once and every ``SWEEP_SECONDS``, prune every ``PRUNE_SECONDS`` (0 = never), until ``stop`` is set."""
    pruned = time.monotonic()
    while True:
        try:
            presence.record_heartbeat()
            recovery.recover()
            dispatch.sweep()
            delivery.sweep()
            if conf.PRUNE_SECONDS and time.monotonic() - pruned >= conf.PRUNE_SECONDS:
                pruned = time.monotonic()
                pruning.prune()
        except Exception:
            logger.exception("maintenance failed; it is retried")
            db_sessions.close_all()  # nothing else closes broken connections of this thread
        if stop.wait(conf.SWEEP_SECONDS):
            return
