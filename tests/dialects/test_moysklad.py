"""MoySklad's dialect, table by table."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import django_asyncexchange
from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Trigger
from django_asyncexchange.dialects.moysklad.dialect import MoySklad, RemapPolicy
from django_asyncexchange.protocol.signer import Signer
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Estimate, Listing, Owner, Page, Replay, Response, Snapshot, header

from .contract import ACCOUNT, EMPLOYEE, NOW, TASK_ID, DialectContract, call, context, document, snapshot

BASE = "https://api.example.com/api/remap/1.2"
TASK = f"{BASE}/async/{TASK_ID}"
UNFINISHED = (State.PENDING, State.PROCESSING)
CATALOG = Path(django_asyncexchange.__file__).parent / "locale" / "ru" / "LC_MESSAGES" / "django.po"


class TestMoySklad(DialectContract):
    cls = MoySklad

    @pytest.mark.seed("S002-24", "S002-29", "S002-30", "S002-31", "S002-32", "S002-33", "S002-34")
    def test_words_are_the_stored_states(self) -> None:
        assert sorted(self.cls.WORDS.values()) == ["API_ERROR", "CANCEL", "DONE", "ERROR", "PENDING", "PROCESSING"]

    def test_every_code_is_an_integer(self) -> None:
        assert all(isinstance(wire.code, int) for wire in self.cls.CODES.values())


@pytest.fixture
def moysklad() -> MoySklad:
    return MoySklad(name="moysklad", prefix="/api/remap/1.2")


def errors(response: Response) -> list[dict[str, Any]]:
    return list(document(response)["errors"])


def refused(dialect: MoySklad, error: exceptions.AsyncExchangeError) -> tuple[int, int]:
    response = dialect.problem(error, context())
    return errors(response)[0]["code"], response.status


# Submitting ----------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S001-4", "S002-13", "S002-16")
@pytest.mark.parametrize("query", ["async=true", "a=1&async=TRUE", "async=false&async=true", "async=tru%65", "async="])
def test_async_in_the_query_is_a_trigger(moysklad: MoySklad, query: str) -> None:
    assert MoySklad.TRIGGER is Trigger.QUERY
    assert moysklad.wants_async(call(query=query))


@pytest.mark.seed("S002-17")
@pytest.mark.parametrize(
    "query", ["", "async=false", "async=FALSE", "async=true&async=false", "a=async", "asynchronous=true", "xasync=true"]
)
def test_async_false_or_absent_is_synchronous(moysklad: MoySklad, query: str) -> None:
    assert not moysklad.wants_async(call(query=query))


@pytest.mark.parametrize("query", ["async=1", "async=yes", "async", "async=true&async=да", "async=%FF"])
def test_another_value_of_async_is_1084(moysklad: MoySklad, query: str) -> None:
    assert moysklad.wants_async(call(query=query))
    with pytest.raises(exceptions.ParameterRefused) as caught:
        moysklad.admit(call(query=query))
    error = errors(moysklad.problem(caught.value, context()))[0]
    assert (error["code"], error["parameter"]) == (1084, "async")
    assert "true, false" in error["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_write_is_61000(moysklad: MoySklad, method: str) -> None:
    with pytest.raises(exceptions.NotEligible) as caught:
        moysklad.admit(call(method, query="async=true"))
    assert refused(moysklad, caught.value) == (61000, 412)


@pytest.mark.seed("S002-14", "S002-15")
@pytest.mark.parametrize("parameter", ["limit=10", "offset=0", "limit=", "offset", "%6Cimit=1"])
def test_paging_with_async_is_61001(moysklad: MoySklad, parameter: str) -> None:
    with pytest.raises(exceptions.PagingRefused) as caught:
        moysklad.admit(call(query=f"async=true&{parameter}"))
    assert refused(moysklad, caught.value) == (61001, 412)


@pytest.mark.seed("S001-12")
def test_get_is_admitted_with_and_without_gzip(moysklad: MoySklad) -> None:
    moysklad.admit(call(query="async=true", Accept_Encoding="gzip"))
    moysklad.admit(call(query="async=true"))


@pytest.mark.parametrize(
    "accepted", ["", "br", "gzip;q=0", "gzip;q=0.0", "identity, gzip; q=0", "gzipped", "gzip;q=0, *"]
)
def test_require_gzip_answers_415_without_a_body(accepted: str) -> None:
    strict = MoySklad(name="moysklad", policy=RemapPolicy(require_gzip=True))
    with pytest.raises(exceptions.CompressionRequired) as caught:
        strict.admit(call(query="async=true", Accept_Encoding=accepted))
    response = strict.problem(caught.value, context())
    assert (response.status, response.body) == (415, b"")


@pytest.mark.parametrize("accepted", ["gzip", "GZIP", "gzip, deflate, br", "br;q=1, gzip;q=0.5", "*", "x-gzip"])
def test_require_gzip_accepts_all_spellings(accepted: str) -> None:
    strict = MoySklad(name="moysklad", policy=RemapPolicy(require_gzip=True))
    strict.admit(call(query="async=true", Accept_Encoding=accepted))


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("async=true", ""),
        ("momentFrom=2018-09-06&interval=hour&async=true", "momentFrom=2018-09-06&interval=hour"),
        ("async=false&b=%D0%B0+1&async=true&a=&a", "b=%D0%B0+1&a=&a"),
        ("%61sync=1&a=1", "a=1"),
    ],
)
def test_view_gets_the_query_without_async(moysklad: MoySklad, query: str, target: str) -> None:
    assert moysklad.target(call(path="/report", query=query)) == ("/report", target)


@given(st.lists(st.text(alphabet="ab=%+;2 ", min_size=1, max_size=6), max_size=6))
def test_other_bytes_of_the_query_are_kept(parts: list[str]) -> None:
    dialect = MoySklad(name="moysklad")
    assert dialect.target(call(query="&".join([*parts, "async=true"])))[1] == "&".join(parts)


def test_methods_are_get_only() -> None:
    assert {"GET"} == MoySklad.METHODS


def test_policy_has_the_documented_numbers() -> None:
    policy = MoySklad.POLICY
    assert policy.capacity == 4
    assert policy.retention == dt.timedelta(hours=1)
    assert policy.window == policy.error_retention == dt.timedelta(days=7)
    assert policy.link_lifetime == policy.run_limit == dt.timedelta(minutes=5)
    assert (policy.time_zone, policy.language) == ("Europe/Moscow", "ru")


# The 202 -------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S001-5", "S001-6", "S001-7", "S001-8", "S002-10", "S002-11", "S002-12")
def test_kick_off_has_two_urls_and_no_body(moysklad: MoySklad) -> None:
    response = moysklad.accepted(snapshot(State.PENDING), context())
    assert (response.status, response.body) == (202, b"")
    assert header(response.headers, "Location") == f"{TASK}/result"
    assert header(response.headers, "Content-Location") == TASK
    assert header(response.headers, "Content-Length") == "0"
    assert header(response.headers, "Retry-After") == "1"


def test_kick_off_has_the_estimate(moysklad: MoySklad) -> None:
    response = moysklad.accepted(snapshot(State.PENDING), context(estimate=Estimate(retry_after=18)))
    assert header(response.headers, "Retry-After") == "18"


# Status --------------------------------------------------------------------------------------------------------------

FIELDS = {"meta", "id", "accountId", "owner", "state", "request"}


@pytest.mark.seed("S001-14", "S001-15", "S002-19", "S002-20", "S002-21", "S002-22", "S002-23", "S002-44")
@pytest.mark.parametrize("state", State)
def test_status_is_a_200_with_the_common_fields(moysklad: MoySklad, state: State) -> None:
    response = moysklad.status(snapshot(state), context())
    assert response.status == 200
    task = document(response)
    assert task.keys() >= FIELDS
    assert (task["id"], task["accountId"], task["state"]) == (str(TASK_ID), ACCOUNT, state.value)


@pytest.mark.seed("S001-16", "S001-19", "S002-25", "S002-26", "S002-27", "S002-39")
@pytest.mark.parametrize("state", [*UNFINISHED, State.ERROR, State.CANCEL])
def test_status_without_a_result_has_only_the_common_fields(moysklad: MoySklad, state: State) -> None:
    assert document(moysklad.status(snapshot(state), context())).keys() == FIELDS


@pytest.mark.seed("S001-20", "S001-22", "S001-41", "S002-25", "S002-26")
def test_status_of_done_adds_result_url_and_deletion_date(moysklad: MoySklad) -> None:
    task = document(moysklad.status(snapshot(State.DONE), context()))
    assert task.keys() == FIELDS | {"resultUrl", "deletionDate"}
    assert task["resultUrl"] == header(moysklad.accepted(snapshot(), context()).headers, "Location")


def test_status_of_an_expired_task_keeps_both(moysklad: MoySklad) -> None:
    task = document(moysklad.status(snapshot(deletion_date=NOW - dt.timedelta(days=1)), context()))
    assert {"resultUrl", "deletionDate"} <= task.keys()


@pytest.mark.seed("S001-21")
def test_meta_of_a_task(moysklad: MoySklad) -> None:
    meta = document(moysklad.status(snapshot(), context()))["meta"]
    assert meta == {"href": TASK, "type": "async", "mediaType": "application/json"}


@pytest.mark.seed("S001-17")
def test_employee_owner_has_a_page(moysklad: MoySklad) -> None:
    assert document(moysklad.status(snapshot(), context()))["owner"]["meta"] == {
        "href": f"{BASE}/entity/employee/{EMPLOYEE}",
        "metadataHref": f"{BASE}/entity/employee/metadata",
        "type": "employee",
        "mediaType": "application/json",
        "uuidHref": f"https://online.moysklad.ru/app/#employee/edit?id={EMPLOYEE}",
    }


@pytest.mark.seed("S002-22", "S002-37")
def test_application_owner_has_no_page(moysklad: MoySklad) -> None:
    owner = Owner(account=ACCOUNT, kind="application", id=EMPLOYEE)
    assert document(moysklad.status(snapshot(owner=owner), context()))["owner"]["meta"] == {
        "href": f"{BASE}/entity/application/{EMPLOYEE}",
        "metadataHref": f"{BASE}/entity/application/metadata",
        "type": "application",
        "mediaType": "application/json",
    }


@pytest.mark.parametrize("reference", ["", "1", "alice@example.com", "{98fa7086-8aa1-11e8-7210-075e0000002c}", "я"])
def test_id_that_is_no_uuid_becomes_a_stable_uuid(moysklad: MoySklad, reference: str) -> None:
    task = snapshot(owner=Owner(account=reference, id=reference))
    first, second = (document(moysklad.status(task, context())) for _ in range(2))
    assert first == second
    account, owner = first["accountId"], first["owner"]["meta"]["href"].rpartition("/")[2]
    assert {uuid.UUID(account).version, uuid.UUID(owner).version} == {5}
    assert account != owner


def test_derived_uuids_never_change(moysklad: MoySklad) -> None:
    task = document(moysklad.status(snapshot(owner=Owner(account="1", id="1")), context()))
    assert task["accountId"] == "576ce9a1-56af-5eae-962e-11f6706e91c5"


@pytest.mark.seed("S001-18", "S002-46")
def test_request_is_the_submitted_url(moysklad: MoySklad) -> None:
    url = f"{BASE}/report/sales/plotseries?momentFrom=2018-09-06&interval=hour&async=true"
    assert document(moysklad.status(snapshot(url=url), context()))["request"] == url


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (dt.datetime(2021, 2, 16, 13, 21, 9, tzinfo=dt.UTC), "2021-02-16 16:21:09.000"),
        (dt.datetime(2021, 4, 16, 13, 7, 13, 27_999, tzinfo=dt.UTC), "2021-04-16 16:07:13.027"),
    ],
)
@pytest.mark.seed("S001-31")
def test_dates_have_milliseconds_and_moscow_time(moysklad: MoySklad, moment: dt.datetime, text: str) -> None:
    assert document(moysklad.status(snapshot(deletion_date=moment), context()))["deletionDate"] == text


@pytest.mark.seed("S002-27", "S002-45")
def test_api_error_shows_the_views_errors(moysklad: MoySklad) -> None:
    own = [{"error": "Ошибка: не указан обязательный параметр", "code": 39000}]
    task = snapshot(State.API_ERROR, status_code=412, content=json.dumps({"errors": own}).encode())
    answer = document(moysklad.status(task, context()))
    assert answer.keys() == FIELDS | {"errors"}
    assert answer["errors"] == own


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"<h1>Forbidden</h1>",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"errors": []}',
        b'{"errors": {"name": ["taken"]}}',
        b'{"errors": ["text"]}',
        b'{"detail": {"a": 1}}',
        b"[" * 100_000,
    ],
)
def test_api_error_in_another_format_is_derived_from_its_status(moysklad: MoySklad, content: bytes | None) -> None:
    task = snapshot(State.API_ERROR, content=content)
    assert document(moysklad.status(task, context()))["errors"] == [{"error": "Forbidden", "code": 1016}]


@pytest.mark.parametrize(
    ("status", "code"), [(400, 1005), (401, 1056), (403, 1016), (404, 1021), (405, 1039), (412, 1005), (499, 1005)]
)
def test_drf_detail_becomes_an_error_with_an_integer_code(moysklad: MoySklad, status: int, code: int) -> None:
    task = snapshot(State.API_ERROR, status_code=status, content=b'{"detail": "No."}')
    assert document(moysklad.status(task, context()))["errors"] == [{"error": "No.", "code": code}]


def test_unknown_status_is_shown_as_its_number(moysklad: MoySklad) -> None:
    task = snapshot(State.API_ERROR, status_code=499, content=None)
    assert document(moysklad.status(task, context()))["errors"] == [{"error": "499", "code": 1005}]


def test_lone_surrogate_in_an_error_is_replaced(moysklad: MoySklad) -> None:
    task = snapshot(State.API_ERROR, content=b'{"errors": [{"error": "\\ud800", "code": 1}]}')
    assert document(moysklad.status(task, context()))["errors"] == [{"error": "?", "code": 1}]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", MoySklad.ROUTES)
def test_bodies_are_read_for_api_errors_only(moysklad: MoySklad, verb: str, state: State) -> None:
    assert moysklad.reads(verb, state) is (state is State.API_ERROR and verb in {"status", "list"})


# Result --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code"),
    [(State.PENDING, 61006), (State.PROCESSING, 61006), (State.ERROR, 61004), (State.CANCEL, 61005)],
)
def test_result_without_response_is_a_412(moysklad: MoySklad, state: State, code: int) -> None:
    with pytest.raises(exceptions.ResultUnavailable) as caught:
        moysklad.result(snapshot(state), context())
    assert refused(moysklad, caught.value) == (code, 412)


@pytest.mark.seed("S001-42", "S002-51")
@pytest.mark.parametrize("state", [State.DONE, State.API_ERROR])
def test_expired_result_is_61003(moysklad: MoySklad, state: State) -> None:
    with pytest.raises(exceptions.ResultExpired) as caught:
        moysklad.result(snapshot(state, deletion_date=NOW), context())
    assert refused(moysklad, caught.value) == (61003, 404)


@pytest.mark.seed("S001-44", "S001-45", "S002-52")
def test_result_of_an_api_error_is_its_response(moysklad: MoySklad) -> None:
    assert moysklad.result(snapshot(State.API_ERROR), context()) == Replay()


def link(dialect: MoySklad, task: Snapshot | None = None, **changes: Any) -> tuple[str, dict[str, str]]:
    """(URL without query, query) of the link in the result's redirect."""
    response = dialect.result(task or snapshot(), context(**changes))
    assert isinstance(response, Response)
    address = header(response.headers, "Location") or ""
    return address.partition("?")[0], dict(parse_qsl(urlsplit(address).query, strict_parsing=True))


