"""Cisco's dialect, table by table."""

from __future__ import annotations

import datetime as dt
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Trigger
from django_asyncexchange.dialects.cisco import MEDIA, Cisco, preferred
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import Context, Estimate, Replay, Response, Snapshot, header

from .contract import NOW, TASK_ID, DialectContract, call, context, document, snapshot
from .test_moysklad import russian

WRITES = ("POST", "PUT", "PATCH", "DELETE")
BASE = "https://pcce.example.com/unifiedconfig/config"
POLL = f"{BASE}/asyncrequeststatus/{TASK_ID}"
ANSWERED = (State.DONE, State.API_ERROR, State.ERROR)
UNFINISHED = ((State.PENDING, "IN_QUEUE"), (State.PROCESSING, "IN_PROGRESS"))
XML = "application/xml"


class TestCisco(DialectContract):
    cls = Cisco
    shared_words = frozenset({"COMPLETED"})


@pytest.fixture
def cisco() -> Cisco:
    return Cisco(name="cisco", prefix="/unifiedconfig/config")


def at(accept: str = "", **changes: Any) -> Context:
    return context(**({"base": BASE, "path": "/unifiedconfig/config", "accept": accept} | changes))


def lost(reason: Reason) -> Snapshot:
    return snapshot(State.ERROR, status_code=None, content=None, reason=reason)


def tree(response: Response | Replay, media: str = XML) -> ElementTree.Element:
    """The XML body of ``response``."""
    assert isinstance(response, Response)
    assert [text for name, text in response.headers if name == "Content-Type"] == [media]
    assert response.body.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n")
    return ElementTree.fromstring(response.body)


def error_of(response: Response) -> tuple[int, str]:
    """(status, errorType) of an error whose JSON format is complete."""
    [error] = document(response)["apiError"]
    assert list(error) == ["errorData", "errorMessage", "errorType"]
    assert error["errorMessage"]
    return response.status, error["errorType"]


# Submitting ----------------------------------------------------------------------------------------------------------


def test_trigger_is_in_the_query() -> None:
    assert Cisco.TRIGGER is Trigger.QUERY


@pytest.mark.seed("S003-4", "S003-5", "S003-6", "S003-7")
@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("query", ["async=true", "a=1&async=true&b", "async=false&async=true", "async=%74rue"])
def test_async_true_on_a_write_is_a_trigger(cisco: Cisco, method: str, query: str) -> None:
    one = call(method, query=query)
    assert cisco.wants_async(one)
    cisco.admit(one)
    assert method in Cisco.METHODS


@pytest.mark.seed("S003-7")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "async",
        "async=",
        "async=false",
        "async=TRUE",
        "async=1",
        "async=true%20",
        "asynchronous=true",
        "x=async=true",
        "async=true&async=false",
    ],
)
def test_any_other_value_is_synchronous(cisco: Cisco, query: str) -> None:
    assert not any(cisco.wants_async(call(method, query=query)) for method in WRITES)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_read_is_synchronous(cisco: Cisco, method: str) -> None:
    assert not cisco.wants_async(call(method, query="async=true"))


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("async=true", ""),
        ("a=1&async=true&b=%20+", "a=1&b=%20+"),
        ("async=false&a=&a&async=true", "a=&a"),
        ("%61sync=1&async=true&a=async", "a=async"),
    ],
)
def test_view_gets_the_query_without_async(cisco: Cisco, query: str, target: str) -> None:
    assert cisco.target(call("POST", "/calltype", query)) == ("/calltype", target)


def test_policy() -> None:
    policy, hour = Cisco.POLICY, dt.timedelta(hours=1)
    assert (policy.capacity, policy.shared_capacity) == (100, True)
    assert (policy.queue_limit, policy.run_limit) == (dt.timedelta(seconds=30), dt.timedelta(minutes=5))
    assert (policy.retention, policy.error_retention) == (hour, hour)
    assert (Cisco.EVERY_VIEW, Cisco.VALIDATES, Cisco.PER_OWNER) == (True, True, True)


# Progress ------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S003-2", "S003-10", "S003-11", "S003-12", "S003-13")
@pytest.mark.parametrize("state", State)
def test_kick_off(cisco: Cisco, state: State) -> None:
    response = cisco.accepted(snapshot(state), at())
    assert response.status == 202
    assert header(response.headers, "Location") == POLL
    assert header(response.headers, "Retry-After") == "1"
    assert document(response) == {"progress": "IN_QUEUE"}


@pytest.mark.parametrize("verb", ["accepted", "status"])
def test_retry_after_is_the_estimate(cisco: Cisco, verb: str) -> None:
    response = getattr(cisco, verb)(snapshot(State.PENDING), at(estimate=Estimate(retry_after=18)))
    assert header(response.headers, "Retry-After") == "18"


