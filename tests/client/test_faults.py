"""A connection that breaks, or a server that is busy, at each step of a call: no unsafe call is doubled."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from django_asyncexchange.client.exceptions import AsyncExchangeError, CredentialsRejected, ResultGone
from django_asyncexchange.client.values import Options
from django_asyncexchange.models import AsyncTask

from .callers import NOT_SUBMITTED, every_client, once
from .proxy import MOMENTS, POLL, RESULT, SUBMIT, Fault
from .site import body, runs

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.client.site"),
    pytest.mark.product("call", "kind", "step", "what", "end"),
]

SAFE, UNSAFE, KEYED = "safe", "unsafe", "unsafe with a key"
KINDS = {SAFE: ("GET", {}), UNSAFE: ("POST", {}), KEYED: ("POST", {"Idempotency-Key": "order-4711"})}
SIZE = 200_000
CLEAR = MOMENTS[2:]
"""The client knows that the call was accepted."""


@every_client
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [SUBMIT, POLL, RESULT])
@pytest.mark.parametrize("what", [*MOMENTS, 429, 503])
def test_fault_at_a_step(line, cookie, name, call, kind, step, what):
    line.faults = [Fault(step, what)]
    method, headers = KINDS[kind]
    try:
        status, _, got = call(method, f"{line.url}/works/{name}/200/{SIZE}/", cookie | headers, Options())
    except (*NOT_SUBMITTED, AsyncExchangeError) as error:
        status, got = type(error).__name__, None
    if kind == UNSAFE and step == SUBMIT and what not in CLEAR:
        assert status == what if isinstance(what, int) else got is None
        assert runs(name) == (what == MOMENTS[1]) and line.steps() == [SUBMIT]
    else:
        assert (status, got) == (200, body(SIZE))
        assert runs(name) == 1 or (kind == SAFE and step == SUBMIT)


@every_client
@pytest.mark.parametrize("kind", [UNSAFE, KEYED])
@pytest.mark.parametrize("step", [POLL, RESULT])
@pytest.mark.parametrize("what", MOMENTS[:2])
def test_server_that_stays_away_is_one_exception_and_no_second_run(line, cookie, name, call, kind, step, what):
    line.faults = [Fault(step, what, times=100)]
    method, headers = KINDS[kind]
    with pytest.raises(AsyncExchangeError) as raised:
        call(method, f"{line.url}/works/{name}/200/{SIZE}/", cookie | headers, Options(retries=2))
    assert (type(raised.value).__name__, line.steps().count(step), runs(name)) == ("ServerUnreachable", 3, 1)


@every_client
@pytest.mark.parametrize("kind", [UNSAFE, KEYED])
@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda: Session.objects.all().delete(), CredentialsRejected),
        (lambda: AsyncTask.objects.all().delete(), ResultGone),
        (lambda: AsyncTask.objects.update(deletion_date=timezone.now()), ResultGone),
    ],
    ids=["session expired", "task deleted", "result expired"],
)
def test_what_is_lost_while_it_polls_is_one_exception(line, cookie, name, call, kind, end, error):
    method, headers = KINDS[kind]
    with pytest.raises(error) as raised:
        call(
            method, f"{line.url}/works/{name}/200/{SIZE}/", cookie | headers, Options(on_progress=once("PENDING", end))
        )
    assert (runs(name), line.steps().count(SUBMIT)) == (1, 1)
    assert "/async/tasks/" in raised.value.status_url