@pytest.mark.seed("S001-33", "S001-34", "S002-47", "S002-49")
def test_result_of_done_redirects_to_a_signed_link(moysklad: MoySklad) -> None:
    response = moysklad.result(snapshot(), context())
    assert isinstance(response, Response)
    assert (response.status, response.body) == (302, b"")
    assert header(response.headers, "Cache-Control") == "no-store"
    address, query = link(moysklad)
    assert address == f"{TASK}/download"
    assert list(query) == ["temp_url_sig", "temp_url_expires", "filename"]
    assert re.fullmatch("[0-9a-f]{64}", query["temp_url_sig"])
    assert query["filename"] == f"asynctask_{TASK_ID}_result.json"


@pytest.mark.seed("S001-36", "S002-50")
def test_link_is_valid_for_five_minutes(moysklad: MoySklad) -> None:
    _, query = link(moysklad)
    moysklad.download(snapshot(), context(now=NOW + dt.timedelta(seconds=299)), query)
    with pytest.raises(exceptions.LinkInvalid):
        moysklad.download(snapshot(), context(now=NOW + dt.timedelta(seconds=300)), query)


def test_link_lifetime_is_rounded_up(moysklad: MoySklad) -> None:
    late = NOW + dt.timedelta(milliseconds=500)
    assert int(link(moysklad, now=late)[1]["temp_url_expires"]) == NOW.timestamp() + 301


