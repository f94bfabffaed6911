"""The stream of a task's events (Server-Sent Events, WHATWG HTML section 9.2).

Under ASGI a stream is an asynchronous generator. Under WSGI it occupies a thread of the server, so ``WSGI_EVENTS`` has
to allow it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .. import exceptions
from ..dialects.base import NO_STORE, Dialect
from ..models import AsyncTask
from ..protocol import server_events
from ..protocol.states import State
from ..protocol.values import Context
from ..responses import event_stream, raw
from ..store import db_retry
from ..tasks import changes, estimates

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent."""
LONGEST = 600.0
"""Seconds after which a stream ends. Its client reconnects, and its permissions are checked again."""
RETRY = 1000
"""Milliseconds after which a client reconnects."""


def respond(request: HttpRequest, dialect: Dialect, context: Context, task: AsyncTask) -> HttpResponseBase:
    """The stream of ``task``; 204, which ends ``EventSource``, for a client that has seen its end.

    Raises EventsUnavailable where this server streams none.
    """
    if not context.has_events:
        status = dialect.url_of("status", task.snapshot(), context.base)
        raise exceptions.EventsUnavailable(headers=(("Link", f'<{status}>; rel="alternate"'),))
    stream = Stream(dialect, context, task, request.META.get("HTTP_LAST_EVENT_ID", ""))
    first = stream.news()
    if stream.is_over and not first:
        return raw.bare(204, NO_STORE)
    if request.method == "HEAD":
        return raw.bare(200, event_stream.HEADERS)
    is_async = isinstance(request, ASGIRequest)
    return event_stream.EventStreamResponse(stream.achunks(first) if is_async else stream.chunks(first))


class Stream:
    """The stream of one client: what it has seen of its task."""

    def __init__(self, dialect: Dialect, context: Context, task: AsyncTask, seen: str) -> None:
        self._dialect, self._context, self._seen = dialect, context, seen
        self._task: AsyncTask | None = task
        self._ends = time.monotonic() + LONGEST

    @property
    def is_over(self) -> bool:
        """Whether there will be no more events: the task is finished or deleted."""
        return self._task is None or State(self._task.state).is_final

    def news(self) -> bytes:
        """What the client has not seen. Reads the database, for an estimate."""
        if self._task is None:
            return b""
        context = dataclasses.replace(self._context, now=self._task.now, estimate=estimates.of(self._task))
        events = self._dialect.events(self._task.snapshot(), context, self._seen)
        if events:
            self._seen = events[-1].id
        return server_events.encode(events)

    def chunks(self, first: bytes) -> Iterator[bytes]:
        yield server_events.retry(RETRY) + first
        while (task := self._waiting_for()) is not None:
            try:
                self._task = changes.until_changed(task, HEARTBEAT)
            except db_retry.UNAVAILABLE:
                time.sleep(HEARTBEAT)
            yield self.news() or server_events.COMMENT

    async def achunks(self, first: bytes) -> AsyncIterator[bytes]:
        yield server_events.retry(RETRY) + first
        while (task := self._waiting_for()) is not None:
            try:
                self._task = await changes.auntil_changed(task, HEARTBEAT)
            except db_retry.UNAVAILABLE:
                await asyncio.sleep(HEARTBEAT)
            yield await sync_to_async(self.news)() or server_events.COMMENT

    def _waiting_for(self) -> AsyncTask | None:
        """The task, while changes of it are awaited."""
        return None if self.is_over or time.monotonic() >= self._ends else self._task
