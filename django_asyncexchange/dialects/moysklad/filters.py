"""MoySklad's list query, the filter mini-language included, as a ``Listing``.

The query is read raw: in ``?filter=state=done&deletionDate<2021-02-16 16:21:09`` the second condition is a parameter of
its own to everyone else (S001). Values are typed here; names reaching the ``FilterSet`` come from ``PARAMETERS`` only.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from ...exceptions import (
    DateMalformed,
    DateOutOfRange,
    DirectionUnknown,
    FilterRefused,
    OrderUnknown,
    PagingMalformed,
    QueryMalformed,
    StateUnknown,
)
from ...protocol.states import State
from ...protocol.values import Listing, value

MAX_TEXT = 1024
MAX_CONDITIONS = 20
MAX_LIMIT = 1000
HUGE = 10**18
"""Stands for any longer number: more rows than there are, and still a 64-bit integer for the database."""

PARAMETERS = {
    "state": {"=": "state", "!=": "state__not"},
    "request": {"=": "request", "!=": "request__not"},
    "deletionDate": {
        "=": "deletion_date__within",
        "!=": "deletion_date__not_within",
        "<": "deletion_date__lt",
        ">": "deletion_date__gt",
        "<=": "deletion_date__lte",
        ">=": "deletion_date__gte",
    },
}
"""Field → operator → parameter of ``filters.AsyncTaskFilter``. What is absent here is refused (1034)."""

COMPARISONS = frozenset({"<", ">", "<=", ">="})
ORDER = {"deletionDate": "deletion_date", "request": "url"}
DIRECTIONS = {"": "", ",asc": "", ",desc": "-"}
STATES = {state.lower(): state for state in State}

CONDITION = re.compile(r"([A-Za-z][A-Za-z0-9_.]*)(!=|>=|<=|~=|=~|=|<|>|~)(.*)", re.DOTALL)
SEPARATOR = re.compile(r"(?<!\\);")
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
DATE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d)(:\d\d)?(\.\d{3})?", re.ASCII)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LAST_YEAR = 2999

VALUE_RAW = ";:,/?@!~="
NAME_RAW = VALUE_RAW.replace("=", "")


@value
class Segment:
    """One piece of the query between two ``&``, decoded."""

    name: str
    equals: str
    text: str

    @property
    def whole(self) -> str:
        return self.name + self.equals + self.text

    @property
    def canonical(self) -> str:
        return quote(self.name, NAME_RAW) + self.equals + quote(self.text, VALUE_RAW)

    @property
    def is_condition(self) -> bool:
        """Whether it belongs to the filter, by its name or because it reads like a condition (B5.2)."""
        match = CONDITION.fullmatch(self.whole)
        return self.name == "filter" or (match is not None and match[1] in PARAMETERS)


@value
class Term:
    """One condition; ``text`` has its escapes resolved."""

    field: str
    operator: str
    text: str

    @property
    def parameter(self) -> str:
        return PARAMETERS[self.field][self.operator]


def parse(query: str, zone: dt.tzinfo) -> Listing:
    """What the raw ``query`` asks for; dates without an offset are in ``zone``."""
    segments = [segment(part) for part in query.split("&") if part]
    conditions = [part for part in segments if part.is_condition]
    if not any(part.name == "filter" for part in segments):
        conditions = []
    text = join(part.text if part.name == "filter" else part.whole for part in conditions)
    last = {part.name: part.text for part in segments}
    return listing(
        last,
        filters=filters(text, zone),
        order=order(last.get("order", "")),
        echo=echo(segments, conditions, text),
    )


def listing(last: Mapping[str, str], **more: Any) -> Listing:
    """``limit`` and ``offset`` by the last of each parameter, and what else is known."""
    return Listing(
        limit=min(whole_number("limit", last.get("limit", str(MAX_LIMIT)), least=1), MAX_LIMIT),
        offset=whole_number("offset", last.get("offset", "0"), least=0),
        **more,
    )


def echo(segments: list[Segment], conditions: list[Segment], text: str) -> str:
    """The query as the answer's ``meta.href`` repeats it: one filter, joined by ``;`` (S001)."""
    parts = [part.canonical for part in segments if part not in conditions]
    if conditions:
        place = next(index for index, part in enumerate(segments) if part in conditions)
        parts.insert(place, "filter=" + quote(text, VALUE_RAW))
    return "&".join(parts)


# Reading -------------------------------------------------------------------------------------------------------------


def segment(raw: str) -> Segment:
    name, equals, text = raw.partition("=")
    return Segment(name=decode(name), equals=equals, text=decode(text))


