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
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from .. import configuration
from ..conf import conf
from ..identity import snapshot
from ..intake import capture
from ..protocol import time_zones
from ..protocol.states import Reason
from ..protocol.values import Request
from ..responses import http
from ..store import bodies, db_sessions
from ..store.values import Claim
from ..tasks import dispatch, failures, lifecycle, presence, pruning, recovery
from ..webhooks import delivery
from . import asgi, endings, handlers, run_request, watchdog
from .endings import FINISHING
from .endings import patiently as _patiently
from .watched_run import WatchedRun

logger = logging.getLogger("django_asyncexchange")


def run(task_id: str) -> None:
    """Perform the task ``task_id``, if nobody has yet, and then what waits for its end, as long as that is a matter of
    moments. This name is stored in queues: never move it.
    """
    try:
        configuration.require_usable()
    except ImproperlyConfigured as error:  # it is sent again until somebody has mended them: no answer is lost
        logger.error("task %s is not run with these settings: %s", task_id, error)
        return
    until = time.monotonic() + dispatch.SLICE
    claim: Claim | None = None
    try:
        if watchdog.is_worker():
            db_sessions.settle()
        claim = _patiently(lifecycle.claim, task_id)
        while claim is not None:
            claim = contextvars.Context().run(_perform, claim, until)
    except Exception as error:
        logger.exception("task %s: the run could not be recorded", claim.task.pk if claim else task_id)
        endings.unrecorded(claim, error)


def _perform(claim: Claim, until: float) -> Claim | None:
    """Run the call and store its response. Returns the next call, if that was claimed in the same commit."""
    task = claim.task
    limit = conf.policy(task.dialect).run_limit.total_seconds()
    sessions, run = db_sessions.Sessions(), None
    try:
        call = task.captured
        with sessions, watchdog.watch(claim, limit) as run, _surroundings(call), _request(claim, call) as request:
            if claim.has_body_elsewhere and not _patiently(lifecycle.is_current, claim):
                return None  # cancelled since, and its body deleted: perhaps it was not read whole
            with _answered(run, call, request) as (answer, chunks):
                status, phrase, headers = answer.status_code, answer.reason_phrase, http.stored_headers(answer, request)
                if not answer.streaming:
                    sessions.settle()  # a stream may need until its end what its view has opened
                draft = bodies.write(chunks, limit=conf.MAX_RESULT_BYTES, patience=FINISHING)
    except (bodies.TooLarge, bodies.StorageFailed) as error:
        logger.exception("task %s: a body could not be read or stored", task.pk)
        sessions.settle()
        endings.failed(claim, run, Reason.STORAGE, error)
    except Exception as error:
        logger.exception("task %s: the run raised", task.pk)
        sessions.settle()
        endings.failed(claim, run, Reason.EXCEPTION, error)
    except BaseException as error:
        # Ours, the ceiling's, or a view's: SystemExit, KeyboardInterrupt, asyncio.CancelledError.
        sessions.close()  # whatever it was waiting for
        endings.interrupted(claim, run, error)
    else:
        sessions.settle()
        goes_on = not sessions.used and time.monotonic() < until
        said = {"status": status, "reason_phrase": phrase, "headers": headers, "failure": failures.of(request)}
        ended = endings.answered(claim, **said, draft=draft, progress=run.progress, claims_next=goes_on)
        return ended.next if ended else None
    return None


def _request(claim: Claim, call: Request) -> contextlib.AbstractContextManager[HttpRequest]:
    if claim.has_body_elsewhere:
        return capture.rebuilt(call, bodies.stream(_patiently(bodies.request_of, claim.task.pk)))
    return capture.rebuilt(call, claim.body())


@contextlib.contextmanager
def _answered(run: WatchedRun, call: Request, request: HttpRequest) -> Iterator[tuple[Any, Iterable[bytes]]]:
    """The response of the captured call, or a 401 where its owner may not act any more; and its body, as produced."""
    request.async_task = run.context  # type: ignore[attr-defined]
    run_request.begin(request, snapshot.of(run.claim.task, call), _patiently)
    run.begin()
    with _performed(run, call, request) as (response, chunks):
        if run_request.is_owner_lost(request):  # whatever a middleware has made of it
            response, chunks = HttpResponse(status=401), []
        yield response, chunks


def _performed(
    run: WatchedRun, call: Request, request: HttpRequest
) -> contextlib.AbstractContextManager[tuple[Any, Iterable[bytes]]]:
    if isinstance(request, ASGIRequest):
        return asgi.response_of(request, run, partial(_surroundings, call))
    return _by_wsgi(run, request)


@contextlib.contextmanager
def _by_wsgi(run: WatchedRun, request: HttpRequest) -> Iterator[tuple[Any, Iterable[bytes]]]:
    response = handlers.handler()(request)
    with contextlib.closing(response):
        yield response, run.counted(http.chunks_of(response), response)


@contextlib.contextmanager
def _surroundings(call: Request) -> Iterator[None]:
    """Language and time zone as at submit; both end with the run's context."""
    with contextlib.ExitStack() as stack:
        if call.language:
            stack.enter_context(translation.override(call.language))
        if call.time_zone:
            stack.enter_context(timezone.override(time_zones.zone_of(call.time_zone)))
        yield


def keep_house(stop: threading.Event) -> None:
    """Sweep at once and every ``SWEEP_SECONDS``, prune every ``PRUNE_SECONDS`` (0 = never), until ``stop`` is set."""
    pruned = time.monotonic()
    while True:
        try:
            presence.announce()
            recovery.recover()
            dispatch.sweep()
            delivery.sweep()
            if conf.PRUNE_SECONDS and time.monotonic() - pruned >= conf.PRUNE_SECONDS:
                pruned = time.monotonic()
                pruning.prune()
        except Exception:
            logger.exception("housekeeping failed; it is tried again")
            db_sessions.close_all()  # a broken one stays broken: nobody else closes those of this thread
        if stop.wait(conf.SWEEP_SECONDS):
            return