@pytest.mark.seed("S003-13", "S003-14", "S003-15")
@pytest.mark.parametrize(("state", "word"), UNFINISHED)
def test_poll_of_an_unfinished_task(cisco: Cisco, state: State, word: str) -> None:
    response = cisco.status(snapshot(state), at())
    assert isinstance(response, Response)
    assert response.status == 202
    assert header(response.headers, "Location") == POLL
    assert header(response.headers, "Retry-After") == "1"
    assert header(response.headers, "Cache-Control") == "no-store"
    assert document(response) == {"progress": word}


@pytest.mark.parametrize(("state", "word"), UNFINISHED)
def test_poll_in_xml(cisco: Cisco, state: State, word: str) -> None:
    response = cisco.status(snapshot(state), at(XML))
    assert response.status == 202
    assert header(response.headers, "Location") == POLL
    assert header(response.headers, "Cache-Control") == "no-store"
    root = tree(response)
    assert [(root.tag, len(root)), (root[0].tag, root[0].text)] == [("asyncResult", 1), ("progress", word)]


def test_kick_off_in_xml_is_as_documented(cisco: Cisco) -> None:
    body = cisco.accepted(snapshot(State.PENDING), at(XML)).body
    assert body.partition(b"\n")[2] == b"<asyncResult><progress>IN_QUEUE</progress></asyncResult>"


@pytest.mark.seed("S003-11", "S003-14")
def test_polling_url_is_read_with_get() -> None:
    route = Cisco.ROUTES["status"]
    assert (route.method, f"{BASE}/{route.path.format(id=TASK_ID)}") == ("GET", POLL)


@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("IN_QUEUE", {State.PENDING}),
        ("IN_PROGRESS", {State.PROCESSING}),
        ("COMPLETED", {State.DONE, State.API_ERROR}),
        ("FAILED", {State.ERROR}),
        ("CANCELLED", {State.CANCEL}),
    ],
)
def test_states_of_each_word(word: str, states: set[State]) -> None:
    assert {state for state in State if Cisco.WORDS[state] == word} == states


# Final states --------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S003-16", "S003-17", "S003-18", "S003-19", "S003-20")
@pytest.mark.parametrize("accept", ["", XML])
@pytest.mark.parametrize(
    ("method", "state", "code"),
    [
        ("POST", State.DONE, 201),
        ("PUT", State.DONE, 200),
        ("DELETE", State.DONE, 200),
        ("DELETE", State.DONE, 204),
        ("PUT", State.API_ERROR, 400),
        ("PUT", State.ERROR, 500),
    ],
)
def test_poll_of_a_finished_task_is_the_response(
    cisco: Cisco, method: str, state: State, code: int, accept: str
) -> None:
    """Status, Location and body as stored: nothing is added, replaced or dropped."""
    assert cisco.status(snapshot(state, method=method, status_code=code), at(accept)) == Replay()


@pytest.mark.seed("S003-22")
@pytest.mark.parametrize(
    ("task", "status", "kind"),
    [
        (lost(Reason.QUEUE_TIMEOUT), 503, "asyncRequest.timedOut"),
        (lost(Reason.RUN_TIMEOUT), 503, "asyncRequest.timedOut"),
        (lost(Reason.LOST), 500, "asyncRequest.lost"),
        (lost(Reason.STORAGE), 500, "asyncRequest.lost"),
        (snapshot(State.CANCEL), 410, "asyncRequest.cancelled"),
    ],
)
def test_poll_of_a_task_without_response_is_an_error(cisco: Cisco, task: Snapshot, status: int, kind: str) -> None:
    with pytest.raises(exceptions.ResultUnavailable) as caught:
        cisco.status(task, at())
    response = cisco.problem(caught.value, at())
    assert error_of(response) == (status, kind)
    assert header(response.headers, "Location") is None


@pytest.mark.seed("S003-22")
def test_message_of_a_timeout(cisco: Cisco) -> None:
    error = exceptions.ResultFailed(reason=Reason.QUEUE_TIMEOUT)
    assert document(cisco.problem(error, at()))["apiError"][0]["errorMessage"] == "The request timed out."


@pytest.mark.parametrize("task", [*map(snapshot, ANSWERED), snapshot(State.CANCEL), lost(Reason.QUEUE_TIMEOUT)])
def test_expired_task_is_answered_like_an_unknown_one(cisco: Cisco, task: Snapshot) -> None:
    with pytest.raises(exceptions.TaskNotFound) as caught:
        cisco.status(task, at(now=NOW + dt.timedelta(hours=1)))
    assert error_of(cisco.problem(caught.value, at())) == (404, "asyncRequest.notFound")


