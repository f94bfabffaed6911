"""Whether a call passes Django's CSRF check. Its run has no cookie, and cannot be checked."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse
from django.http.multipartparser import MultiPartParserError
from rest_framework.authentication import CSRFCheck

from ..protocol.values import Request
from . import capture

BROWSERS = frozenset({"basic", "digest", "negotiate", "ntlm"})
"""Schemes of ``Authorization`` whose credentials a browser sends by itself."""


def add_to(call: Request, request: Any) -> Request:
    """``call`` with the result of the check. The body of ``request`` is rewound before and after it."""
    capture.reread(request)
    checked = dataclasses.replace(call, is_checked=is_ruled_out(request))
    capture.reread(request)
    return checked


def is_ruled_out(request: Any) -> bool:
    """Whether ``request`` cannot be a forgery: it was checked, would pass the check, or does not come from a browser.

    Has no side effects, but reads the body of a form. Exempt views and refusals are decided elsewhere.
    """
    if getattr(request, "csrf_processing_done", False):
        return True
    scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    if scheme and scheme not in BROWSERS and not _has_login(request):
        return True
    probe = copy.copy(request)
    probe.META = {**request.META}
    check: Any = CSRFCheck(lambda request: HttpResponse())
    check.process_request(probe)
    try:
        return check.process_view(probe, None, (), {}) is None
    except (MultiPartParserError, SuspiciousOperation):
        return False  # a form without a readable token; the view answers it


def _has_login(request: Any) -> bool:
    session = getattr(request, "session", None)
    return session is not None and session.get(SESSION_KEY) is not None
