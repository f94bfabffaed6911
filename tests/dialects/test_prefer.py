"""The prefer dialect."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Trigger
from django_asyncexchange.dialects.prefer.dialect import Prefer
from django_asyncexchange.exceptions import AsyncExchangeError
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import (
    Context,
    Estimate,
    Listing,
    Page,
    Progress,
    Replay,
    Response,
    Snapshot,
    header,
)

from .contract import NOW, TASK_ID, DialectContract, call, context, document, error_classes, snapshot

BASE = "https://example.com/async"
TASK = f"{BASE}/tasks/{TASK_ID}"
RESULT = f"{TASK}/result"
MONITOR = f"{BASE}/operations/{TASK_ID}"

UNFINISHED = (State.PENDING, State.PROCESSING)
FINISHED = (State.DONE, State.API_ERROR, State.ERROR, State.CANCEL)
ANSWERED = (State.DONE, State.API_ERROR, State.ERROR)

GONE = {"deletion_date": NOW}
"""The deletion date itself is already too late."""
ESTIMATE = Estimate(eta=NOW + dt.timedelta(seconds=17.5), queue_position=3, retry_after=18)
LOST = {"status_code": None, "content": None, "content_type": "", "reason": Reason.LOST}


class TestPrefer(DialectContract):
    cls = Prefer
    shared_words = frozenset({"Failed"})


@pytest.fixture
def prefer() -> Prefer:
    return Prefer(name="prefer")


def at(**changes: Any) -> Context:
    return context(**({"base": BASE, "path": "/async"} | changes))


def download(after: dt.timedelta = dt.timedelta(minutes=5)) -> str:
    """The signed link to the result, as it is issued at ``NOW``."""
    expires = int((NOW + after).timestamp())
    return f"{TASK}/download?temp_url_sig={at().signer.sign(f'{TASK_ID}:1:{expires}')}&temp_url_expires={expires}"


LOCATIONS = {"resourceLocation": RESULT, "downloadLocation": download()}


def problem(response: Response) -> Any:
    assert header(response.headers, "Content-Type") == "application/problem+json"
    assert [name for name, _ in response.headers].count("Content-Type") == 1
    return json.loads(response.body)


# Submitting ----------------------------------------------------------------------------------------------------------


def test_trigger_is_an_optional_preference() -> None:
    assert Prefer.TRIGGER is Trigger.PREFERENCE
    assert Prefer.OPTIONAL
    assert Prefer.METHODS is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_any_method_can_be_asynchronous(prefer: Prefer, method: str) -> None:
    assert prefer.wants_async(call(method, Prefer="respond-async, wait=10"))


@pytest.mark.parametrize("text", ["", "wait=5", 'foo="respond-async"', "respond-asynchronously"])
def test_other_preferences_are_no_trigger(prefer: Prefer, text: str) -> None:
    assert not prefer.wants_async(call("POST", Prefer=text))


@pytest.mark.parametrize("path", ["/", "/report", "/async/tasks", "/api/remap/1.2/entity", "/async_api/v2/x.json"])
def test_every_path_is_covered(prefer: Prefer, path: str) -> None:
    assert prefer.covers(path)


@pytest.mark.parametrize(
    ("given", "prefix"), [("", "/async"), ("/later", "/later"), ("/api/later/", "/api/later"), ("/", "")]
)
def test_prefix_is_the_path_of_the_tasks(given: str, prefix: str) -> None:
    assert Prefer(name="prefer", prefix=given).prefix == prefix


def test_view_gets_the_call_unchanged(prefer: Prefer) -> None:
    assert prefer.target(call(path="/report", query="async=true&a=%20")) == ("/report", "async=true&a=%20")


def test_policy_keeps_results_for_a_day_without_capacity() -> None:
    day = dt.timedelta(hours=24)
    policy = Prefer.POLICY
    assert (policy.retention, policy.error_retention, policy.capacity) == (day, day, None)


def test_routes() -> None:
    assert {(route.method, route.path): route.verb or name for name, route in Prefer.ROUTES.items()} == {
        ("GET", "tasks"): "list",
        ("GET", "tasks/{id}"): "status",
        ("DELETE", "tasks/{id}"): "remove",
        ("POST", "tasks/{id}/cancel"): "cancel_form",
        ("PATCH", "tasks/{id}"): "change",
        ("GET", "tasks/{id}/result"): "result",
        ("GET", "tasks/{id}/download"): "download",
        ("GET", "tasks/{id}/events"): "events",
        ("GET", "operations/{id}"): "monitor",
        ("DELETE", "operations/{id}"): "cancel",
    }


@pytest.mark.parametrize("state", State)
def test_no_route_reads_stored_bodies(prefer: Prefer, state: State) -> None:
    assert not any(prefer.reads(verb, state) for verb in Prefer.ROUTES)


# The kick-off --------------------------------------------------------------------------------------------------------


def test_kick_off(prefer: Prefer) -> None:
    task = snapshot(State.PENDING, started=None)
    response = prefer.accepted(task, at())
    assert response.status == 202
    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Location": TASK,
        "Operation-Location": MONITOR,
        "Retry-After": "1",
        "Preference-Applied": "respond-async",
        "Vary": "Prefer",
    }
    assert response.body == prefer.status(task, at()).body


# Status --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", UNFINISHED)
def test_status_of_an_unfinished_task_is_a_202(prefer: Prefer, state: State) -> None:
    response = prefer.status(snapshot(state), at())
    assert response.status == 202
    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Location": TASK,
        "Retry-After": "1",
    }
    assert document(response)["state"] == state


@pytest.mark.parametrize("changes", [{}, GONE, LOST, LOST | GONE])
@pytest.mark.parametrize("state", FINISHED)
def test_status_of_a_finished_task_is_a_303_to_its_result(
    prefer: Prefer, state: State, changes: dict[str, Any]
) -> None:
    response = prefer.status(snapshot(state, **changes), at())
    assert response.status == 303
    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Location": RESULT,
    }
    assert document(response)["state"] == state


def test_status_document(prefer: Prefer) -> None:
    task = snapshot(State.DONE, method="POST", progress=Progress(done=3, total=10, message="rows"))
    assert document(prefer.status(task, at())) == {
        "id": str(TASK_ID),
        "state": "DONE",
        "reason": None,
        "method": "POST",
        "request": "https://api.example.com/report?async=true",
        "created": "2021-02-16T12:28:00.000Z",
        "started": "2021-02-16T12:29:00.000Z",
        "finished": "2021-02-16T12:30:00.000Z",
        "progress": {"done": 3, "total": 10, "message": "rows"},
        "queue_position": None,
        "eta": None,
        "deletion_date": "2021-02-16T13:30:00.000Z",
        "links": {"self": TASK, "operation": MONITOR, "result": RESULT, "download": download()},
    }


def test_missing_values_are_null(prefer: Prefer) -> None:
    found = document(prefer.status(snapshot(State.PENDING, started=None), at()))
    assert {name for name, text in found.items() if text is None} == {
        "reason",
        "started",
        "finished",
        "progress",
        "queue_position",
        "eta",
        "deletion_date",
    }


@pytest.mark.parametrize("verb", ["accepted", "status"])
def test_status_document_has_the_estimate(prefer: Prefer, verb: str) -> None:
    response = getattr(prefer, verb)(snapshot(State.PENDING), at(estimate=ESTIMATE))
    assert document(response)["queue_position"] == 3
    assert document(response)["eta"] == "2021-02-16T12:30:17.500Z"


@pytest.mark.parametrize("verb", ["accepted", "status", "monitor"])
def test_retry_after_is_the_estimate(prefer: Prefer, verb: str) -> None:
    response = getattr(prefer, verb)(snapshot(State.PENDING), at(estimate=ESTIMATE))
    assert header(response.headers, "Retry-After") == "18"


@pytest.mark.parametrize("verb", ["accepted", "status", "monitor", "result"])
def test_verb_with_an_estimate_is_declared(prefer: Prefer, verb: str) -> None:
    assert verb in prefer.ESTIMATED


def test_monitor_has_no_members_for_the_estimate(prefer: Prefer) -> None:
    task = snapshot(State.PENDING)
    assert document(prefer.monitor(task, at(estimate=ESTIMATE))) == document(prefer.monitor(task, at()))


def test_status_document_has_the_same_keys_in_every_state(prefer: Prefer) -> None:
    keys = {tuple(document(prefer.status(snapshot(state), at()))) for state in State}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("state", "changes", "names"),
    [
        (State.PENDING, {}, {"self", "operation", "cancel"}),
        (State.PROCESSING, {}, {"self", "operation", "cancel"}),
        (State.DONE, {}, {"self", "operation", "result", "download"}),
        (State.API_ERROR, {}, {"self", "operation", "result", "download"}),
        (State.ERROR, {}, {"self", "operation", "result", "download"}),
        (State.ERROR, LOST, {"self", "operation"}),
        (State.CANCEL, {}, {"self", "operation"}),
        (State.DONE, GONE, {"self", "operation"}),
    ],
)
def test_link_is_present_while_it_can_be_followed(
    prefer: Prefer, state: State, changes: dict[str, Any], names: set[str]
) -> None:
    links = document(prefer.status(snapshot(state, **changes), at()))["links"]
    every = {"self": TASK, "operation": MONITOR, "cancel": TASK, "result": RESULT, "download": download()}
    assert links == {name: every[name] for name in names}


@pytest.mark.parametrize("reason", Reason)
def test_status_has_the_reason(prefer: Prefer, reason: Reason) -> None:
    found = document(prefer.status(snapshot(State.ERROR, reason=reason), at()))
    assert (found["state"], found["reason"]) == ("ERROR", reason)


def test_dates_are_utc(prefer: Prefer) -> None:
    moscow = dt.timezone(dt.timedelta(hours=3))
    created = dt.datetime(2021, 2, 16, 15, 28, 0, 123999, tzinfo=moscow)
    assert document(prefer.status(snapshot(created=created), at()))["created"] == "2021-02-16T12:28:00.123Z"


# Signed link ---------------------------------------------------------------------------------------------------------


def expiry_at(prefer: Prefer, seconds: float, **changes: Any) -> float:
    """How many seconds after ``NOW`` a link expires that is issued so many seconds after it."""
    now = at(now=NOW + dt.timedelta(seconds=seconds))
    link = document(prefer.status(snapshot(State.DONE, **changes), now))["links"]["download"]
    return int(parse_qs(urlsplit(link).query)["temp_url_expires"][0]) - NOW.timestamp()


@pytest.mark.parametrize(("seconds", "expires"), [(0, 300), (149.9, 300), (150, 450), (299, 450), (300, 600)])
def test_link_is_the_same_for_half_of_its_lifetime(prefer: Prefer, seconds: float, expires: int) -> None:
    assert expiry_at(prefer, seconds) == expires


def test_link_expires_at_the_deletion_date_at_the_latest(prefer: Prefer) -> None:
    assert expiry_at(prefer, 0, deletion_date=NOW + dt.timedelta(seconds=60.5)) == 60


@pytest.mark.parametrize("lifetime", [0.2, 1, 2, 7, 86400])
def test_link_lives_for_half_of_its_lifetime_at_least(lifetime: float) -> None:
    policy = dataclasses.replace(Prefer.POLICY, link_lifetime=dt.timedelta(seconds=lifetime))
    prefer = Prefer(name="prefer", policy=policy)
    kept = {"deletion_date": NOW + dt.timedelta(days=7)}
    left = [expiry_at(prefer, second, **kept) - second for second in range(20)]
    assert lifetime / 2 <= min(left) <= max(left) <= math.ceil(lifetime)


@pytest.mark.parametrize(
    ("state", "code", "status"), [(State.DONE, 201, 200), (State.API_ERROR, 404, None), (State.ERROR, 500, None)]
)
def test_download_is_the_response_as_a_file(prefer: Prefer, state: State, code: int, status: int | None) -> None:
    replay = prefer.download(snapshot(state, status_code=code), at(), dict(parse_qsl(urlsplit(download()).query)))
    assert replay.status == status
    assert replay.defaults == (("Content-Disposition", "attachment"),)
    assert {"set-cookie", "location"} <= replay.drop
    assert dict(replay.headers) == {
        "AsyncResult": str(code),
        "Sunset": "Tue, 16 Feb 2021 13:30:00 GMT",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }


@pytest.mark.parametrize(
    ("minutes", "changes", "error"),
    [
        (0, {}, exceptions.LinkInvalid),
        (5, {"attempt": 2}, exceptions.LinkInvalid),
        (5, GONE, exceptions.ResultExpired),
        (5, {"state": State.CANCEL}, exceptions.ResultCancelled),
    ],
    ids=["too late", "of another attempt", "deleted", "cancelled"],
)
def test_link_without_a_result_is_refused(
    prefer: Prefer, minutes: int, changes: dict[str, Any], error: type[Exception]
) -> None:
    query = dict(parse_qsl(urlsplit(download(dt.timedelta(minutes=minutes))).query))
    with pytest.raises(error):
        prefer.download(snapshot(**changes), at(), query)


# Deletion date -------------------------------------------------------------------------------------------------------

WEEK = dt.timedelta(days=7)


@pytest.fixture
def patient() -> Prefer:
    """A mount whose clients may keep results for a week."""
    return Prefer(name="prefer", policy=dataclasses.replace(Prefer.POLICY, max_retention=WEEK))


def test_deletion_date_can_be_changed_only_with_a_maximum(prefer: Prefer, patient: Prefer) -> None:
    assert "change" not in prefer.ROUTES
    assert patient.ROUTES == Prefer.ROUTES


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-02-16T12:30:00Z", NOW),
        ("2021-02-16T15:30:00.5+03:00", NOW + dt.timedelta(seconds=0.5)),
        ("2021-02-23t12:30:00z", NOW + WEEK),
    ],
)
def test_deletion_date_is_from_now_to_the_maximum(patient: Prefer, text: str, moment: dt.datetime) -> None:
    assert patient.change(snapshot(), at(), {"deletion_date": text, "other": 1}) == moment


@pytest.mark.parametrize(
    "given",
    [
        "2021-02-23T12:30:00.001Z",
        "2021-02-16T12:29:59.999Z",
        "2021-02-20T12:30:00",
        "2021-02-20",
        "2021-02-30T12:30:00Z",
        "2021-02-20T12:30:60Z",
        "2021-W07-6T12:30:00Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2021-02-20T12:30:00+99:99",
        "٢021-02-20T12:30:00Z",
        "2021-02-20T12:30:00Z\n",
        "tomorrow",
        "",
        1613824200,
        None,
        ["2021-02-20T12:30:00Z"],
    ],
)
def test_other_deletion_date_is_a_problem_that_names_the_latest(patient: Prefer, given: object) -> None:
    with pytest.raises(exceptions.DeletionDateRefused) as refused:
        patient.change(snapshot(), at(), {"deletion_date": given})
    found = problem(patient.problem(refused.value, at()))
    assert (found["status"], found["code"], found["parameter"]) == (422, "deletion_date", "deletion_date")
    assert "2021-02-23T12:30:00.000Z" in found["detail"]


@pytest.mark.parametrize(
    ("given", "error"),
    [([], exceptions.RequestMalformed), ("x", exceptions.RequestMalformed), ({}, exceptions.FieldMissing)],
)
def test_change_needs_an_object_with_a_deletion_date(patient: Prefer, given: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        patient.change(snapshot(), at(), given)


@pytest.mark.parametrize(
    ("state", "changes", "status", "code"),
    [
        (State.PENDING, {}, 409, "not_ready"),
        (State.PROCESSING, {}, 409, "not_ready"),
        (State.ERROR, LOST, 409, "failed"),
        (State.CANCEL, {}, 410, "cancelled"),
        (State.DONE, GONE, 410, "expired"),
    ],
)
def test_task_without_a_result_cannot_be_changed(
    patient: Prefer, state: State, changes: dict[str, Any], status: int, code: str
) -> None:
    with pytest.raises(exceptions.ResultUnavailable) as refused:
        patient.change(snapshot(state, **changes), at(), {"deletion_date": "2021-02-20T12:30:00Z"})
    found = problem(patient.problem(refused.value, at()))
    assert (found["status"], found["code"]) == (status, code)


def test_changed_task_is_its_status_document(patient: Prefer) -> None:
    response = patient.changed(snapshot(), at())
    assert response.status == 200
    assert response.body == patient.status(snapshot(), at()).body


# Result --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "code"), [(State.DONE, 201), (State.API_ERROR, 404), (State.ERROR, 500)])
def test_result_is_the_response(prefer: Prefer, state: State, code: int) -> None:
    assert prefer.result(snapshot(state, status_code=code), at()) == Replay(
        headers=(
            ("AsyncResult", str(code)),
            ("Sunset", "Tue, 16 Feb 2021 13:30:00 GMT"),
        )
    )


def test_sunset_is_gmt(prefer: Prefer) -> None:
    moscow = dt.timezone(dt.timedelta(hours=3))
    answer = prefer.result(snapshot(deletion_date=(NOW + dt.timedelta(hours=1)).astimezone(moscow)), at())
    assert header(answer.headers, "Sunset") == "Tue, 16 Feb 2021 13:30:00 GMT"


def test_result_without_deletion_date_has_no_sunset(prefer: Prefer) -> None:
    assert header(prefer.result(snapshot(deletion_date=None), at()).headers, "Sunset") is None


@pytest.mark.parametrize(
    ("state", "changes", "error", "status"),
    [
        (State.PENDING, {}, exceptions.ResultNotReady, 404),
        (State.PROCESSING, {}, exceptions.ResultNotReady, 404),
        (State.DONE, GONE, exceptions.ResultExpired, 410),
        (State.API_ERROR, GONE, exceptions.ResultExpired, 410),
        (State.ERROR, GONE, exceptions.ResultExpired, 410),
        (State.ERROR, LOST | GONE, exceptions.ResultExpired, 410),
        (State.ERROR, LOST, exceptions.ResultFailed, 500),
        (State.CANCEL, {}, exceptions.ResultCancelled, 410),
        (State.CANCEL, GONE, exceptions.ResultCancelled, 410),
    ],
)
def test_result_without_response_is_a_problem_document(
    prefer: Prefer, state: State, changes: dict[str, Any], error: type[AsyncExchangeError], status: int
) -> None:
    with pytest.raises(error) as raised:
        prefer.result(snapshot(state, **changes), at())
    response = prefer.problem(raised.value, at())
    assert response.status == problem(response)["status"] == status
    assert header(response.headers, "Cache-Control") == "no-store"


@pytest.mark.parametrize(("estimate", "seconds"), [(Estimate(), "1"), (ESTIMATE, "18")])
def test_early_result_has_retry_after(prefer: Prefer, estimate: Estimate, seconds: str) -> None:
    with pytest.raises(exceptions.ResultNotReady) as raised:
        prefer.result(snapshot(State.PENDING), at(estimate=estimate))
    assert header(prefer.problem(raised.value, at()).headers, "Retry-After") == seconds


def test_failed_result_has_its_reason(prefer: Prefer) -> None:
    with pytest.raises(exceptions.ResultFailed) as raised:
        prefer.result(snapshot(State.ERROR, **LOST), at())
    assert problem(prefer.problem(raised.value, at()))["reason"] == "lost"


# Monitor -------------------------------------------------------------------------------------------------------------

COMMON = {"id": str(TASK_ID), "createdDateTime": "2021-02-16T12:28:00.000Z"}
STARTED = COMMON | {"lastActionDateTime": "2021-02-16T12:29:00.000Z"}
ENDED = COMMON | {"lastActionDateTime": "2021-02-16T12:30:00.000Z"}
FAILED = ENDED | {"status": "Failed"}


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        (
            State.PENDING,
            {"started": None},
            COMMON | {"status": "NotStarted", "lastActionDateTime": "2021-02-16T12:28:00.000Z"},
        ),
        (State.PROCESSING, {}, STARTED | {"status": "Running"}),
        (
            State.PROCESSING,
            {"progress": Progress(done=1, total=3)},
            STARTED | {"status": "Running", "percentComplete": 33},
        ),
        (State.DONE, {}, ENDED | {"status": "Succeeded", "percentComplete": 100, **LOCATIONS}),
        (State.DONE, GONE, ENDED | {"status": "Succeeded", "percentComplete": 100}),
        (
            State.API_ERROR,
            {},
            FAILED
            | {
                **LOCATIONS,
                "error": {"code": "http_403", "message": "The call was answered with status 403."},
            },
        ),
        (
            State.ERROR,
            {"reason": Reason.EXCEPTION},
            FAILED
            | {
                **LOCATIONS,
                "error": {"code": "http_500", "message": "The call was answered with status 500."},
            },
        ),
        (State.ERROR, LOST, FAILED | {"error": {"code": "lost", "message": "The task failed; submit the call again."}}),
        (
            State.ERROR,
            LOST | {"reason": None},
            FAILED | {"error": {"code": "failed", "message": "The task failed; submit the call again."}},
        ),
        (State.CANCEL, {}, ENDED | {"status": "Canceled"}),
    ],
)
def test_monitor(prefer: Prefer, state: State, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    response = prefer.monitor(snapshot(state, **changes), at())
    assert response.status == 200
    assert document(response) == expected


@pytest.mark.parametrize("state", State)
def test_monitor_has_retry_after_until_the_end(prefer: Prefer, state: State) -> None:
    response = prefer.monitor(snapshot(state), at())
    assert header(response.headers, "Retry-After") == (None if state.is_final else "1")
    assert header(response.headers, "Cache-Control") == "no-store"
    assert header(response.headers, "Location") is None


@pytest.mark.parametrize(
    ("progress", "percent"),
    [
        (None, None),
        (Progress(done=5), None),
        (Progress(done=5, total=0), None),
        (Progress(done=0, total=7), 0),
        (Progress(done=6, total=7), 85),
        (Progress(done=7, total=7), 100),
        (Progress(done=9, total=7), 100),
        (Progress(done=-1, total=7), 0),
    ],
)
def test_percent_complete_is_an_integer_in_range(
    prefer: Prefer, progress: Progress | None, percent: int | None
) -> None:
    found = document(prefer.monitor(snapshot(State.PROCESSING, progress=progress), at()))
    assert found.get("percentComplete") == percent


# Cancelling ----------------------------------------------------------------------------------------------------------


def test_cancellation_is_a_204_without_a_body(prefer: Prefer) -> None:
    response = prefer.cancelled(snapshot(State.CANCEL), at())
    assert response == Response(status=204, headers=(("Cache-Control", "no-store"),))


def test_finished_task_cannot_be_cancelled(prefer: Prefer) -> None:
    response = prefer.problem(exceptions.NotCancellable(), at())
    assert (response.status, problem(response)["code"]) == (409, "finished")


# Lists ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Listing(limit=100)),
        ("limit=5&offset=10", Listing(limit=5, offset=10)),
        ("limit=1000", Listing(limit=1000)),
        ("limit=1001", Listing(limit=1000)),
        ("limit=999999999999999999&offset=999999999999999999", Listing(limit=1000, offset=10**18 - 1)),
        ("limit=1&limit=2", Listing(limit=2)),
        (
            "state=DONE&state=ERROR&request__contains=a%20b+c&limit=5",
            Listing(limit=5, filters=(("state", "DONE"), ("state", "ERROR"), ("request__contains", "a b c"))),
        ),
        (
            "deletion_date__lt=2026-11-23T00:00:00%2B03:00&order_by=-deletion_date",
            Listing(
                limit=100,
                filters=(("deletion_date__lt", "2026-11-23T00:00:00+03:00"), ("order_by", "-deletion_date")),
            ),
        ),
        ("method=", Listing(limit=100, filters=(("method", ""),))),
        ("request=%D0%BE%D1%82%D1%87%D1%91%D1%82", Listing(limit=100, filters=(("request", "отчёт"),))),
    ],
)
def test_list_query(prefer: Prefer, query: str, expected: Listing) -> None:
    assert prefer.listing(query) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("limit", text) for text in ["", "0", "-1", "+1", "1.5", "ten", "٥", "1_0", "1" * 19]),
        *(("offset", text) for text in ["", "-1", "x", "%205", "1" * 5000]),
    ],
)
def test_invalid_paging_is_refused(prefer: Prefer, name: str, text: str) -> None:
    with pytest.raises(exceptions.PagingMalformed) as raised:
        prefer.listing(f"{name}={text}")
    found = problem(prefer.problem(raised.value, at()))
    assert (found["status"], found["code"], found["parameter"]) == (400, "paging", name)


@pytest.mark.parametrize(
    "query", ["state=%FF", "%FF=1", "request=%zz", "request=100%", "request=%00", "limit=%0", "&".join(["a=1"] * 101)]
)
def test_undecodable_query_is_refused(prefer: Prefer, query: str) -> None:
    with pytest.raises(exceptions.QueryMalformed) as raised:
        prefer.listing(query)
    assert problem(prefer.problem(raised.value, at()))["status"] == 400


def page(prefer: Prefer, query: str, size: int, *rows: Snapshot) -> Any:
    response = prefer.page(Page(rows=rows, size=size, listing=prefer.listing(query)), at())
    assert response.status == 200
    assert header(response.headers, "Cache-Control") == "no-store"
    return document(response)


def test_list_has_status_documents_without_signed_links(prefer: Prefer) -> None:
    tasks = [snapshot(State.DONE), snapshot(State.PENDING)]
    results = [document(prefer.status(task, at())) for task in tasks]
    del results[0]["links"]["download"]
    assert page(prefer, "", 2, *tasks) == {"count": 2, "next": None, "previous": None, "results": results}


@pytest.mark.parametrize(
    ("query", "size", "following", "previous"),
    [
        ("", 0, None, None),
        ("", 100, None, None),
        ("", 101, "limit=100&offset=100", None),
        ("limit=10", 25, "limit=10&offset=10", None),
        ("limit=10&offset=10", 25, "limit=10&offset=20", "limit=10"),
        ("limit=10&offset=5", 25, "limit=10&offset=15", "limit=10"),
        ("limit=10&offset=20", 25, None, "limit=10&offset=10"),
        ("limit=10&offset=15", 25, None, "limit=10&offset=5"),
        ("limit=10&offset=90", 25, None, "limit=10&offset=80"),
        (
            "state=DONE&offset=10&state=ERROR&limit=10&request=%D0%BE+%26",
            25,
            "state=DONE&state=ERROR&request=%D0%BE+%26&limit=10&offset=20",
            "state=DONE&state=ERROR&request=%D0%BE+%26&limit=10",
        ),
    ],
)
def test_next_and_previous_keep_the_filters(
    prefer: Prefer, query: str, size: int, following: str | None, previous: str | None
) -> None:
    found = page(prefer, query, size)
    assert found["count"] == size
    assert found["next"] == (following and f"{BASE}/tasks?{following}")
    assert found["previous"] == (previous and f"{BASE}/tasks?{previous}")


def test_pages_visit_every_row_once(prefer: Prefer) -> None:
    seen, query = [], "limit=7&state=DONE"
    while True:
        listing = prefer.listing(query)
        seen += range(listing.offset, min(listing.offset + listing.limit, 30))
        address = page(prefer, query, 30)["next"]
        if address is None:
            break
        query = address.partition("?")[2]
    assert seen == list(range(30))


# Problems ------------------------------------------------------------------------------------------------------------

STATUSES = {
    exceptions.SubmitRefused: 400,
    exceptions.RequestTooLarge: 413,
    exceptions.CallerUnknown: 400,
    exceptions.CallNotStorable: 400,
    exceptions.CapacityExceeded: 429,
    exceptions.CallbackRefused: 400,
    exceptions.IdempotencyKeyMalformed: 400,
    exceptions.IdempotencyKeyReused: 422,
    exceptions.SubmitFailed: 503,
    exceptions.TaskNotFound: 404,
    exceptions.MalformedId: 404,
    exceptions.RouteNotFound: 404,
    exceptions.ResultNotReady: 404,
    exceptions.ResultExpired: 410,
    exceptions.ResultFailed: 500,
    exceptions.ResultCancelled: 410,
    exceptions.LinkInvalid: 403,
    exceptions.NotCancellable: 409,
    exceptions.FilterRefused: 400,
    exceptions.PagingMalformed: 400,
    exceptions.QueryMalformed: 400,
    exceptions.NotAuthenticated: 401,
    exceptions.PermissionDenied: 403,
    exceptions.MethodNotAllowed: 405,
    exceptions.NotAcceptable: 406,
    exceptions.RequestMalformed: 400,
    exceptions.DeletionDateRefused: 422,
    exceptions.Throttled: 429,
    exceptions.InternalError: 500,
    exceptions.Unavailable: 503,
}


@pytest.mark.parametrize(("cls", "status"), STATUSES.items(), ids=lambda part: getattr(part, "__name__", part))
def test_status_of_each_problem(prefer: Prefer, cls: type[AsyncExchangeError], status: int) -> None:
    assert prefer.problem(cls(), at()).status == status


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_every_error_is_a_problem_document(prefer: Prefer, cls: type[AsyncExchangeError]) -> None:
    response = prefer.problem(cls(), at())
    found = problem(response)
    assert list(found) == ["type", "title", "status", "detail", "code"]
    assert (found["type"], found["status"]) == ("about:blank", response.status)
    assert found["title"] and found["detail"]


def test_title_is_the_phrase_of_the_status(prefer: Prefer) -> None:
    found = problem(prefer.problem(exceptions.TaskNotFound(), at()))
    assert (found["title"], found["detail"]) == ("Not Found", "There is no such task.")


def test_every_code_has_one_row() -> None:
    codes = [wire.code for wire in Prefer.CODES.values()]
    assert len(codes) == len(set(codes))


def test_detail_is_translated(prefer: Prefer) -> None:
    found = problem(prefer.problem(exceptions.TaskNotFound(), at(translate=str.upper)))
    assert found["detail"] == "THERE IS NO SUCH TASK."


def test_headers_of_a_problem_are_sent(prefer: Prefer) -> None:
    response = prefer.problem(exceptions.CapacityExceeded(headers=(("Retry-After", "5"),)), at())
    assert header(response.headers, "Retry-After") == "5"


@pytest.mark.parametrize(
    "given", ['{"state":[{"message":"?","code":"invalid"}]}', {"state": [{"message": "?", "code": "invalid"}]}]
)
def test_errors_by_field_are_included(prefer: Prefer, given: object) -> None:
    found = problem(prefer.problem(exceptions.FilterRefused(errors=given), at()))
    assert found["errors"] == {"state": [{"message": "?", "code": "invalid"}]}


def test_mount_may_change_the_policy() -> None:
    policy = dataclasses.replace(Prefer.POLICY, capacity=3)
    assert Prefer(name="other", policy=policy).policy.capacity == 3
