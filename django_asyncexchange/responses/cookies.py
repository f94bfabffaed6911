"""Cookies that a run sets, for the connection that waits for its response and for nobody else.

They are stored encrypted, attribute by attribute, because Django's handlers write them from ``response.cookies``.
"""

from __future__ import annotations

import json
from http.cookies import Morsel
from typing import Any

from django.http import HttpRequest

from .. import encryption
from ..conf import conf
from ..intake import cookies

KEY = "_asyncexchange_view_cookies"
HEADER = "Set-Cookie"


def mark(request: HttpRequest, response: Any) -> Any:
    """``response`` of the view, whose cookies are kept apart from those that middleware sets later."""
    request.__dict__[KEY] = {name: morsel.copy() for name, morsel in response.cookies.items()}
    return response


def sealed(response: Any, request: HttpRequest) -> str:
    """The cookies of ``response``, encrypted; ``""`` without any.

    With CSRF_USE_SESSIONS the secret takes the place of its cookie.
    """
    header = response.headers.get(HEADER)
    secret = cookies.used_secret(request) if conf.project("CSRF_USE_SESSIONS") else ""
    if not (response.cookies or header or secret):
        return ""
    of_view = request.__dict__.get(KEY, {})
    stored = [
        {
            "name": name,
            "value": morsel.value,
            "coded": morsel.coded_value,
            "attributes": {key: each for key, each in morsel.items() if each != ""},
            "is_of_view": of_view.get(name) == morsel,
        }
        for name, morsel in response.cookies.items()
    ]
    return encryption.seal_secret(json.dumps({"header": header, "secret": secret, "cookies": stored}, default=str))


def put(response: Any, request: HttpRequest, token: str) -> None:
    """Set the cookies of ``token`` on ``response``; none if its encryption key is lost.

    Those that middleware of the run has set in place of a cookie of ``request`` are left out: the run has not seen it,
    and the same middleware sees it now.
    """
    if (text := encryption.unseal_secret_or_none(token)) is None:
        return
    stored = json.loads(text)
    if stored["header"]:
        response.headers[HEADER] = stored["header"]
    if stored["secret"]:
        cookies.send_secret(stored["secret"], request)
    for each in stored["cookies"]:
        name = each["name"]
        if each["is_of_view"] or name not in request.COOKIES or cookies.are_known_in_run(name):
            response.cookies[name] = _morsel(each)


def _morsel(stored: dict[str, Any]) -> Morsel[str]:
    morsel: Morsel[str] = Morsel()
    morsel.set(stored["name"], stored["value"], stored["coded"])
    # A worker with a newer Python may know more attributes, such as Partitioned.
    morsel.update({key: each for key, each in stored["attributes"].items() if morsel.isReservedKey(key)})
    return morsel