def test_link_expires_with_the_result(moysklad: MoySklad) -> None:
    task = snapshot(deletion_date=NOW + dt.timedelta(seconds=10, milliseconds=900))
    assert int(link(moysklad, task)[1]["temp_url_expires"]) == NOW.timestamp() + 10


def test_each_get_of_the_result_makes_a_new_link(moysklad: MoySklad) -> None:
    assert link(moysklad) != link(moysklad, now=NOW + dt.timedelta(seconds=1))


# The link ------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S001-35", "S002-48")
def test_link_downloads_the_response_as_a_file(moysklad: MoySklad) -> None:
    answer = moysklad.download(snapshot(), context(viewer=None), link(moysklad)[1])
    assert answer.status == 200
    name = f"asynctask_{TASK_ID}_result.json"
    assert header(answer.headers, "Content-Disposition") == f'attachment; filename="{name}"'
    assert header(answer.headers, "Cache-Control") == "no-store"


def test_download_has_security_headers(moysklad: MoySklad) -> None:
    answer = moysklad.download(snapshot(), context(), link(moysklad)[1])
    assert header(answer.headers, "X-Content-Type-Options") == "nosniff"
    assert header(answer.headers, "Content-Security-Policy") == "sandbox"
    assert header(answer.headers, "Referrer-Policy") == "no-referrer"
    assert answer.drop == {"set-cookie", "location"}


