"""Which headers survive capture and record, by name. Nothing goes because it merely sounds secret: calls are sealed."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

CREDENTIALS = ("authorization", "proxy-authorization", "cookie")
"""Request headers that HTTP itself has for credentials. Whoever sent them is stored instead."""
HARMFUL = frozenset(
    {
        # this representation: the stored answer is for every later reader
        "range",
        "if-range",
        # this connection
        "expect",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "transfer-encoding",
        "content-length",
    }
)
"""Request headers that would do harm in a deferred run."""
READING = frozenset({"GET", "HEAD", "QUERY"})
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
"""Of a reading call, they speak of a copy that the client has: its answer, and not a 304, is what is stored."""
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
UNSTORED = HOP_BY_HOP | {"set-cookie", "content-length", "strict-transport-security", "server", "date"}
"""Response headers that are never stored: they belong to a connection, a session or a server (3.2)."""

PER_RESPONSE = UNSTORED - {"content-length"}
"""Response headers that a middleware may still write on a stored answer: they speak of the poll, not of the answer."""


def unkept(listed: Sequence[str] = ()) -> re.Pattern[str]:
    """Matches the names, in lower case, of headers that are not kept; ``listed`` are patterns of the project's own."""
    return _any_of((*CREDENTIALS, *listed))


def without_listed(query: str, listed: Sequence[str]) -> str:
    """``query`` without the parameters that the project does not keep; everything else to the letter."""
    if not listed:
        return query
    pattern = _any_of(tuple(listed))
    return "&".join(part for part in query.split("&") if not pattern.match(_spelt(part.partition("=")[0])))


@functools.cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """All of them in one: every header of every call is compared."""
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns))


def _spelt(parameter: str) -> str:
    """The name of a query parameter as that of a header would be."""
    return unquote_plus(parameter).replace("_", "-").lower()


def is_harmful(name: str, method: str) -> bool:
    """Whether the request header ``name`` would do harm in a deferred run of ``method``."""
    return name.lower() in HARMFUL or (method in READING and name.lower() in CONDITIONS)


def may_be_stored(name: str) -> bool:
    """Whether the response header ``name`` is kept with the answer."""
    return name.lower() not in UNSTORED


def is_per_response(name: str) -> bool:
    """Whether the response header ``name`` speaks of the exchange at hand, as who may read its answer (CORS) does."""
    return name.lower() in PER_RESPONSE or name.lower().startswith("access-control-")
