"""Which headers and query parameters survive capture and record, by name (contract/security 3.2 and 4.2)."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

MASK = "***"
PARAMETER = re.compile(r"(?<![^?&;])([^=&;?#]+)=([^&;#]*)")

SECRET = (
    "authorization",
    "proxy-authorization",
    "cookie",
    "*token*",
    "*secret*",
    "*api-key*",
    "*apikey*",
    "*password*",
    "*access-key*",
    "*auth-key*",
    "*session*",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
)
"""Request headers that may prove or name an identity, as patterns; ``*token*`` covers the CSRF ones."""
HARMFUL = frozenset(
    {
        # this representation: the stored answer is for every later reader
        "accept-encoding",
        "range",
        "if-range",
        "if-modified-since",
        # this connection
        "expect",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "transfer-encoding",
        "content-length",
        # what the scheme and host, which are stored, were computed from
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        # ourselves
        "prefer",
        "x-callback-location",
        "x-callback-method",
    }
)
"""Request headers that would do harm in a deferred run."""
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

OF_THE_EXCHANGE = UNSTORED - {"content-length"}
"""Response headers that a middleware may still write on a stored answer: they speak of the poll, not of the answer."""


def is_secret(name: str, more: Sequence[str] = ()) -> bool:
    """Whether the request header ``name`` may carry a credential; ``more`` are patterns of the project's own."""
    return _patterns(tuple(more)).match(name.lower()) is not None


@functools.cache
def _patterns(more: tuple[str, ...]) -> re.Pattern[str]:
    """All of them in one: every header of every call is compared."""
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in (*SECRET, *more)))


def is_secret_parameter(name: str, more: Sequence[str] = ()) -> bool:
    """Whether the query parameter ``name`` (as it stands in the query) may carry a credential."""
    return is_secret(unquote_plus(name).replace("_", "-"), more)


def mask_query(url: str, more: Sequence[str] = ()) -> str:
    """``url`` with the values of secret parameters masked; everything else to the letter."""
    return PARAMETER.sub(lambda found: f"{found[1]}={MASK}" if is_secret_parameter(found[1], more) else found[0], url)


def drop_secrets(query: str, more: Sequence[str] = ()) -> str:
    """``query`` without its secret parameters; everything else to the letter."""
    return "&".join(part for part in query.split("&") if not is_secret_parameter(part.partition("=")[0], more))


def is_harmful(name: str) -> bool:
    """Whether the request header ``name`` would do harm in a deferred run."""
    return name.lower() in HARMFUL


def may_be_stored(name: str) -> bool:
    """Whether the response header ``name`` is kept with the answer."""
    return name.lower() not in UNSTORED


def is_of_the_exchange(name: str) -> bool:
    """Whether the response header ``name`` speaks of the exchange at hand, as who may read its answer (CORS) does."""
    return name.lower() in OF_THE_EXCHANGE or name.lower().startswith("access-control-")