def test_only_the_download_is_public() -> None:
    assert [verb for verb, route in MoySklad.ROUTES.items() if route.public] == ["download"]


def test_filename_is_not_taken_from_the_query(moysklad: MoySklad) -> None:
    answer = moysklad.download(snapshot(), context(), link(moysklad)[1] | {"filename": 'evil"\r\nX: .exe'})
    assert "evil" not in (header(answer.headers, "Content-Disposition") or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"temp_url_sig": ""},
        {"temp_url_sig": "0" * 64},
        {"temp_url_sig": "я"},
        {"temp_url_expires": "9999999999"},
        {"temp_url_expires": ""},
        {"temp_url_expires": "soon"},
        {"temp_url_expires": "-1"},
        {"temp_url_expires": "١"},
        {"temp_url_expires": "\ud800"},
        {"temp_url_expires": "9" * 5000},
    ],
)
def test_changed_link_is_a_403(moysklad: MoySklad, changes: dict[str, str]) -> None:
    with pytest.raises(exceptions.LinkInvalid) as caught:
        moysklad.download(snapshot(), context(), link(moysklad)[1] | changes)
    assert refused(moysklad, caught.value) == (1016, 403)


@pytest.mark.parametrize("missing", ["temp_url_sig", "temp_url_expires"])
def test_link_without_signature_or_expiry_is_refused(moysklad: MoySklad, missing: str) -> None:
    query = link(moysklad)[1]
    del query[missing]
    with pytest.raises(exceptions.LinkInvalid):
        moysklad.download(snapshot(), context(), query)


