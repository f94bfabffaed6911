"""What a run knows of the caller's cookies: the CSRF secret and, where the connection is held, messages.

Cookies are credentials, and are not captured. The CSRF secret is none: every page with a form contains it, masked.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest
from django.middleware.csrf import get_token

from ..conf import conf
from ..protocol.values import Request

SECRET, NEEDS_UPDATE = "CSRF_COOKIE", "CSRF_COOKIE_NEEDS_UPDATE"
"""Keys of ``META`` by which Django's CsrfViewMiddleware knows the secret, and that it is to be sent."""
MESSAGES = CookieStorage.cookie_name


def add_to(call: Request, request: HttpRequest, patience: float) -> Request:
    """``call`` with them. ``patience``: seconds for which its connection is held.

    One that is held and has no secret gets one, which is sent only if it is needed.
    """
    messages = request.COOKIES.get(MESSAGES, "") if patience else ""
    secret = _secret(request, is_needed=patience > 0)
    return dataclasses.replace(call, csrf_secret=secret, patience=patience, messages=messages)


def _secret(request: HttpRequest, *, is_needed: bool) -> str:
    """The caller's secret; without one a new one if it ``is_needed``, otherwise ``""``. ``request`` does not change."""
    if SECRET in request.META or not is_needed:  # the middleware has read it, or the view's decorator (``admission``)
        return str(request.META.get(SECRET, ""))
    probe = copy.copy(request)
    probe.META = {**request.META}
    get_token(probe)
    return str(probe.META[SECRET])


def restore(call: Request, request: Any) -> None:
    """Let the run's ``request`` know them. That alone adds neither ``Set-Cookie`` nor ``Vary`` to its response."""
    if call.csrf_secret:
        request.META[SECRET] = call.csrf_secret
    if call.messages:
        request.COOKIES = {MESSAGES: call.messages}


def send_secret(secret: str, request: HttpRequest) -> None:
    """Have CsrfViewMiddleware send ``secret`` with the response to ``request``, or keep it in its session."""
    request.META |= {SECRET: secret, NEEDS_UPDATE: True}


def used_secret(request: HttpRequest) -> str:
    """The secret of which the response to ``request`` contains a token; ``""`` without one."""
    return str(request.META[SECRET]) if NEEDS_UPDATE in request.META else ""


def are_known_in_run(name: str) -> bool:
    """Whether the run knew the caller's cookie ``name``."""
    return name in (MESSAGES, conf.project("CSRF_COOKIE_NAME"))
