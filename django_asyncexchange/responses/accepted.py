"""The response to an accepted call: the 202, or the result itself where the client waited for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from ..dialects.base import NO_STORE
from ..dialects.base.results import result_error
from ..models import AsyncTask
from ..protocol.values import Replay
from . import http

logger = logging.getLogger("django_asyncexchange")

T = TypeVar("T")


def spared(work: Callable[[], T]) -> T | None:
    """The result of ``work``, or None where it raises: once a call is accepted, its client gets at least the 202."""
    try:
        return work()
    except Exception:
        logger.exception("an accepted call could not be answered with more than a 202")
        close_old_connections()  # a broken connection would fail the next request too
        return None


def early(
    request: HttpRequest, task: AsyncTask | None, patience: float, *, is_preferred: bool
) -> HttpResponseBase | None:
    """The result, where the client waited for it (``Prefer: wait``) and there is one; otherwise None.

    Caches must not store it under the call's URL, where requests without the preference get something else.
    """
    if task is None or result_error(task.snapshot(), task.now) is not None:
        return None
    preferred = "respond-async, " if is_preferred else ""
    applied = (("Preference-Applied", f"{preferred}wait={patience:g}"), *NO_STORE)
    return http.replayed(Replay(headers=applied, vary=("Prefer",)), task, request, at_own_url=False)


def varied(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """``response`` with ``Vary: Prefer`` where a preference could have changed it (RFC 7240 section 2)."""
    if request.__dict__.get("_varies"):
        patch_vary_headers(response, ("Prefer",))
    return response
