"""MoySklad's list query, the filter mini-language included, as a ``Listing``.

The raw query is parsed here: in ``?filter=state=done&deletionDate<2021-02-16 16:21:09``, an example of MoySklad's
documentation, the second condition would otherwise be a parameter of its own. Values are converted here, and only names
in ``PARAMETERS`` reach the ``FilterSet``.
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
"""Replaces longer numbers: more rows than there are, and still a 64-bit integer for the database."""

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
"""Field → operator → parameter of ``rest.filters.AsyncTaskFilter``. All others are refused (code 1034)."""

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
        """Whether it belongs to the filter: by its name, or because it is a condition on a known field."""
        match = CONDITION.fullmatch(self.whole)
        return self.name == "filter" or (match is not None and match[1] in PARAMETERS)


@value
class Term:
    """One condition; ``text`` is unescaped."""

    field: str
    operator: str
    text: str

    @property
    def parameter(self) -> str:
        return PARAMETERS[self.field][self.operator]


def parse(query: str, zone: dt.tzinfo) -> Listing:
    """Parse the raw ``query``; dates without an offset are in ``zone``. Raises ListingRefused."""
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
    """A listing with ``limit`` and ``offset`` of the ``last`` value of each parameter."""
    return Listing(
        limit=min(whole_number("limit", last.get("limit", str(MAX_LIMIT)), least=1), MAX_LIMIT),
        offset=whole_number("offset", last.get("offset", "0"), least=0),
        **more,
    )


def echo(segments: list[Segment], conditions: list[Segment], text: str) -> str:
    """The query as ``meta.href`` of the response repeats it: with one filter, joined by ``;``."""
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
    """Decode once; ``+`` and ``%20`` are both a space, because clients send either."""
    try:
        text = unquote_to_bytes(raw.replace("+", " ")).decode()
    except UnicodeError:
        raise QueryMalformed() from None
    if BAD_ESCAPE.search(raw) or "\0" in text:  # databases refuse a zero character
        raise QueryMalformed()
    return text


def split(text: str) -> list[str]:
    """Conditions, separated or terminated by unescaped semicolons."""
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
    """Parse ``field[,asc|,desc]``, joined by ``;``; of a field given twice the first counts, as in SQL."""
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
    """(parameter, value) pairs for the ``FilterSet``, which combines repeated ones."""
    conditions = split(text)
    if len(text) > MAX_TEXT or len(conditions) > MAX_CONDITIONS:
        raise FilterRefused(parameter="filter", value=f"> {MAX_TEXT} / {MAX_CONDITIONS}")
    terms = [term(condition) for condition in conditions]
    refuse_mixture(terms)
    pairs: list[tuple[str, str]] = []
    for one in terms:
        pair = one.parameter, typed(one, zone)
        if one.operator not in COMPARISONS or all(
            name != one.parameter for name, _ in pairs
        ):  # the first comparison counts
            pairs.append(pair)
    return tuple(pairs)


def term(condition: str) -> Term:
    match = CONDITION.fullmatch(condition)
    if match is None or match[2] not in PARAMETERS.get(match[1], {}):
        raise FilterRefused(parameter="filter", value=condition)
    return Term(field=match[1], operator=match[2], text=match[3].replace("\\;", ";"))


def refuse_mixture(terms: list[Term]) -> None:
    """Refuse ``=`` together with ``<``, ``>``, ``<=`` or ``>=`` on one field, as MoySklad does."""
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
    """The half-open interval that ``text`` stands for: a minute, a second or a millisecond."""
    match = DATE.fullmatch(text)
    try:
        local = dt.datetime.fromisoformat(text) if match and (match[2] or not match[3]) else None
    except ValueError:
        local = None
    if match is None or local is None:
        raise DateMalformed(parameter="filter", field="deletionDate", value=text)
    if not EPOCH.year - 1 <= local.year <= LAST_YEAR:  # before the conversion to UTC, which may overflow
        raise DateOutOfRange(parameter="filter", field="deletionDate", value=text)
    start = local.replace(tzinfo=zone).astimezone(dt.UTC)
    if start < EPOCH:
        raise DateOutOfRange(parameter="filter", field="deletionDate", value=text)
    width = "milliseconds" if match[3] else "seconds" if match[2] else "minutes"
    return start, start + dt.timedelta(**{width: 1})
