"""Target@Mail.Ru's callback: an address that one call names, to be told of its end (contract A7; seed S000)."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from ...exceptions import CallbackRefused
from ...protocol.values import Call, Callback, Notice, Snapshot
from ..base import DeliveryRules
from ..base.query_string import appended

LOCATION_HEADER = "X-Callback-Location"
METHOD_HEADER = "X-Callback-Method"
METHODS = ("GET", "POST")
MAILRU = DeliveryRules(total_timeout=10, schedule=(0, 30, 120), is_signed=False)
URL_LENGTH = 2048

URL = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?([/?#][!-\[\]-~]*)?", re.IGNORECASE | re.ASCII)
"""An absolute address with a host and nothing that parsers read differently: userinfo, spaces, backslashes."""


def asked(call: Call) -> Callback | None:
    """What the headers of ``call`` say (A1). Raises CallbackRefused."""
    url = call.header(LOCATION_HEADER).strip(" \t")
    if not url:
        return None
    if not is_callable(url):
        raise CallbackRefused(field=LOCATION_HEADER)
    method = call.header(METHOD_HEADER).strip(" \t") or "GET"
    if method not in METHODS:
        raise CallbackRefused(field=METHOD_HEADER)
    return Callback(url=url, method=method)


def is_callable(url: str) -> bool:
    """Whether ``url`` is an address that could be called (A1)."""
    if len(url) > URL_LENGTH or not URL.fullmatch(url):
        return False
    try:
        return urlsplit(url).port != 0  # reading it is what refuses a port or an IPv6 address that cannot be
    except ValueError:
        return False


def notice(callback: Callback, task: Snapshot, response_url: str) -> Notice:
    """The three parameters are always in the query, and in the body of a POST as well; the client's own do not stay."""
    told = {
        "response_id": str(task.id),
        "response_url": response_url,
        "response_http_code": str(task.status_code),
    }
    url = appended(callback.url, told)
    if callback.method == "GET":
        return Notice(method="GET", url=url)
    return Notice(
        method="POST", url=url, content_type="application/x-www-form-urlencoded;charset=utf-8", body=urlencode(told)
    )
