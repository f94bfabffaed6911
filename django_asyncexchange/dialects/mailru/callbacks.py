"""Target@Mail.Ru's callback: a URL in one call's headers that is called when its task is finished."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

from ...exceptions import CallbackRefused
from ...protocol.values import Call, Callback, Notice, Snapshot
from ..base import DeliveryRules, Parameter
from ..base.query_string import appended

LOCATION_HEADER = "X-Callback-Location"
METHOD_HEADER = "X-Callback-Method"
METHODS = ("GET", "POST")
MAILRU = DeliveryRules(total_timeout=10, schedule=(0, 30, 120), is_signed=False)
URL_LENGTH = 2048

PARAMETERS = (
    Parameter(
        name=LOCATION_HEADER,
        place="header",
        description="A URL that is called when the task has finished.",
        schema={"type": "string", "format": "uri"},
        example="https://client.example/finished",
    ),
    Parameter(
        name=METHOD_HEADER,
        place="header",
        description="The method of that call, GET unless given.",
        schema={"type": "string", "enum": list(METHODS)},
    ),
)

URL = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?([/?#][!-\[\]-~]*)?", re.IGNORECASE | re.ASCII)
"""An absolute URL with a host, without parts that parsers disagree on: userinfo, spaces, backslashes."""


def asked(call: Call) -> Callback | None:
    """The callback in the headers of ``call``. Raises CallbackRefused."""
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
    """Whether ``url`` is syntactically a URL that can be called."""
    if len(url) > URL_LENGTH or not URL.fullmatch(url):
        return False
    try:
        return urlsplit(url).port != 0  # raises ValueError for an invalid port or IPv6 address
    except ValueError:
        return False


def notice(callback: Callback, task: Snapshot, response_url: str) -> Notice:
    """The three parameters are always in the query, where they replace the client's, and also in the body of a POST."""
    parameters = {
        "response_id": str(task.id),
        "response_url": response_url,
        "response_http_code": str(task.status_code),
    }
    url = appended(callback.url, parameters)
    if callback.method == "GET":
        return Notice(method="GET", url=url)
    return Notice(
        method="POST",
        url=url,
        content_type="application/x-www-form-urlencoded;charset=utf-8",
        body=urlencode(parameters),
    )
