"""Which step is next: the exchange without any IO."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from django_asyncexchange.client import exceptions
from django_asyncexchange.client.exchange import Exchange
from django_asyncexchange.client.values import Call, Lost, Options, Progress, Read, Reply, Send, Submit, Wait

URL = "https://example.org/report"
STATUS = "https://example.org/async/tasks/1"
ACCEPTED = Reply(202, {"location": "/async/tasks/1", "preference-applied": "respond-async"})
UNFINISHED = Reply(202, {"location": "/async/tasks/1", "retry-after": "7"})
BUSY = Reply(503, {"retry-after": "3"})
LOST = Lost(ConnectionError("cut"))


KEY = {"Idempotency-Key": "one"}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def played(*events, method="POST", headers=(), clock=None, **options):
    """The steps until the events are used up, or the call ends; ``Wait`` passes the time, ``Read`` reads nothing."""
    clock, left, last, done = clock or Clock(), list(events), None, []
    steps = Exchange(Call(method, URL, dict(headers)), Options(**options), clock).steps()
    step = next(steps)
    while True:
        done.append(step)
        if isinstance(step, Submit | Send):
            if not left:
                return done
            last = left.pop(0)
        elif isinstance(step, Wait):
            clock.now += step.seconds
        try:
            step = steps.send(None if isinstance(step, Wait) else last)
        except StopIteration as end:
            return [*done, end.value]


def test_unsafe_call_gets_a_preference_and_a_key():
    [submit] = played()
    assert submit.headers["Prefer"] == "respond-async" and len(submit.headers["Idempotency-Key"]) == 36


def test_own_key_and_preference_are_kept():
    [submit] = played(headers={"idempotency-key": "mine", "prefer": "return=minimal"})
    assert submit.headers == {"Prefer": "return=minimal, respond-async"}


def test_202_of_a_view_is_the_response():
    own = Reply(202, {"location": "/elsewhere"})
    assert played(own)[-1] is own


def test_first_poll_is_held_and_the_next_follows_retry_after():
    steps = played(ACCEPTED, UNFINISHED)
    assert [type(step) for step in steps] == [Submit, Read, Send, Read, Wait, Send]
    assert steps[2].headers["Prefer"] == "wait=20" and 7 <= steps[4].seconds <= 8.4


def test_poll_that_was_held_is_followed_by_the_next_at_once():
    held = Reply(202, {"preference-applied": "wait=20", "retry-after": "7"})
    assert not any(isinstance(step, Wait) for step in played(ACCEPTED, held))


def test_unsafe_call_without_a_key_of_the_caller_is_not_repeated():
    """A view that may not be called asynchronously knows nothing of a key that was added."""
    with pytest.raises(ConnectionError):
        played(LOST)


def test_unsafe_call_is_repeated_with_the_key_of_the_caller():
    first, _, second = played(LOST, headers=KEY)
    assert first == second


def test_safe_call_is_repeated():
    first, _, second = played(LOST, method="GET")
    assert first == second


def test_busy_server_is_waited_for():
    steps = played(BUSY, ACCEPTED, BUSY, headers=KEY)
    assert [type(step) for step in steps] == [Submit, Wait, Submit, Read, Send, Wait, Send]


def test_busy_response_to_an_unsafe_call_without_a_key_of_the_caller_is_the_response():
    assert played(BUSY)[-1] is BUSY


def test_timeout_names_the_status_url():
    with pytest.raises(exceptions.TaskTimeout) as raised:
        played(ACCEPTED, UNFINISHED, UNFINISHED, timeout=7)
    assert raised.value.status_url == STATUS


def test_server_that_stays_away_is_unreachable():
    with pytest.raises(exceptions.ServerUnreachable):
        played(ACCEPTED, LOST, LOST, LOST, retries=2)


def test_finished_task_is_not_cancelled():
    """The request would delete its result."""
    exchange = Exchange(Call("POST", URL, {}), Options())
    steps = exchange.steps()
    for event in (None, ACCEPTED, ACCEPTED):
        steps.send(event)
    assert exchange.cancellation() == Send("DELETE", STATUS, {})
    steps.send(Reply(303, {"location": f"{STATUS}/result"}))
    assert exchange.cancellation() is None


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_without_a_server_is_asked_again(status):
    away = Reply(status, {})
    steps = played(ACCEPTED, away, away)
    assert [type(step) for step in steps[-4:]] == [Wait, Send, Wait, Send]


def test_gateway_that_stays_without_a_server_is_unreachable():
    away = Reply(502, {})
    with pytest.raises(exceptions.ServerUnreachable):
        played(ACCEPTED, away, away, away, retries=2)


def test_gateway_without_a_server_may_have_passed_the_call_on():
    away = Reply(502, {})
    assert played(away, method="GET")[-1] is away


def test_busy_server_may_name_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    [_, pause, _] = played(Reply(503, {"retry-after": date}), method="GET")
    assert 80 < pause.seconds < 120


@pytest.mark.parametrize("text", ["soon", "Tue, 31 Feb 2026 12:00:00 GMT", "-1", ""])
def test_retry_after_that_is_neither_is_ignored(text):
    busy = Reply(503, {"retry-after": text})
    assert played(busy, method="GET")[-1] is busy


def test_server_that_is_busy_for_longer_than_there_is_time_is_a_timeout():
    with pytest.raises(exceptions.TaskTimeout):
        played(ACCEPTED, Reply(429, {"retry-after": "3600"}), timeout=60)


def test_credentials_stay_at_their_origin():
    headers = {"Authorization": "secret", "X-Api-Key": "secret", "User-Agent": "me"}
    away = Reply(303, {"location": "https://elsewhere.example/result"})
    _, _, poll, result = played(ACCEPTED, away, headers=headers)
    assert poll.headers["Authorization"] == poll.headers["X-Api-Key"] == "secret"
    assert result.headers == {"User-Agent": "me"}


def test_unknown_response_is_unexpected():
    with pytest.raises(exceptions.UnexpectedResponse):
        played(ACCEPTED, Reply(418, {}))


def test_progress_is_reported():
    body = (
        b'{"state": "PROCESSING", "progress": {"done": 1, "total": 2, "message": "m"}, "eta": "2026-12-24T12:00:00Z"}'
    )
    seen = []
    played(Reply(202, ACCEPTED.headers, body), on_progress=seen.append)
    assert seen == [Progress("PROCESSING", 1, 2, "m", "2026-12-24T12:00:00Z")]


def test_client_imports_no_django():
    code = "import sys, django_asyncexchange.client.httpx_transport, django_asyncexchange.client.requests_adapter\n"
    assert (
        subprocess.run([sys.executable, "-c", code + "sys.exit('django' in sys.modules)"], check=False).returncode == 0
    )