@pytest.mark.parametrize("changes", [{"id": uuid.uuid4()}, {"attempt": 2}], ids=["task", "attempt"])
def test_link_is_for_one_attempt_of_one_task(moysklad: MoySklad, changes: dict[str, Any]) -> None:
    with pytest.raises(exceptions.LinkInvalid):
        moysklad.download(snapshot(**changes), context(), link(moysklad)[1])


def test_link_signed_with_another_key_is_refused(moysklad: MoySklad) -> None:
    other = context(signer=Signer(keys=("other",), salt="download"))
    with pytest.raises(exceptions.LinkInvalid):
        moysklad.download(snapshot(), other, link(moysklad)[1])


@pytest.mark.parametrize("state", [state for state in State if state is not State.DONE])
def test_link_to_another_state_is_refused(moysklad: MoySklad, state: State) -> None:
    with pytest.raises(exceptions.LinkInvalid):
        moysklad.download(snapshot(state), context(), link(moysklad)[1])


def test_valid_link_to_an_expired_result_is_61003(moysklad: MoySklad) -> None:
    with pytest.raises(exceptions.ResultExpired):
        moysklad.download(snapshot(deletion_date=NOW), context(), link(moysklad)[1])


@pytest.mark.parametrize(
    ("content_type", "suffix"),
    [
        ("", "json"),
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/vnd.api+json", "json"),
        ("text/csv; header=present", "csv"),
        ("text/plain", "txt"),
        ("text/html; charset=utf-8", "html"),
        ("application/pdf", "pdf"),
        ("application/x-msdownload", "bin"),
    ],
)
def test_filename_extension_follows_the_content_type(moysklad: MoySklad, content_type: str, suffix: str) -> None:
    task = snapshot(content_type=content_type)
    assert link(moysklad, task)[1]["filename"] == f"asynctask_{TASK_ID}_result.{suffix}"


