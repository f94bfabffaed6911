"""From a call to its final response, without any IO: which step is next, given what the last one brought.

The protocol is that of the ``prefer`` dialect: 202 with ``Location``, polls, 303 to the result (RFC 7240, RFC 9110).
"""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from . import exceptions
from .values import Call, Event, Lost, Options, Progress, Read, Reply, Send, Step, Submit, Wait

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
PUBLIC = {"accept", "accept-encoding", "accept-language", "user-agent"}
"""What another origin may see of the caller's headers."""
OF_THE_CALL = {"host", "prefer", "idempotency-key", "transfer-encoding", "range", "expect"}
BUSY = {429, 503}
LONGEST_PAUSE = 60.0

Steps = Generator[Step, Event, Reply]


class Exchange:
    """One call. A front end does what ``steps`` yields and sends what came; the last response is the call's."""

    def __init__(self, call: Call, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.call = call
        self.options = options
        self.clock = clock
        self.deadline = None if options.timeout is None else clock() + options.timeout
        self.status_url = ""

    def steps(self) -> Steps:
        """Raise what ``exceptions`` has, or the connection's own error if the call could not be submitted."""
        headers = self._added()
        # A key that only was added does not count: a view that may not be called asynchronously would not know it.
        has_key = "idempotency-key" in {name.lower() for name in self.call.headers}
        may_repeat = self.call.is_repeatable and (self.call.method.upper() in SAFE or has_key)
        reply = yield from self._sent(Submit(headers), may_repeat)
        if not is_accepted(reply):
            return reply
        self.status_url = urljoin(self.call.url, reply.headers["location"])
        while reply.status == 202:
            yield from self._pause(reply)
            reply = yield from self._sent(self._poll(), True)
        if reply.status == 303 and "location" in reply.headers:
            result = urljoin(self.status_url, reply.headers["location"])
            reply = yield from self._sent(Send("GET", result, self._headers(result)), True)
            if "asyncresult" in reply.headers:
                return reply
        raise self._failure((yield from self._document()), reply.status)

    def cancellation(self) -> Send | None:
        """The request that cancels the task; None if there is no task, or it is to go on."""
        if not self.status_url or not self.options.cancel_on_interrupt:
            return None
        return Send("DELETE", self.status_url, self._headers(self.status_url))

    def _added(self) -> dict[str, str]:
        given = {name.lower(): text for name, text in self.call.headers.items()}
        added = {}
        if self.options.respond_async and "respond-async" not in given.get("prefer", "").lower():
            added["Prefer"] = ", ".join(filter(None, [given.get("prefer"), "respond-async"]))
        if self.options.idempotency_key and self.call.method.upper() not in SAFE and "idempotency-key" not in given:
            added["Idempotency-Key"] = str(uuid.uuid4())
        return added

    def _headers(self, url: str) -> dict[str, str]:
        """The caller's headers for a request to ``url``: another origin gets no credentials."""
        is_ours = origin(url) == origin(self.call.url)

        def is_kept(name: str) -> bool:
            return name in PUBLIC or (is_ours and name not in OF_THE_CALL and not name.startswith(("content-", "if-")))

        return {name: text for name, text in self.call.headers.items() if is_kept(name.lower())}

    def _poll(self) -> Send:
        wait = self.options.wait
        if self.deadline is not None:
            wait = max(0, min(wait, int(self.deadline - self.clock())))
        headers = self._headers(self.status_url)
        # A page is sent to those who prefer HTML; the document is for programs.
        headers = {name: text for name, text in headers.items() if name.lower() != "accept"}
        return Send("GET", self.status_url, headers | {"Accept": "application/json", "Prefer": f"wait={wait}"}, wait)

    def _sent(self, step: Submit | Send, may_repeat: bool) -> Steps:
        """The reply to ``step``, which is repeated after connection errors and while the server is busy."""
        lost = 0
        while True:
            if self.status_url:
                self._check_time(0)
            event = yield step
            if isinstance(event, Lost):
                lost += 1
                if not may_repeat or lost > self.options.retries:
                    raise self._unreachable(event.error) from event.error
                pause = jittered(min(0.25 * 2**lost, LONGEST_PAUSE))
            else:
                assert event is not None
                pause = retry_after(event) if event.status in BUSY and may_repeat else 0
                if not pause or "asyncresult" in event.headers or not self._has_time(pause):
                    return event
                lost = 0
            if not self.status_url and not self._has_time(pause):
                assert isinstance(event, Lost)
                raise event.error
            self._check_time(pause)
            yield Wait(pause)

    def _pause(self, reply: Reply) -> Generator[Step, Event, None]:
        """Report progress; then wait, unless the poll was held or has not been tried yet."""
        document = yield from self._document()
        if self.options.on_progress:
            self.options.on_progress(progress(document))
        applied = reply.headers.get("preference-applied", "")
        if "respond-async" not in applied and not re.search(r"wait=[1-9]", applied):
            pause = jittered(retry_after(reply) or 1)
            if self.deadline is not None:
                pause = min(pause, max(0, self.deadline - self.clock()))
            yield Wait(pause)

    def _document(self) -> Generator[Step, Event, dict[str, Any]]:
        """The JSON object in the last response; empty where there is none."""
        event = yield Read()
        try:
            document = json.loads(event.body) if isinstance(event, Reply) else {}
        except ValueError:
            document = {}
        return document if isinstance(document, dict) else {}

    def _has_time(self, pause: float) -> bool:
        return self.deadline is None or self.clock() + pause < self.deadline

    def _check_time(self, pause: float) -> None:
        if not self._has_time(pause):
            raise exceptions.TaskTimeout("The task has not finished in time.", self.status_url)

    def _unreachable(self, error: Exception) -> Exception:
        if not self.status_url:
            return error
        return exceptions.ServerUnreachable("The server cannot be reached.", self.status_url)

    def _failure(self, problem: Mapping[str, Any], status: int) -> exceptions.AsyncExchangeError:
        code = str(problem.get("code") or "")
        kind = FAILURES.get(code) or BY_STATUS.get(status) or exceptions.UnexpectedResponse
        detail = str(problem.get("detail") or f"The server responded with {status}.")
        return kind(detail, self.status_url, status, code)


FAILURES = {"failed": exceptions.TaskFailed, "cancelled": exceptions.TaskCancelled, "expired": exceptions.ResultGone}
BY_STATUS = {
    401: exceptions.CredentialsRejected,
    403: exceptions.CredentialsRejected,
    404: exceptions.ResultGone,
    410: exceptions.ResultGone,
    429: exceptions.TaskTimeout,
    503: exceptions.TaskTimeout,
}
"""The server is busy for longer than there is time: the last two."""


def is_accepted(reply: Reply) -> bool:
    """Whether this is the 202 of a task; a view's own 202 is not."""
    is_ours = "respond-async" in reply.headers.get("preference-applied", "") or "operation-location" in reply.headers
    return reply.status == 202 and is_ours and "location" in reply.headers


def origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def retry_after(reply: Reply) -> float:
    """``Retry-After`` in seconds, 0 where it is absent or a date."""
    text = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() else 0.0


def jittered(seconds: float) -> float:
    """Up to a fifth longer, so that clients that were refused together do not return together."""
    return seconds * random.uniform(1, 1.2)


def progress(document: Mapping[str, Any]) -> Progress:
    reported = document.get("progress")
    reported = reported if isinstance(reported, dict) else {}
    members = {name: reported.get(name) for name in ("done", "total", "message")}
    return Progress(state=str(document.get("state") or ""), eta=document.get("eta"), **members)
