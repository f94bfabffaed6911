"""Runs captured calls: claim, rebuild, Django's own handler, record. Never raises, returns nothing.

A run takes place in a fresh context, as the owner, through the project's whole middleware chain. Views meet the task as
``request.async_task``; throttles, which fired at submit, do not fire again.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from django.core import signals
from django.core.handlers.base import BaseHandler
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse
from django.urls import set_script_prefix, set_urlconf
from django.utils import timezone, translation

from . import admission, bodies, capture, http, identity, lifecycle, recovery, retention, turns
from .conf import conf
from .models import AsyncTask, Body
from .states import Reason

logger = logging.getLogger("django_asyncexchange")


class RunTimeout(SystemExit):
    """The run limit is over. A SystemExit, so that no ``except Exception`` in a view holds it up."""


class Handler(BaseHandler):
    """Django's handler, without a server around it."""

    def __call__(self, request: HttpRequest) -> Any:
        signals.request_started.send(sender=type(self), environ=request.META)
        set_script_prefix(request.META["SCRIPT_NAME"] or "/")
        set_urlconf(None)
        return self.get_response(request)

    def resolve_request(self, request: HttpRequest) -> Any:
        owner = getattr(request, "_force_auth_user", None)
        if owner is not None and not request.user.is_authenticated:  # RemoteUserMiddleware has missed its header
            identity.put_on(request, owner)
        match = super().resolve_request(request)
        admission.spare_throttles(match.func)
        return match


_handler: Handler | None = None


def handler() -> Handler:
    """This process's handler, its middleware loaded once."""
    global _handler
    if _handler is None:
        ready = Handler()
        ready.load_middleware()
        _handler = ready
    return _handler


def run(task_id: str) -> None:
    """Perform the task ``task_id``, if nobody has yet. This name is stored in queues: never move it."""
    try:
        task = lifecycle.claim(task_id)
        if task is not None:
            contextvars.Context().run(_perform, task)
    except Exception:
        logger.exception("task %s: the run could not be recorded", task_id)


def _perform(task: AsyncTask) -> None:
    limit = lifecycle.policy_of(task).run_limit.total_seconds()
    began = time.monotonic()
    try:
        with _time_limit(limit), _surroundings(task), _request(task) as request:
            if not lifecycle.is_mine(task):  # cancelled since, and its body erased: it was perhaps not read whole
                return
            answer = _answer(task, request)
            status, phrase, headers = answer.status_code, answer.reason_phrase, http.stored_headers(answer)
            try:
                draft = bodies.write(http.chunks_of(answer), limit=conf.MAX_RESULT_BYTES)
            finally:
                answer.close()
    except (bodies.TooLarge, bodies.StorageFailed):
        logger.exception("task %s: the answer could not be stored", task.pk)
        lifecycle.fail(task, Reason.STORAGE)
    except Exception:
        logger.exception("task %s: the run raised", task.pk)
        lifecycle.fail(task, Reason.EXCEPTION)
    except SystemExit:
        # RunTimeout of ours, the ceiling of whatever runs us, or a view that leaves: nobody knows how far it came.
        is_late = time.monotonic() - began >= limit
        logger.warning("task %s: interrupted, its run limit is %s s", task.pk, limit)
        connections.close_all()  # whatever it was waiting for
        lifecycle.fail(task, Reason.RUN_TIMEOUT if is_late else Reason.EXCEPTION)
    else:
        _finish(task, status=status, reason_phrase=phrase, headers=headers, draft=draft)


def _finish(task: AsyncTask, *, draft: bodies.Draft, **answer: Any) -> None:
    """Store the answer; one that the database does not take (too large a packet, say) still ends its task."""
    try:
        lifecycle.finish(task, draft=draft, **answer)
    except DatabaseError:
        logger.exception("task %s: the answer could not be stored", task.pk)
        connections.close_all()  # MySQL drops the connection after too large a packet
        bodies.discard(draft)
        lifecycle.fail(task, Reason.STORAGE)


def _request(task: AsyncTask) -> contextlib.AbstractContextManager[HttpRequest]:
    return capture.rebuilt(task.captured, bodies.stream(task.bodies.filter(kind=Body.REQUEST).first()))


def _answer(task: AsyncTask, request: HttpRequest) -> Any:
    """The response of the captured call, or a 401 where its owner may not act any more."""
    request.async_task = task.snapshot()  # type: ignore[attr-defined]
    try:
        identity.assume(request, lifecycle.identity_of(task))
    except identity.IdentityLost:
        return HttpResponse(status=401)
    return handler()(request)


@contextlib.contextmanager
def _surroundings(task: AsyncTask) -> Iterator[None]:
    """Language and time zone as at submit; both end with the run's context."""
    call = task.captured
    with contextlib.ExitStack() as stack:
        if call.language:
            stack.enter_context(translation.override(call.language))
        if call.time_zone:
            stack.enter_context(timezone.override(call.time_zone))
        yield


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise RunTimeout in the main thread after ``seconds``. Elsewhere there is nothing to interrupt with: no limit.

    A signal to the thread itself wakes what blocks (sleep, sockets, locks); SIGALRM is left to django-q2.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed, guard = [True], threading.Lock()

    def interrupt(*_: object) -> None:
        if armed[0]:
            raise RunTimeout

    def knock() -> None:
        with guard:  # not a moment too late: the signal's default action is to end the process
            if armed[0]:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, interrupt)
    timer = threading.Timer(seconds, knock)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        try:
            with guard:
                armed[0] = False
        finally:
            timer.cancel()
            signal.signal(signal.SIGUSR2, before)


def keep_house(stop: threading.Event) -> None:
    """Sweep every ``SWEEP_SECONDS`` and prune every ``PRUNE_SECONDS`` (0 = never) until ``stop`` is set."""
    pruned = time.monotonic()
    while not stop.wait(conf.SWEEP_SECONDS):
        try:
            recovery.recover()
            turns.sweep()
            if conf.PRUNE_SECONDS and time.monotonic() - pruned >= conf.PRUNE_SECONDS:
                pruned = time.monotonic()
                retention.prune()
        except Exception:
            logger.exception("housekeeping failed; it is tried again")
