"""MoySklad's list query: tables of queries and their meaning, and properties of all queries."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.moysklad.filters import PARAMETERS, parse
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Listing

MOSCOW = zoneinfo.ZoneInfo("Europe/Moscow")
SEED = "filter=state=done&deletionDate<2021-02-16 16:21:09"
URL = "https://api.example.com/report?interval=hour"


def listing(query: str) -> Listing:
    return parse(query, MOSCOW)


def filters(condition: str) -> tuple[tuple[str, str], ...]:
    return listing("filter=" + quote(condition, safe="")).filters


# The documented query ------------------------------------------------------------------------------------------------


@pytest.mark.seed("S001-24", "S001-25", "S001-26")
def test_documented_query_is_two_conditions() -> None:
    assert listing(SEED).filters == (("state", "DONE"), ("deletion_date__lt", "2021-02-16T13:21:09+00:00"))


@pytest.mark.seed("S001-29")
def test_documented_query_is_echoed_as_documented() -> None:
    assert listing(SEED).echo == "filter=state=done;deletionDate%3C2021-02-16%2016:21:09"


@pytest.mark.parametrize(
    "query",
    [
        "filter=state=done;deletionDate%3C2021-02-16%2016:21:09",
        "filter=state%3Ddone%3BdeletionDate%3C2021-02-16+16%3A21%3A09",
        "filter=state=done&deletionDate%3C2021-02-16+16:21:09",
        "filter=state=done&filter=deletionDate<2021-02-16 16:21:09",
        "filter=state=done;&filter=deletionDate<2021-02-16 16:21:09;",
        "%66ilter=state=done&deletionDate<2021-02-16%2016:21:09",
    ],
)
def test_spellings_of_the_documented_query_are_equivalent(query: str) -> None:
    assert listing(query) == listing(SEED)


# Operators -----------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-41", "S002-42", "S002-43")
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", []),
        ("state=DONE", [("state", "DONE")]),
        ("state=Api_Error;", [("state", "API_ERROR")]),
        ("state=DONE;state=ERROR", [("state", "DONE"), ("state", "ERROR")]),
        ("state!=DONE;state!=ERROR", [("state__not", "DONE"), ("state__not", "ERROR")]),
        ("state=DONE;state!=ERROR", [("state", "DONE"), ("state__not", "ERROR")]),
        (f"request={URL}&async=true", [("request", f"{URL}&async=true")]),
        ("request=a!=b<c", [("request", "a!=b<c")]),
        ("request!=a=b", [("request__not", "a=b")]),
        (r"request=a\;b", [("request", "a;b")]),
        (r"request=a\b\\;c", [("request", r"a\b\;c")]),
        ("request=", [("request", "")]),
        ("request!=", [("request__not", "")]),
        ("request= a ", [("request", " a ")]),
        ("deletionDate=", [("deletion_date__within", "null")]),
        ("deletionDate!=", [("deletion_date__not_within", "null")]),
        ("deletionDate<2021-02-16 16:21:09", [("deletion_date__lt", "2021-02-16T13:21:09+00:00")]),
        ("deletionDate>2021-02-16 16:21:09.027", [("deletion_date__gt", "2021-02-16T13:21:09.027000+00:00")]),
        ("deletionDate<=2021-02-16 16:21", [("deletion_date__lte", "2021-02-16T13:21:00+00:00")]),
        ("deletionDate>=2021-02-16 16:21", [("deletion_date__gte", "2021-02-16T13:21:00+00:00")]),
    ],
)
def test_filter_is_parsed(condition: str, expected: list[tuple[str, str]]) -> None:
    assert filters(condition) == tuple(expected)


@pytest.mark.parametrize(
    ("date", "end"),
    [
        ("2021-02-16 16:21", "2021-02-16T13:22:00+00:00"),
        ("2021-02-16 16:21:00", "2021-02-16T13:21:01+00:00"),
        ("2021-02-16 16:21:00.000", "2021-02-16T13:21:00.001000+00:00"),
    ],
)
def test_date_equals_the_interval_of_its_precision(date: str, end: str) -> None:
    assert filters(f"deletionDate={date}") == (("deletion_date__within", f"2021-02-16T13:21:00+00:00/{end}"),)
    assert filters(f"deletionDate!={date}") == (("deletion_date__not_within", f"2021-02-16T13:21:00+00:00/{end}"),)


def test_first_of_repeated_comparisons_counts() -> None:
    condition = "deletionDate<2021-02-16 16:21:09;deletionDate<2022-02-16 16:21:09"
    assert filters(condition) == (("deletion_date__lt", "2021-02-16T13:21:09+00:00"),)


def test_different_comparisons_make_a_range() -> None:
    condition = "deletionDate>=2021-02-16 16:00;deletionDate<2021-02-16 17:00"
    assert [name for name, _ in filters(condition)] == ["deletion_date__gte", "deletion_date__lt"]


@pytest.mark.parametrize(
    "condition",
    [
        "owner=me",
        "State=DONE",
        "owner__password__startswith=a",
        "_connector=OR",
        "state",
        "state~DONE",
        "state<DONE",
        "request~report",
        "request~=https",
        "request=~true",
        "request>a",
        "deletionDate~2021",
        "=DONE",
        "1=1",
        ";state=DONE",
        "state=DONE;;state=ERROR",
        "deletionDate=2021-02-16 16:21:09;deletionDate<2021-02-16 16:21:09",
        "deletionDate>=2021-02-16 16:21:09;deletionDate=",
        "request=" + "a" * 1024,
        ";".join(["state=DONE"] * 21),
    ],
)
def test_invalid_filter_is_refused(condition: str) -> None:
    with pytest.raises(exceptions.FilterRefused):
        filters(condition)


def test_filter_may_be_as_long_as_the_limits() -> None:
    assert len(filters(";".join(["state=DONE"] * 20))) == 20
    assert filters("request=" + "a" * 1016) == (("request", "a" * 1016),)


@pytest.mark.parametrize("text", ["", "RUNNING", "done ", "DONE,ERROR"])
@pytest.mark.parametrize("operator", ["=", "!="])
def test_unknown_state_is_refused_with_the_known_ones(operator: str, text: str) -> None:
    with pytest.raises(exceptions.StateUnknown) as caught:
        filters(f"state{operator}{text}")
    assert caught.value.details["allowed"] == "PENDING, PROCESSING, DONE, API_ERROR, ERROR, CANCEL"


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2021-02-16",
        "2021-02-16T16:21:09",
        "2021-02-16 16:21:09Z",
        "2021-02-16  16:21:09",
        "2021-02-16 16:21:09.1",
        "2021-02-16 16:21:09.1234",
        "2021-02-16 16:21.000",
        "2021-02-30 16:21:09",
        "2021-02-16 25:21:09",
        "0000-01-01 00:00:00",
        "٢٠٢١-02-16 16:21:09",
    ],
)
@pytest.mark.parametrize("operator", ["=", "!=", "<"])
def test_date_in_another_format_is_refused(operator: str, text: str) -> None:
    with pytest.raises(exceptions.DateMalformed):
        filters(f"deletionDate{operator}{text}")


def test_comparison_without_a_value_is_refused() -> None:
    with pytest.raises(exceptions.DateMalformed):
        filters("deletionDate<")


@pytest.mark.parametrize(
    "text", ["0001-01-01 00:00:00", "1970-01-01 02:59:59.999", "3000-01-01 00:00", "9999-12-31 23:59:59.999"]
)
def test_date_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(exceptions.DateOutOfRange):
        filters(f"deletionDate<{text}")


def test_earliest_date_is_the_epoch() -> None:
    assert filters("deletionDate>=1970-01-01 03:00:00") == (("deletion_date__gte", "1970-01-01T00:00:00+00:00"),)


# Other parameters ----------------------------------------------------------------------------------------------------


def test_condition_without_a_filter_is_ignored() -> None:
    assert listing("state=done&deletionDate<x").filters == ()


def test_condition_may_precede_the_filter() -> None:
    result = listing("limit=5&state=done&x=1&filter=request=a")
    assert result.filters == (("state", "DONE"), ("request", "a"))
    assert result.echo == "limit=5&filter=state=done;request=a&x=1"


def test_other_parameters_are_ignored_and_echoed() -> None:
    assert listing("a=1&a=%D0%B0&&b") == Listing(limit=1000, echo="a=1&a=%D0%B0&b")


@pytest.mark.seed("S001-28", "S002-36")
def test_empty_query_is_the_first_thousand() -> None:
    assert listing("") == Listing(limit=1000, offset=0)


@pytest.mark.parametrize(
    ("query", "limit", "offset"),
    [
        ("limit=1", 1, 0),
        ("limit=1000&offset=0", 1000, 0),
        ("limit=1001", 1000, 0),
        ("limit=" + "9" * 5000, 1000, 0),
        ("offset=5", 1000, 5),
        ("offset=" + "9" * 5000, 1000, 10**18),
        ("limit=5&limit=7", 7, 0),
    ],
)
def test_limit_and_offset(query: str, limit: int, offset: int) -> None:
    assert (listing(query).limit, listing(query).offset) == (limit, offset)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=", "limit", "limit=1.5", "limit=ten", "limit=+5", "limit=٣", "offset=-1"]
)
def test_invalid_limit_or_offset_is_refused(query: str) -> None:
    with pytest.raises(exceptions.PagingMalformed) as caught:
        listing(query)
    assert caught.value.details["parameter"] in {"limit", "offset"}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", ()),
        ("deletionDate", ("deletion_date",)),
        ("deletionDate,asc", ("deletion_date",)),
        ("deletionDate,desc;request", ("-deletion_date", "url")),
        ("request,DESC;", ("-url",)),
        ("request;request,desc", ("url",)),
    ],
)
def test_order(order: str, expected: tuple[str, ...]) -> None:
    assert listing("order=" + quote_plus(order)).order == expected


@pytest.mark.parametrize("order", ["state", "created", "-request", "DeletionDate", ";request", "request;;request"])
def test_order_by_another_field_is_refused(order: str) -> None:
    with pytest.raises(exceptions.OrderUnknown):
        listing("order=" + quote_plus(order))


@pytest.mark.parametrize("order", ["request,", "request,down", "request,asc,desc", "request, asc"])
def test_invalid_direction_is_refused(order: str) -> None:
    with pytest.raises(exceptions.DirectionUnknown):
        listing("order=" + quote_plus(order))


@pytest.mark.parametrize("query", ["filter=request=%FF", "filter=request=100%", "a=%zz", "%FF=1", "a=%00", "a=\ud800"])
def test_undecodable_query_is_refused(query: str) -> None:
    with pytest.raises(exceptions.QueryMalformed):
        listing(query)


# Properties of all queries -------------------------------------------------------------------------------------------

FIELDS = st.sampled_from([*PARAMETERS, "owner", ""])
OPERATORS = st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "~", "~=", "=~", ""])
VALUES = st.one_of(st.text(max_size=8), st.sampled_from([*State, "done", "2021-02-16 16:21", "1969-12-31 23:59:59"]))
CONDITIONS = st.lists(st.tuples(FIELDS, OPERATORS, VALUES).map("".join), max_size=4).map(";".join)
NAMES = st.sampled_from(["filter", "limit", "offset", "order", "state", "a"])
QUERIES = st.one_of(
    st.text(),
    st.text(alphabet="filter=&;%<>!~+\\statedone0 "),
    st.lists(st.tuples(NAMES, CONDITIONS).map(lambda pair: f"{pair[0]}={quote(pair[1])}"), max_size=4).map("&".join),
    st.lists(st.tuples(NAMES, CONDITIONS).map("=".join), max_size=4).map("&".join),
)


@given(QUERIES)
def test_fuzzed_query_is_a_listing_or_a_refusal(query: str) -> None:
    try:
        result = listing(query)
    except exceptions.ListingRefused as refusal:
        assert type(refusal) is not exceptions.ListingRefused
    else:
        assert {name for name, _ in result.filters} <= {name for row in PARAMETERS.values() for name in row.values()}


@given(QUERIES)
def test_echo_is_parsed_to_the_same_listing(query: str) -> None:
    try:
        result = listing(query)
    except exceptions.ListingRefused:
        return
    assert listing(result.echo) == result


@given(QUERIES)
def test_echo_is_a_valid_url(query: str) -> None:
    try:
        result = listing(query)
    except exceptions.ListingRefused:
        return
    assert result.echo.isascii()
    assert not set(result.echo) & set(' "#<>\\^`{|}')


TEXTS = st.text(alphabet=st.characters(exclude_characters="\0\\", codec="utf-8"), max_size=40).map("/".__add__)
"""A leading ``~`` would make the operator ``=~`` of ``=``, and a backslash may escape what follows."""


@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from([quote, quote_plus]))
def test_any_request_can_be_filtered_for(texts: list[str], encode: Callable[[str], str]) -> None:
    condition = ";".join("request=" + text.replace(";", r"\;") for text in texts)
    assert listing("filter=" + encode(condition)).filters == tuple(("request", text) for text in texts)


@given(st.lists(st.sampled_from(State), min_size=1, max_size=6))
def test_any_states_can_be_filtered_for(states: list[State]) -> None:
    assert filters(";".join(f"state={state.lower()}" for state in states)) == tuple(("state", s) for s in states)