# List ----------------------------------------------------------------------------------------------------------------


def page(dialect: MoySklad, query: str = "", *rows: Snapshot, size: int | None = None) -> Any:
    listing = dialect.listing(query)
    found = Page(rows=rows, size=len(rows) if size is None else size, listing=listing)
    response = dialect.page(found, context())
    assert response.status == 200
    return document(response)


@pytest.mark.seed("S001-27", "S002-35")
def test_list_has_context_meta_and_rows(moysklad: MoySklad) -> None:
    answer = page(moysklad)
    assert list(answer) == ["context", "meta", "rows"]
    assert answer["context"]["employee"]["meta"] == {
        "href": f"{BASE}/context/employee",
        "metadataHref": f"{BASE}/entity/employee/metadata",
        "type": "employee",
        "mediaType": "application/json",
    }


@pytest.mark.seed("S001-28", "S002-36")
def test_meta_of_a_list(moysklad: MoySklad) -> None:
    assert page(moysklad, "", snapshot(), snapshot())["meta"] == {
        "href": f"{BASE}/async",
        "type": "async",
        "mediaType": "application/json",
        "size": 2,
        "limit": 1000,
        "offset": 0,
    }


@pytest.mark.seed("S001-29")
def test_href_of_a_list_repeats_the_filter(moysklad: MoySklad) -> None:
    answer = page(moysklad, "filter=state=done&deletionDate<2021-02-16 16:21:09")
    assert answer["meta"]["href"] == f"{BASE}/async?filter=state=done;deletionDate%3C2021-02-16%2016:21:09"


