"""Bypass Django's HTTP caches in a deferred run.

The per-site cache middleware and ``cache_page`` distinguish clients by request headers (``Vary: Cookie``). A run has
neither cookies nor ``Authorization``: it would get the page that is cached for anonymous users, and its owner's page
would be cached for them. So runs use Django's dummy cache: the caches set the usual response headers, and the view
runs. Cache keys that other code gets from ``django.utils.cache`` are unique to the run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.dummy import DummyCache
from django.middleware.cache import FetchFromCacheMiddleware, UpdateCacheMiddleware
from django.utils import cache

from ..run_context import run_of

HOOKS = ((FetchFromCacheMiddleware, "process_request"), (UpdateCacheMiddleware, "process_response"))
"""Methods by which the middleware, and ``cache_page``, read and write."""
KEYS = ("_generate_cache_header_key", "_generate_cache_key")
"""Functions that make keys for ``get_cache_key`` and ``learn_cache_key``, which others may have imported already."""
TAUGHT = "async_exchange_taught"
"""Attribute of functions that are patched already."""


def keep_apart_from_runs() -> None:
    """Patch the caches to bypass them in runs; other requests are not affected.

    Once per process: apps become ready again whenever a test overrides ``INSTALLED_APPS``.
    """
    places: list[tuple[Any, str, Callable[..., Any]]] = [(cls, name, _without_cache) for cls, name in HOOKS]
    places += [(cache, name, _keyed_apart) for name in KEYS]
    for place, name, teach in places:
        if not hasattr(getattr(place, name), TAUGHT):
            taught = teach(getattr(place, name))
            setattr(taught, TAUGHT, True)
            setattr(place, name, taught)


def keep_out(request: Any) -> None:
    """Keep the per-site cache from storing the response to ``request``, which is for one caller only."""
    request._cache_update_cache = False  # as UpdateCacheMiddleware reads it


class WithoutCache:
    """A cache middleware with the dummy cache."""

    cache = DummyCache("", {})

    def __init__(self, middleware: Any) -> None:
        self._middleware = middleware

    def __getattr__(self, name: str) -> Any:
        return getattr(self._middleware, name)


def _without_cache(hook: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(hook)
    def passed(self: Any, request: Any, *args: Any) -> Any:
        return hook(self if run_of(request) is None else WithoutCache(self), request, *args)

    return passed


def _keyed_apart(generate: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(generate)
    def key(*args: Any, **named: Any) -> str:
        given = generate(*args, **named)
        run = next(filter(None, map(run_of, (*args, *named.values()))), None)
        return given if run is None else f"{given}.{run.id}.{run.attempt}"

    return key
