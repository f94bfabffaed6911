"""Parse the request header ``Prefer`` (RFC 7240 section 2).

Malformed preferences are ignored, never an error.

>>> parse('respond-async, wait=10; strict')["wait"].parameters
{'strict': ''}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ...protocol.values import value

OURS = frozenset({"respond-async", "wait", "callback", "odata.callback"})
"""Preferences that are handled here and not passed to the view."""
SANE_DIGITS = 10
"""Most digits of ``wait``: ten are more than three hundred years."""

LEXEME = re.compile(
    r"""
    (?P<token> [!#$%&'*+.^_`|~0-9A-Za-z-]++ )
    | " (?P<quoted> (?: [^"\\]++ | \\. )*+ ) (?P<end> "? )
    | (?P<mark> [,;=] )
    | [ \t]++
    | (?P<junk> . )
    """,
    re.VERBOSE | re.DOTALL,
)
"""RFC 9110 sections 5.6.2 and 5.6.4. Possessive, and a quote that is never closed takes the rest: linear time."""

ESCAPED = re.compile(r"\\(.)", re.DOTALL)

Word = tuple[str, str]
"""Kind of a lexeme (``token``, ``quoted``, ``junk``, or the mark itself) and its text."""


@value
class Preference:
    """One preference. No value and an empty one are the same (RFC 7240 section 2)."""

    value: str
    parameters: Mapping[str, str]


def parse(header: str) -> Mapping[str, Preference]:
    """Preferences by lower-case name, the first of each. Repeated header lines arrive joined by commas."""
    found: dict[str, Preference] = {}
    for words in split(lexemes(header), ","):
        first, *rest = split(words, ";")
        if pair := pair_of(first):
            name, text = pair
            parameters = dict(pair for words in reversed(rest) if (pair := pair_of(words)))
            found.setdefault(name, Preference(value=text, parameters=parameters))
    return found


def wants_async(header: str) -> bool:
    """Whether ``respond-async`` is preferred, which has no value (RFC 7240 section 4.1)."""
    if "respond-async" not in header.lower():  # a fast path for nearly all requests
        return False
    preference = parse(header).get("respond-async")
    return preference is not None and not preference.value


def wait_of(header: str, cap: float) -> float:
    """Seconds to wait for the result (RFC 7240 section 4.3), ``cap`` at most; 0 without a valid number."""
    preference = parse(header).get("wait")
    text = preference.value if preference else ""
    if not (text.isascii() and text.isdigit() and len(text) <= SANE_DIGITS):
        return 0.0
    return min(float(text), cap)


def without_ours(header: str) -> str:
    """``header`` without the preferences in ``OURS``, otherwise unchanged.

    >>> without_ours('respond-async, return=minimal; x="a,b"')
    'return=minimal; x="a,b"'
    """
    return ", ".join(text for text in elements(header) if text and name_of(text) not in OURS)


def elements(header: str) -> Iterator[str]:
    """The preferences as they were written."""
    start = 0
    for found in LEXEME.finditer(header):
        if found["mark"] == ",":
            yield header[start : found.start()].strip()
            start = found.end()
    yield header[start:].strip()


def name_of(text: str) -> str:
    """The lower-case name of one preference; ``""`` where it is malformed."""
    pair = pair_of(next(split(lexemes(text), ";")))
    return pair[0] if pair else ""


def lexemes(header: str) -> Iterator[Word]:
    for found in LEXEME.finditer(header):
        kind = found.lastgroup
        if kind == "end":
            yield ("quoted", ESCAPED.sub(r"\1", found["quoted"])) if found["end"] else ("junk", "")
        elif kind is not None:
            yield (found[kind], "") if kind == "mark" else (kind, found[kind])


def split(words: Iterator[Word] | list[Word], mark: str) -> Iterator[list[Word]]:
    part: list[Word] = []
    for word in words:
        if word[0] == mark:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def pair_of(words: list[Word]) -> tuple[str, str] | None:
    """Parse ``token [= word]`` into (name, value); None for anything else."""
    match words:
        case [("token", name)] | [("token", name), ("=", _)]:
            return name.lower(), ""
        case [("token", name), ("=", _), ("token" | "quoted", text)]:
            return name.lower(), text
    return None