def decode(raw: str) -> str:
    """One percent-decoding, with ``+`` and ``%20`` both a space, as clients send either ((c)8)."""
    try:
        text = unquote_to_bytes(raw.replace("+", " ")).decode()
    except UnicodeError:
        raise QueryMalformed() from None
    if BAD_ESCAPE.search(raw) or "\0" in text:  # no database compares with a zero character
        raise QueryMalformed()
    return text


def split(text: str) -> list[str]:
    """Conditions between unescaped semicolons; one may also end the text."""
    parts = SEPARATOR.split(text)
    return parts if parts[-1] else parts[:-1]


def join(texts: Iterable[str]) -> str:
    return ";".join(condition for text in texts for condition in split(text))


def whole_number(name: str, text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise PagingMalformed(parameter=name, value=text)
    number = int(text) if len(text) <= 18 else HUGE
    if number < least:
        raise PagingMalformed(parameter=name, value=text)
    return number


def order(text: str) -> tuple[str, ...]:
    """``field[,asc|,desc]`` joined by ``;``; of a field given twice the first counts, as in SQL."""
    chosen: dict[str, str] = {}
    for part in split(text):
        field, comma, direction = part.partition(",")
        if field not in ORDER:
            raise OrderUnknown(parameter="order", field=field, allowed=", ".join(ORDER))
        chosen.setdefault(field, sign_of(field, comma + direction) + ORDER[field])
    return tuple(chosen.values())


def sign_of(field: str, direction: str) -> str:
    """``-`` for descending: ``direction`` is empty, ``,asc`` or ``,desc``."""
    if (sign := DIRECTIONS.get(direction.lower())) is None:
        raise DirectionUnknown(parameter="order", field=field, value=direction[1:], allowed="asc, desc")
    return sign


# Filtering -----------------------------------------------------------------------------------------------------------


def filters(text: str, zone: dt.tzinfo) -> tuple[tuple[str, str], ...]:
    """(parameter, value) pairs of the ``FilterSet``; repeated ones are its business (OR, AND)."""
    conditions = split(text)
    if len(text) > MAX_TEXT or len(conditions) > MAX_CONDITIONS:
        raise FilterRefused(parameter="filter", value=f"> {MAX_TEXT} / {MAX_CONDITIONS}")
    terms = [term(condition) for condition in conditions]
    refuse_mixture(terms)
    pairs: list[tuple[str, str]] = []
    for one in terms:
        pair = one.parameter, typed(one, zone)
        if one.operator not in COMPARISONS or all(name != one.parameter for name, _ in pairs):  # B5.1: first one only
            pairs.append(pair)
    return tuple(pairs)


def term(condition: str) -> Term:
    match = CONDITION.fullmatch(condition)
    if match is None or match[2] not in PARAMETERS.get(match[1], {}):
        raise FilterRefused(parameter="filter", value=condition)
    return Term(field=match[1], operator=match[2], text=match[3].replace("\\;", ";"))


def refuse_mixture(terms: list[Term]) -> None:
    """``=`` beside ``<``, ``>``, ``<=`` or ``>=`` on one field has no meaning (B5.1)."""
    equal = {one.field for one in terms if one.operator == "="}
    for one in terms:
        if one.operator in COMPARISONS and one.field in equal:
            raise FilterRefused(parameter="filter", field=one.field, value=f"{one.field} = {one.operator}")


def typed(one: Term, zone: dt.tzinfo) -> str:
    if one.field == "request":
        return one.text
    if one.field == "state":
        return state(one.text)
    start, end = interval(one.text, zone) if one.text or one.operator in COMPARISONS else (None, None)
    if start is None or end is None:
        return "null"
    return start.isoformat() if one.operator in COMPARISONS else f"{start.isoformat()}/{end.isoformat()}"


def state(text: str) -> State:
    if text.lower() not in STATES:
        raise StateUnknown(parameter="filter", field="state", value=text, allowed=", ".join(State))
    return STATES[text.lower()]


def interval(text: str, zone: dt.tzinfo) -> tuple[dt.datetime, dt.datetime]:
    """The half-open interval that ``text`` names at its own precision: a minute, a second or a millisecond."""
    match = DATE.fullmatch(text)
    try:
        local = dt.datetime.fromisoformat(text) if match and (match[2] or not match[3]) else None
    except ValueError:
        local = None
    if match is None or local is None:
        raise DateMalformed(parameter="filter", field="deletionDate", value=text)
    if not EPOCH.year - 1 <= local.year <= LAST_YEAR:  # before the shift to UTC, which overflows at the edges
        raise DateOutOfRange(parameter="filter", field="deletionDate", value=text)
    start = local.replace(tzinfo=zone).astimezone(dt.UTC)
    if start < EPOCH:
        raise DateOutOfRange(parameter="filter", field="deletionDate", value=text)
    width = "milliseconds" if match[3] else "seconds" if match[2] else "minutes"
    return start, start + dt.timedelta(**{width: 1})
