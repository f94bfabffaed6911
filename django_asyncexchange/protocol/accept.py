"""Weighted values of a request header: ``Accept``, ``Accept-Encoding``, ``Accept-Language`` (RFC 9110 section 12.4.2).

>>> weights("text/html;level=1, */*; q=0.5")
{'text/html': 1.0, '*/*': 0.5}
>>> ranked("fr;q=0.5, ru, en;q=0")
['ru', 'fr']

Django parses two of them, each in its own way: ``MediaType`` and ``parse_accept_lang_header``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .values import value

QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\Z)'
ELEMENT = re.compile(rf'(?:[^,"]|{QUOTED})++', re.DOTALL)
"""What is between two commas; a quote that is never closed takes the rest. Possessive: linear time."""
PARAMETER = re.compile(rf'(?:[^;"]|{QUOTED})++', re.DOTALL)
WEIGHT = re.compile(r"q[ \t]*=[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
NUMBER = re.compile(r"[01](?:\.[0-9]*)?|\.[0-9]+", re.ASCII)


@value
class Weighted:
    """One element of the header."""

    name: str
    """The value in lower case, without parameters."""
    weight: float
    """0 to 1; 0 = not acceptable, also where the weight is no number."""
    text: str
    """As it was written."""


def parse(header: str) -> Iterator[Weighted]:
    """The elements of ``header`` in their order. Parameters other than ``q`` are passed over."""
    for found in ELEMENT.finditer(header):
        name, _, parameters = found[0].partition(";")
        matches = (WEIGHT.fullmatch(text.strip()) for text in PARAMETER.findall(parameters))
        given = next((match[1] for match in matches if match), "1")
        weight = min(float(given), 1.0) if NUMBER.fullmatch(given) else 0.0
        if name.strip():
            yield Weighted(name=name.strip().lower(), weight=weight, text=found[0].strip())


def weights(header: str) -> dict[str, float]:
    """Value → weight; of a value that is given several times, the highest."""
    found: dict[str, float] = {}
    for each in parse(header):
        found[each.name] = max(found.get(each.name, 0.0), each.weight)
    return found


def prefers_html(header: str) -> bool:
    """Whether ``Accept`` names ``text/html`` and ranks it no lower than JSON, as only browsers do.

    >>> prefers_html("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    True
    >>> prefers_html("*/*"), prefers_html("application/json, text/html;q=0.9")
    (False, False)

    Java's ``HttpURLConnection`` names it unasked, but also a bare ``*``, which is no media range.
    """
    found = weights(header)
    html = found.get("text/html", 0.0)
    named = [weight for name, weight in found.items() if name.endswith("json")]
    json = max(named) if named else found.get("application/*", found.get("*/*", 0.0))
    return 0.0 < html >= json and "*" not in found


def ranked(header: str) -> list[str]:
    """The acceptable values, most preferred first; of equal weights, in their order."""
    found = weights(header)
    return sorted((name for name in found if found[name]), key=lambda name: -found[name])