def test_result_is_the_poll(cisco: Cisco) -> None:
    for state in (*ANSWERED, State.PENDING, State.PROCESSING):
        assert cisco.result(snapshot(state), at()) == cisco.status(snapshot(state), at())


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (exceptions.CapacityExceeded, 503, "asyncRequest.queueFull"),
        (exceptions.SubmitFailed, 503, "asyncRequest.unavailable"),
        (exceptions.NotEligible, 400, "asyncRequest.notSupported"),
        (exceptions.IdempotencyKeyMalformed, 400, "asyncRequest.refused"),
        (exceptions.IdempotencyKeyReused, 422, "asyncRequest.keyReused"),
        (exceptions.RequestTooLarge, 413, "invalidInput.tooLarge"),
        (exceptions.TaskNotFound, 404, "asyncRequest.notFound"),
        (exceptions.MalformedId, 404, "asyncRequest.notFound"),
        (exceptions.RouteNotFound, 404, "invalidInput.notFound"),
        (exceptions.ResultFailed, 500, "asyncRequest.lost"),
        (exceptions.ResultCancelled, 410, "asyncRequest.cancelled"),
        (exceptions.NotAuthenticated, 401, "access.unauthorized"),
        (exceptions.PermissionDenied, 403, "access.forbidden"),
        (exceptions.MethodNotAllowed, 405, "invalidInput.methodNotAllowed"),
        (exceptions.Throttled, 429, "access.throttled"),
        (exceptions.InternalError, 500, "server.internal"),
        (exceptions.Unavailable, 503, "server.unavailable"),
    ],
)
def test_type_and_status_of_each_error(
    cisco: Cisco, error: type[exceptions.AsyncExchangeError], status: int, kind: str
) -> None:
    assert error_of(cisco.problem(error(), at())) == (status, kind)


@pytest.mark.parametrize("accept", ["", XML])
@pytest.mark.parametrize("error", [exceptions.CapacityExceeded, exceptions.SubmitFailed])
def test_temporary_error_has_retry_after(cisco: Cisco, error: type[exceptions.AsyncExchangeError], accept: str) -> None:
    assert header(cisco.problem(error(), at(accept)).headers, "Retry-After") == "1"
    given_one = cisco.problem(error(headers=(("Retry-After", "5"),)), at(accept))
    assert [text for name, text in given_one.headers if name == "Retry-After"] == ["5"]


@pytest.mark.parametrize("media", [XML, "text/xml"])
def test_error_in_xml(cisco: Cisco, media: str) -> None:
    error = exceptions.MethodNotAllowed(headers=(("Allow", "GET"),))
    response = cisco.problem(error, at(media))
    assert (response.status, header(response.headers, "Allow")) == (405, "GET")
    assert header(response.headers, "Cache-Control") == "no-store"
    root = tree(response, media)
    assert (root.tag, [child.tag for child in root]) == ("apiErrors", ["apiError"])
    assert [(child.tag, child.text) for child in root[0]] == [
        ("errorData", None),
        ("errorMessage", "This method is not allowed here."),
        ("errorType", "invalidInput.methodNotAllowed"),
    ]


@pytest.mark.parametrize("accept", ["", XML])
def test_every_text_has_a_russian_translation(cisco: Cisco, accept: str) -> None:
    errors = (*(cls() for cls in Cisco.CODES), exceptions.ResultFailed(reason=Reason.RUN_TIMEOUT))
    for error in errors:
        text, _, _ = russian()[cisco.wire(error).text].partition("%(")
        assert text in cisco.problem(error, at(accept, translate=russian().__getitem__)).body.decode()


# Content negotiation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
        ("application/xml", "application/xml"),
        ("text/xml", "text/xml"),
        ("text/*", "text/xml"),
        ("Application/XML; charset=utf-8", "application/xml"),
        ("application/xml, application/json", "application/json"),
        ("application/xml, application/json;q=0.9", "application/xml"),
        ("application/json;q=0.5, text/xml;q=0.6", "text/xml"),
        ("application/json, application/xml;q=0.9", "application/json"),
        ("application/xml;q=0.2, */*;q=0.1", "application/xml"),
        ("application/xml;q=0.2, */*;q=0.3", "application/json"),
        ("application/xml, */*", "application/xml"),
        ("application/json, */*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/xml"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
        ("application/json;q=0, application/xml;q=0.001", "application/xml"),
        ("application/xml;q=0, */*;q=0", "application/json"),
        ("application/xml;q=0, application/json;q=0", "application/json"),
        ("application/xml;q=nan", "application/json"),
        ("application/xml;q=high, application/json;q=0.1", "application/json"),
        ("application/xml;q=1.9, application/json;q=1", "application/json"),
        ("application/xml;version=1;q=0.1, application/xml;q=0.9, application/json;q=0.5", "application/xml"),
        (",;q=1,/,", "application/json"),
    ],
)
def test_preferred_media_type(accept: str, media: str) -> None:
    assert preferred(accept) == media


@given(st.text(alphabet="aplicton/jsxm*;q=01.,+ \t", max_size=80))
def test_fuzzed_accept_header(accept: str) -> None:
    assert preferred(accept) in MEDIA
