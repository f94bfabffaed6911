"""The Prefer header (RFC 7240, section 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.dialects.base.prefer_header import parse, wait_of, wants_async

from ..services import PATIENCE, given_up_after

CAP = 30.0


def values(header: str) -> dict[str, str]:
    return {name: preference.value for name, preference in parse(header).items()}


# Parsing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # the examples of RFC 7240, section 2
        ("respond-async, wait=10", {"respond-async": "", "wait": "10"}),
        ("foo; bar", {"foo": ""}),
        ('foo; bar=""', {"foo": ""}),
        ('foo=""; bar', {"foo": ""}),
        ("respond-async, wait=100, handling=lenient", {"respond-async": "", "wait": "100", "handling": "lenient"}),
        ("priority=5", {"priority": "5"}),
        ('return=minimal; foo="some parameter"', {"return": "minimal"}),
        # names are case-insensitive, values are not
        ("Respond-Async, RETURN=Minimal", {"respond-async": "", "return": "Minimal"}),
        # the first of repeated ones wins
        ("wait=1, wait=2, Wait=3", {"wait": "1"}),
        # white space around every separator
        ("  a  =  1  ;  p  =  2  ,\tb ", {"a": "1", "b": ""}),
        # quoted strings keep separators and lose their escapes
        (r'a="x, y; z=1", b', {"a": "x, y; z=1", "b": ""}),
        (r'a="say \"hi\" \\ \x", b', {"a": r'say "hi" \ x', "b": ""}),
        ('a="\\\\", b', {"a": "\\", "b": ""}),
        # no value
        ("a=, b", {"a": "", "b": ""}),
        # several lines, some of them empty
        ("a,,, ,b,", {"a": "", "b": ""}),
        ("", {}),
        (" \t", {}),
    ],
)
def test_preferences_are_parsed(header: str, expected: dict[str, str]) -> None:
    assert values(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a b, c", {"c": ""}),
        ("=1, c", {"c": ""}),
        ("a=1=2, c", {"c": ""}),
        ("a==1, c", {"c": ""}),
        ('"a"=1, c', {"c": ""}),
        ('a"b", c', {"c": ""}),
        ("a=1 2, c", {"c": ""}),
        ("a/b, c", {"c": ""}),
        ("ä, c", {"c": ""}),
        ("a\0, c", {"c": ""}),
        ("a\r\nb, c", {"c": ""}),
        (";, c", {"c": ""}),
        (";a, c", {"c": ""}),
        ("c; =; d e; p=1", {"c": ""}),
    ],
)
def test_malformed_preference_is_skipped(header: str, expected: dict[str, str]) -> None:
    assert values(header) == expected


@pytest.mark.parametrize("header", ['a="b, c', 'a="b\\", c', 'a="b\\', 'a="'])
def test_unclosed_quote_takes_the_rest(header: str) -> None:
    assert values(f"first, {header}") == {"first": ""}


def test_malformed_preference_does_not_hide_a_later_one() -> None:
    assert values("wait=1 2, wait=3") == {"wait": "3"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a", {}),
        ("a;", {}),
        ("a; b", {"b": ""}),
        ('a=1; b=2; c="d, e; f"', {"b": "2", "c": "d, e; f"}),
        ("a; B=1; b=2", {"b": "1"}),
        ("a;; b = 1 ; ", {"b": "1"}),
        ("a; b c; d", {"d": ""}),
        ('a; callback; url="https://example.com/?a=1,2"', {"callback": "", "url": "https://example.com/?a=1,2"}),
    ],
)
def test_parameters_belong_to_their_preference(header: str, expected: dict[str, str]) -> None:
    assert parse(f"{header}, z; y=x")["a"].parameters == expected


def test_callback_is_a_preference_with_a_url() -> None:
    found = parse('respond-async, callback;url="https://example.com/done;now,please"')
    assert found["callback"].parameters == {"url": "https://example.com/done;now,please"}


# respond-async and wait ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "respond-async",
        "Respond-ASYNC",
        " respond-async ",
        "respond-async=",
        'respond-async=""',
        "respond-async; strict",
        "respond-async, wait=10",
        "wait=10,respond-async",
        "return=minimal, , respond-async",
        'foo="a, b", respond-async',
        "a b c, respond-async",
        "respond-async, respond-async",
    ],
)
def test_respond_async_is_a_trigger(header: str) -> None:
    assert wants_async(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "wait=5",
        'foo="respond-async"',
        'foo="x, respond-async, y"',
        "foo=respond-async",
        "foo; respond-async",
        "respond-asynchronously",
        "x-respond-async",
        "respond-async respond-async",
        "respond-async/1",
        "respond-async=no",
        '"respond-async"',
        'foo="never closed, respond-async',
    ],
)
def test_anything_else_is_no_trigger(header: str) -> None:
    assert not wants_async(header)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("respond-async, wait=5", 5.0),
        ("wait=5", 5.0),
        ('wait="5"', 5.0),
        ("Wait = 5", 5.0),
        ("wait=5, wait=7", 5.0),
        ("wait=005", 5.0),
        ("wait=30", 30.0),
        ("wait=31", CAP),
        ("wait=9999999999", CAP),
        ("wait=10000000000", 0.0),
        ("wait=" + "9" * 5000, 0.0),
        ("wait=0", 0.0),
        ("wait=-1", 0.0),
        ("wait=+5", 0.0),
        ("wait=1.5", 0.0),
        ("wait=1e3", 0.0),
        ("wait=ten", 0.0),
        ("wait=٥", 0.0),
        ('wait="²"', 0.0),
        ('wait=" 5"', 0.0),
        ("wait=5 5", 0.0),
        ("wait=", 0.0),
        ("wait", 0.0),
        ("waiting=5", 0.0),
        ('foo="wait=5"', 0.0),
        ("foo; wait=5", 0.0),
        ("respond-async", 0.0),
        ("", 0.0),
    ],
)
def test_wait(header: str, seconds: float) -> None:
    assert wait_of(header, CAP) == seconds


def test_cap_of_zero_never_waits() -> None:
    assert wait_of("wait=5", 0) == 0


# Hostile headers -----------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.sampled_from('",;=\\ \t\0aé-') | st.characters(), max_size=200))
def test_fuzzed_header_raises_nothing(header: str) -> None:
    parse(header)
    wants_async(header)
    assert 0 <= wait_of(header, CAP) <= CAP


TOKENS = st.from_regex(r"[!#$%&'*+.^_`|~0-9a-z-]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), max_size=8)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.dictionaries(TOKENS, st.tuples(TEXTS, st.dictionaries(TOKENS, TEXTS, max_size=3)), max_size=4))
def test_quoted_preferences_round_trip(given: dict[str, tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        "; ".join(f"{name}={quoted(text)}" for name, text in ((name, text), *parameters.items()))
        for name, (text, parameters) in given.items()
    )
    assert {name: (one.value, dict(one.parameters)) for name, one in parse(header).items()} == given


@pytest.mark.parametrize(
    "piece",
    [",", ";", "=", '"', "\\", '"\\', '\\"', '",', '"\\",', "a;", "a=", "a,", " ", "\t,", ' "', "é", 'a="', "a b,"],
)
def test_hostile_header_is_parsed_in_linear_time(piece: str) -> None:
    header = "respond-async, x" + piece * (100_000 // len(piece)) + " wait"
    with given_up_after(PATIENCE):  # quadratic time would be minutes
        parse(header)
