"""Which headers are captured and stored, by name. None is dropped because it sounds secret: calls are encrypted."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

CREDENTIALS = ("authorization", "proxy-authorization", "cookie")
"""Request headers that HTTP defines for credentials. The caller is stored instead."""
HARMFUL = frozenset(
    {
        # of this representation: the stored response is for every later client
        "range",
        "if-range",
        # of this connection
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
"""Request headers that must not reach a deferred run."""
READING = frozenset({"GET", "HEAD", "QUERY"})
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
"""Preconditions that are not captured for a safe method: the stored response has to be a 200, not a 304."""
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
"""Response headers that are never stored: they belong to a connection, a session or a server."""

PER_RESPONSE = UNSTORED - {"content-length"}
"""Response headers that middleware may set on a stored response: they belong to the request that fetches it."""


def unkept(listed: Sequence[str] = ()) -> re.Pattern[str]:
    """A pattern for names, in lower case, of headers that are not captured; ``listed`` are the project's patterns."""
    return _any_of((*CREDENTIALS, *listed))


def without_listed(query: str, listed: Sequence[str]) -> str:
    """``query`` without the parameters that match ``listed``, otherwise unchanged."""
    if not listed:
        return query
    pattern = _any_of(tuple(listed))
    return "&".join(part for part in query.split("&") if not pattern.match(_spelt(part.partition("=")[0])))


@functools.cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all: every header of every call is matched."""
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns))


def _spelt(parameter: str) -> str:
    """The name of a query parameter, spelled like a header's."""
    return unquote_plus(parameter).replace("_", "-").lower()


def is_harmful(name: str, method: str) -> bool:
    """Whether the request header ``name`` must not reach a deferred run of ``method``."""
    return name.lower() in HARMFUL or (method in READING and name.lower() in CONDITIONS)


def may_be_stored(name: str) -> bool:
    """Whether the response header ``name`` is stored."""
    return name.lower() not in UNSTORED


def is_per_response(name: str) -> bool:
    """Whether the response header ``name`` belongs to the current request, as CORS headers do."""
    return name.lower() in PER_RESPONSE or name.lower().startswith("access-control-")
