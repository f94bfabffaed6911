"""What Schemathesis cannot read in an OpenAPI document: a format of this project, and what headers mean together."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

KEY = re.compile(r"[!-~]{1,255}")
UNSAFE = {"PATCH", "POST", "PUT"}

moments = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map("{:%Y-%m-%d %H:%M:%S}".format)
schemathesis.openapi.format("remap-moment", moments)


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Skip cases whose verdict depends on two parameters."""
    headers, query = case.headers or {}, case.query or {}
    is_later = "respond-async" in str(headers.get("Prefer")) or "Solitude-Async" in headers or "async" in query
    if not is_later and not KEY.fullmatch(str(headers.get("Idempotency-Key", "-"))):
        return False  # a key that is no key is ignored in a call that is not asynchronous
    # Solitude's 405 says which methods can be answered later, not those of the address.
    return "Solitude-Async" not in headers or case.method in UNSAFE
