"""A call that is not asynchronous, with our middleware and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings

from . import people
from .door import DATA, Door
from .figures import Figure, figure, interleaved, scale

OURS = "django_asyncexchange.middleware.AsyncExchangeMiddleware"
WITHOUT = "the same without the middleware"
CALLS = {"a DRF view with token": ("POST", "/works/", DATA), "the smallest view": ("GET", "/plain/", None)}


def measure() -> Iterator[Figure]:
    people.anna()
    with_ours = Door()
    with override_settings(MIDDLEWARE=[name for name in settings.MIDDLEWARE if name != OURS]):
        without = Door()
    for what, (method, target, data) in CALLS.items():

        def call(door: Door, method: str = method, target: str = target, data: object = data) -> Callable[[], object]:
            return lambda: door.expect(200, method, target, data=data)

        rounds = interleaved({"ours": call(with_ours), WITHOUT: call(without)}, scale(2000, 50))
        more = _queries(call(with_ours)) - _queries(call(without))
        yield figure(
            rounds,
            WITHOUT,
            name=f"A call that is not asynchronous, {what}",
            target=1.02,
            fault=f"{more} queries" if more else "",
        )


def _queries(call: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)