@pytest.mark.seed("S001-23", "S001-30", "S001-54", "S002-38", "S002-39")
def test_rows_are_complete_tasks_of_any_owner(moysklad: MoySklad) -> None:
    program = Owner(account=ACCOUNT, kind="application", id=EMPLOYEE)
    tasks = (snapshot(), snapshot(State.PROCESSING, owner=program))
    alone = [document(moysklad.status(task, context())) for task in tasks]
    assert page(moysklad, "", *tasks)["rows"] == alone


def test_row_without_its_body_is_derived_from_its_status(moysklad: MoySklad) -> None:
    rows = page(moysklad, "", snapshot(State.API_ERROR, content=None))["rows"]
    assert rows[0]["errors"] == [{"error": "Forbidden", "code": 1016}]


@pytest.mark.seed("S001-32")
def test_size_counts_all_pages(moysklad: MoySklad) -> None:
    assert page(moysklad, "limit=1", snapshot(), size=7)["meta"]["size"] == 7


@pytest.mark.parametrize(
    ("query", "size", "following", "previous"),
    [
        ("", 1000, None, None),
        ("", 1001, "offset=1000&limit=1000", None),
        ("limit=10&filter=state=done", 25, "filter=state=done&offset=10&limit=10", None),
        ("offset=10&limit=10&order=request", 25, "order=request&offset=20&limit=10", "order=request&offset=0&limit=10"),
        ("limit=10&offset=20", 25, None, "offset=10&limit=10"),
        ("offset=1", 3, None, "offset=0&limit=999"),
        ("offset=600", 601, None, "offset=0&limit=600"),
        ("offset=5000", 3, None, "offset=4000&limit=1000"),
    ],
)
def test_next_and_previous_href(
    moysklad: MoySklad, query: str, size: int, following: str | None, previous: str | None
) -> None:
    meta = page(moysklad, query, size=size)["meta"]
    assert meta.get("nextHref") == (following and f"{BASE}/async?{following}")
    assert meta.get("previousHref") == (previous and f"{BASE}/async?{previous}")


@given(st.integers(1, 1000), st.integers(0, 3000), st.integers(0, 3000))
def test_previous_page_leaves_no_gap(limit: int, offset: int, size: int) -> None:
    dialect = MoySklad(name="moysklad")
    meta = page(dialect, f"limit={limit}&offset={offset}", size=size)["meta"]
    if offset:
        before = dialect.listing(urlsplit(meta["previousHref"]).query)
        assert before.offset + before.limit >= offset
        assert before.limit <= limit


def test_filter_dates_are_in_the_policys_time_zone() -> None:
    utc = MoySklad(name="moysklad", policy=RemapPolicy(time_zone="UTC"))
    assert utc.listing("filter=deletionDate>2021-02-16 16:21").filters[0][1] == "2021-02-16T16:21:00+00:00"


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("order=state", 1063, "order"),
        ("order=request,down", 1042, "order"),
        ("limit=0", 1040, "limit"),
        ("offset=-1", 1040, "offset"),
        ("filter=name=x", 1034, "filter"),
        ("filter=state~DONE", 1034, "filter"),
        ("filter=state=RUNNING", 1041, "filter"),
        ("filter=deletionDate=now", 1035, "filter"),
        ("filter=deletionDate<1960-01-01 00:00", 1014, "filter"),
        ("filter=%FF", 1058, None),
    ],
)
def test_invalid_list_query_has_code_and_parameter(
    moysklad: MoySklad, query: str, code: int, parameter: str | None
) -> None:
    with pytest.raises(exceptions.ListingRefused) as caught:
        moysklad.listing(query)
    response = moysklad.problem(caught.value, context())
    assert response.status == 400
    assert (errors(response)[0]["code"], errors(response)[0].get("parameter")) == (code, parameter)


