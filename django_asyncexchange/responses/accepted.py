"""What an accepted call is owed: its 202, or more, and never less; and what caches are to know of that."""

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
    """What ``work`` gives; None where it fails. The call is accepted: its client is owed a 202, and nothing less."""
    try:
        return work()
    except Exception:
        logger.exception("an accepted call could not be answered with more than a 202")
        close_old_connections()  # one that is broken: those after us may need it
        return None


def early(
    request: HttpRequest, task: AsyncTask | None, patience: float, *, is_preferred: bool
) -> HttpResponseBase | None:
    """The answer itself, where the client waited for it and there is one. A retry may come after its deletion date.

    It is not stored under the address of the call: without the preference something else would be there.
    """
    if task is None or result_error(task.snapshot(), task.now) is not None:
        return None
    preferred = "respond-async, " if is_preferred else ""
    applied = (("Preference-Applied", f"{preferred}wait={patience:g}"), *NO_STORE)
    return http.replayed(Replay(headers=applied, vary=("Prefer",)), task, request, is_at_its_address=False)


def varied(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """``response``, which a preference could have changed: for caches (RFC 7240 section 2)."""
    if request.__dict__.get("_varies"):
        patch_vary_headers(response, ("Prefer",))
    return response
