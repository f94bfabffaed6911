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
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from . import exceptions
from .values import Call, Event, Lost, Options, Progress, Read, Reply, Send, Step, Submit, Wait

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
PUBLIC = {"accept", "accept-encoding", "accept-language", "user-agent"}
"""What another origin may see of the caller's headers."""
OF_THE_CALL = {"host", "prefer", "idempotency-key", "transfer-encoding", "range", "expect"}
BUSY = {429, 503}
GATEWAY = {502, 504}
LONGEST_PAUSE = 60.0
SMALL = 1024 * 1024
"""Bytes of a result that are read before it is returned, if it could not be continued after a broken connection."""
STRONG = re.compile(r'"[^"]*"')

Steps = Generator[Step, Event, Reply]


class Exchange:
    """One call. A front end does what ``steps`` yields and sends what came; the last response is the call's."""

    def __init__(self, call: Call, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.call = call
        self.options = options
        self.clock = clock
        self.deadline = None if options.timeout is None else clock() + options.timeout
        self.status_url = ""
        self.result_url = ""
        self.lost = 0
        """Connection errors in a row."""

    def steps(self) -> Steps:
        """Raise what ``exceptions`` has, or the connection's own error if the call could not be submitted."""
        headers = self._added()
        # A key that only was added does not count: a view that may not be called asynchronously would not know it.
        has_key = "idempotency-key" in {name.lower() for name in self.call.headers}
        may_repeat = self.call.is_repeatable and (self.call.method.upper() in SAFE or has_key)
        reply = yield from self.sent(Submit(headers), may_repeat)
        if not is_accepted(reply):
            return reply
        self.status_url = urljoin(self.call.url, reply.headers["location"])
        while reply.status == 202:
            self.lost = 0
            yield from self._pause(reply)
            reply = yield from self.sent(self._poll(), True)
        if reply.status == 303 and "location" in reply.headers:
            self.lost = 0
            self.result_url = urljoin(self.status_url, reply.headers["location"])
            reply = yield from self._result()
            if "asyncresult" in reply.headers:
                return reply
        raise (yield from self.failure(reply.status))

    def after(self, error: Exception) -> Generator[Step, Event, None]:
        """Count ``error`` as a connection error; wait, or raise if that were too many in a row."""
        self.lost += 1
        if self.lost > self.options.retries:
            raise self._unreachable(error) from error
        pause = backoff(self.lost)
        if not self.status_url and not self._has_time(pause):
            raise error
        self._check_time(pause)
        yield Wait(pause)

    def cancellation(self) -> Send | None:
        """The request that cancels the task; None if there is no task, it is to go on, or it has finished.

        Then the same request would delete the result.
        """
        if not self.status_url or self.result_url or not self.options.cancel_on_interrupt:
            return None
        return Send("DELETE", self.status_url, self.headers_for(self.status_url))

    def _added(self) -> dict[str, str]:
        given = {name.lower(): text for name, text in self.call.headers.items()}
        added = {}
        if self.options.respond_async and "respond-async" not in given.get("prefer", "").lower():
            added["Prefer"] = ", ".join(filter(None, [given.get("prefer"), "respond-async"]))
        if self.options.idempotency_key and self.call.method.upper() not in SAFE and "idempotency-key" not in given:
            added["Idempotency-Key"] = str(uuid.uuid4())
        return added

    def headers_for(self, url: str) -> dict[str, str]:
        """The caller's headers for a request to ``url``: another origin gets no credentials."""
        is_ours = origin(url) == origin(self.call.url)

        def is_kept(name: str) -> bool:
            return name in PUBLIC or (is_ours and name not in OF_THE_CALL and not name.startswith(("content-", "if-")))

        return {name: text for name, text in self.call.headers.items() if is_kept(name.lower())}

    def _poll(self) -> Send:
        wait = self.options.wait
        if self.deadline is not None:
            wait = max(0, min(wait, int(self.deadline - self.clock())))
        headers = self.headers_for(self.status_url)
        # A page is sent to those who prefer HTML; the document is for programs.
        headers = {name: text for name, text in headers.items() if name.lower() != "accept"}
        return Send("GET", self.status_url, headers | {"Accept": "application/json", "Prefer": f"wait={wait}"}, wait)

    def sent(self, step: Submit | Send, may_repeat: bool) -> Steps:
        """The reply to ``step``, which is repeated after connection errors and while the server is busy."""
        while True:
            if self.status_url:
                self._check_time(0)
            event = yield step
            if isinstance(event, Lost):
                if not may_repeat:
                    raise self._unreachable(event.error) from event.error
                yield from self.after(event.error)
                continue
            assert event is not None
            pause = self._pause_if_busy(event) if may_repeat and "asyncresult" not in event.headers else 0
            if not pause:
                return event
            yield Wait(pause)

    def _pause_if_busy(self, reply: Reply) -> float:
        """The seconds after which to ask again, 0 where ``reply`` stands."""
        pause = retry_after(reply) if reply.status in BUSY else 0
        if pause:
            self.lost = 0
            if self.status_url:
                self._check_time(pause)
            return jittered(pause) if self._has_time(pause) else 0
        # Gateways say so while the server restarts. The call itself may have reached it.
        if not self.status_url or reply.status not in BUSY | GATEWAY or self.lost >= self.options.retries:
            return 0
        self.lost += 1
        pause = backoff(self.lost)
        self._check_time(pause)
        return pause

    def _result(self) -> Steps:
        """The result; a small one that could not be continued is read, and requested again if that fails."""
        while True:
            reply = yield from self.sent(Send("GET", self.result_url, self.headers_for(self.result_url)), True)
            length = reply.headers.get("content-length", "")
            is_small = length.isascii() and length.isdigit() and int(length) <= SMALL
            if "asyncresult" not in reply.headers or is_resumable(reply) or not is_small:
                return reply
            event = yield Read()
            if not isinstance(event, Lost):
                return reply
            yield from self.after(event.error)

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

    def failure(self, status: int) -> Generator[Step, Event, exceptions.AsyncExchangeError]:
        """What the last response means, which is of this status and no result."""
        problem = yield from self._document()
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
    429: exceptions.ServerUnreachable,
    502: exceptions.ServerUnreachable,
    503: exceptions.ServerUnreachable,
    504: exceptions.ServerUnreachable,
}


