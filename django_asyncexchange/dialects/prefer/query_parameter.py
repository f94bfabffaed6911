"""The preference ``respond-async`` as a query parameter: the links and forms of a page cannot send ``Prefer``.

Only this spelling is reserved. Another value, or the same one percent-encoded, is the view's own parameter.

>>> without("page=2&_prefer=respond-async")
'page=2'
>>> is_in("_prefer=respond-sync"), is_in("q=_prefer=respond-async")
(False, False)
"""

from __future__ import annotations

from ...protocol.values import Call
from ..base import prefer_header

PARAMETER = "_prefer=respond-async"


def is_in(query: str) -> bool:
    """Whether the raw ``query`` has the parameter."""
    return PARAMETER in query and PARAMETER in query.split("&")


def without(query: str) -> str:
    """The raw ``query`` without the parameter, otherwise unchanged."""
    return "&".join(part for part in query.split("&") if part != PARAMETER) if PARAMETER in query else query


def added_to(address: str) -> str:
    """``address``, a path with or without a query, with the parameter."""
    return f"{address}{'&' if '?' in address else '?'}{PARAMETER}"


def is_foreign(call: Call) -> bool:
    """Whether only the parameter makes ``call`` asynchronous, and another site has made the browser send it.

    Browsers say so with ``Sec-Fetch-Site`` (Fetch Metadata). For the header they need that site to pass CORS.
    """
    is_by_header = prefer_header.wants_async(call.header("Prefer"))
    return is_in(call.query) and not is_by_header and call.header("Sec-Fetch-Site") == "cross-site"
