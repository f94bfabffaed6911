"""Weighted header values (RFC 9110 section 12.4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.protocol.accept import parse, prefers_html, ranked, weights


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", {}),
        (" , ;q=1, ,", {}),
        ("text/html", {"text/html": 1}),
        ("Text/HTML;Level=1; Q=0.7", {"text/html": 0.7}),
        ("gzip;q=0, *", {"gzip": 0, "*": 1}),
        ("br ; q = 0.25,gzip\t;\tq=1.000", {"br": 0.25, "gzip": 1}),
        ("en-GB,en;q=0.9,ru;q=.8", {"en-gb": 1, "en": 0.9, "ru": 0.8}),
        ('text/plain;a="x, y;q=0";q=0.5, text/csv', {"text/plain": 0.5, "text/csv": 1}),
        (r'text/plain;a="\",";q=0.5', {"text/plain": 0.5}),
        ('text/plain;a="never closed, text/csv;q=0.5', {"text/plain": 1}),
        ("a;q=0.2, a;q=0.8, a;q=0.5", {"a": 0.8}),
        ("a;q=1.5", {"a": 1}),
    ],
)
def test_values_have_weights(header, found):
    assert weights(header) == found


@pytest.mark.parametrize("weight", ["", "-1", "2", "nan", "inf", "1e9", "0,5", "١", "0.5x", "1.0.0", '"1"'])
def test_malformed_weight_is_zero(weight):
    assert weights(f"gzip;q={weight}")["gzip"] == 0


def test_first_weight_of_an_element_counts():
    assert weights("a;q=0.5;q=1") == {"a": 0.5}


def test_elements_are_kept_as_they_were_written():
    assert [each.text for each in parse(' Gzip;Q=1 ,br;x="a,b"')] == ["Gzip;Q=1", 'br;x="a,b"']


def test_ranking_follows_the_weights_and_then_the_order():
    assert ranked("a;q=0.5, b, c;q=0, d;q=0.5, e") == ["b", "e", "a", "d"]


@pytest.mark.parametrize(
    ("header", "is_html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html, text/*;q=0.5, image/*, */*", True),
        ("application/json, text/html", True),
        ("text/html;q=0.1", True),
        ("text/html;q=0.5, application/json;q=0.1, */*", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/html;q=0", False),
        ("application/json, text/html;q=0.9", False),
        ("application/hal+json, text/html;q=0.9", False),
        ("application/*, text/html;q=0.9", False),
        ("text/html;q=0.5, */*;q=0.8", False),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", False),
    ],
)
def test_html_is_preferred_where_it_is_named_and_ranks_no_lower_than_json(header, is_html):
    assert prefers_html(header) is is_html


@given(st.text(st.sampled_from('aq=;,."\\01 \t*/é'), max_size=60))
def test_any_header_can_be_parsed(header):
    assert all(0 <= weight <= 1 for weight in weights(header).values())