def is_resumable(result: Reply) -> bool:
    """Whether parts of ``result`` may be combined, which needs a strong validator (RFC 9110 section 13.1.5)."""
    has_strong_etag = STRONG.fullmatch(result.headers.get("etag", "")) is not None
    return result.status == 200 and (has_strong_etag or is_compressed(result))


def is_compressed(result: Reply) -> bool:
    """Whether ``result`` was compressed on its way, by this app's server or one that weakens ETags likewise."""
    etag, headers = result.headers.get("etag", ""), result.headers
    is_weakened = etag.startswith("W/") and STRONG.fullmatch(etag.removeprefix("W/")) is not None
    has_body = headers.get("content-length") != "0"  # the result of HEAD has none
    return is_weakened and has_body and "asyncresult" in headers and headers.get("content-encoding") == "gzip"


def is_accepted(reply: Reply) -> bool:
    """Whether this is the 202 of a task; a view's own 202 is not."""
    is_ours = "respond-async" in reply.headers.get("preference-applied", "") or "operation-location" in reply.headers
    return reply.status == 202 and is_ours and "location" in reply.headers


def origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def retry_after(reply: Reply) -> float:
    """The seconds in ``Retry-After``, which may also be a date (RFC 9110 section 10.2.3); 0 where there are none."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, date.timestamp() - time.time()) if date.tzinfo else 0.0


def backoff(lost: int) -> float:
    """The seconds to wait after so many connection errors in a row."""
    return jittered(min(0.25 * 2**lost, LONGEST_PAUSE))


def jittered(seconds: float) -> float:
    """Up to a fifth longer, so that clients that were refused together do not return together."""
    return seconds * random.uniform(1, 1.2)


def progress(document: Mapping[str, Any]) -> Progress:
    reported = document.get("progress")
    reported = reported if isinstance(reported, dict) else {}
    members = {name: reported.get(name) for name in ("done", "total", "message")}
    return Progress(state=str(document.get("state") or ""), eta=document.get("eta"), **members)