def test_unknown_state_is_answered_with_the_known_ones(moysklad: MoySklad) -> None:
    with pytest.raises(exceptions.StateUnknown) as caught:
        moysklad.listing("filter=state=100%25")
    text = errors(moysklad.problem(caught.value, context()))[0]["error"]
    assert "100%" in text
    assert "PENDING, PROCESSING, DONE, API_ERROR, ERROR, CANCEL" in text


# Cancel and errors ---------------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-62")
def test_cancellation_is_a_204_without_a_body(moysklad: MoySklad) -> None:
    response = moysklad.cancelled(snapshot(State.CANCEL), context())
    assert (response.status, response.body) == (204, b"")
    assert (MoySklad.ROUTES["cancel"].method, MoySklad.ROUTES["cancel"].path) == ("PUT", "async/{id}/cancel")


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (exceptions.CapacityExceeded, 61002, 412),
        (exceptions.SubmitFailed, 61008, 503),
        (exceptions.NotCancellable, 61007, 412),
        (exceptions.TaskNotFound, 1021, 404),
        (exceptions.MalformedId, 1002, 404),
        (exceptions.RouteNotFound, 1002, 404),
        (exceptions.NotAuthenticated, 1056, 401),
        (exceptions.PermissionDenied, 1016, 403),
        (exceptions.MethodNotAllowed, 1039, 405),
        (exceptions.RequestTooLarge, 1044, 413),
        (exceptions.Throttled, 1049, 429),
        (exceptions.InternalError, 1999, 500),
        (exceptions.Unavailable, 1999, 503),
    ],
)
def test_code_and_status_of_each_error(
    moysklad: MoySklad, error: type[exceptions.AsyncExchangeError], code: int, status: int
) -> None:
    assert refused(moysklad, error()) == (code, status)


@pytest.mark.parametrize("error", [exceptions.CapacityExceeded, exceptions.SubmitFailed])
def test_temporary_error_has_retry_after(moysklad: MoySklad, error: type[exceptions.AsyncExchangeError]) -> None:
    assert header(moysklad.problem(error(), context()).headers, "Retry-After") == "1"
    given_one = moysklad.problem(error(headers=(("Retry-After", "30"),)), context())
    assert [text for name, text in given_one.headers if name == "Retry-After"] == ["30"]


def test_final_state_has_no_status_that_clients_retry(moysklad: MoySklad) -> None:
    for state in (State.ERROR, State.CANCEL):
        with pytest.raises(exceptions.ResultUnavailable) as caught:
            moysklad.result(snapshot(state), context())
        assert moysklad.wire(caught.value).status not in {429, 500, 502, 503, 504}


def test_headers_of_an_error_are_sent(moysklad: MoySklad) -> None:
    error = exceptions.MethodNotAllowed(headers=(("Allow", "PUT"),))
    assert header(moysklad.problem(error, context()).headers, "Allow") == "PUT"


def russian() -> dict[str, str]:
    """The Russian catalogue: msgid → msgstr, both in one line."""
    return dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', CATALOG.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.seed("S001-11")
def test_error_over_capacity_is_61002_with_the_documented_text(moysklad: MoySklad) -> None:
    response = moysklad.problem(exceptions.CapacityExceeded(), context(translate=russian().__getitem__))
    assert errors(response) == [
        {
            "error": "Ошибка при создании асинхронной задачи: превышено ограничение на количество "
            "одновременно выполняемых асинхронных операций.",
            "code": 61002,
        }
    ]


def test_every_text_has_a_russian_translation_with_the_same_placeholders() -> None:
    for cls in MoySklad.CODES:
        text = MoySklad(name="moysklad").wire(cls()).text
        assert re.findall(r"%\(\w+\)s", russian()[text]) == re.findall(r"%\(\w+\)s", text)


def test_href_without_a_query_has_no_question_mark(moysklad: MoySklad) -> None:
    found = Page(rows=(), size=0, listing=replace(Listing(limit=5), echo=""))
    assert document(moysklad.page(found, context()))["meta"]["href"] == f"{BASE}/async"
