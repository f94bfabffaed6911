"""What holds for the response to every accepted call: it is at least the 202, and may depend on a preference."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

logger = logging.getLogger("django_asyncexchange")

T = TypeVar("T")


def spared(work: Callable[[], T]) -> T | None:
    """The result of ``work``, or None where it raises: once a call is accepted, its client gets at least the 202."""
    try:
        return work()
    except Exception:
        _give_up()
        return None


async def aspared(work: Awaitable[T]) -> T | None:
    """``spared`` in an event loop."""
    try:
        return await work
    except Exception:
        _give_up()
        return None


def _give_up() -> None:
    logger.exception("an accepted call could not be answered with more than a 202")
    close_old_connections()  # a broken connection would fail the next request too


def varied(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """``response`` with ``Vary: Prefer`` where a preference could have changed it (RFC 7240 section 2)."""
    if not request.__dict__.get("_varies"):
        return response
    if response.has_header("Vary"):
        patch_vary_headers(response, ("Prefer",))
    else:
        response.headers["Vary"] = "Prefer"  # quicker, for calls that nobody wants later
    return response
