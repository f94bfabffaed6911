"""What Django's HTTP caches are to a deferred run: empty, and forgetful.

The per-site middlewares and ``cache_page`` tell readers apart by request headers (``Vary: Cookie``). A run carries
neither cookie nor ``Authorization``: it would find what an anonymous reader may see, and leave its owner's page where
anonymous readers find it. So a run passes them as if the cache were Django's dummy: they write the headers that they
would write at once, and the view runs. Keys that other code gets from ``django.utils.cache`` are the run's own.
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
"""Where the middlewares, and with them ``cache_page``, read and write."""
KEYS = ("_generate_cache_header_key", "_generate_cache_key")
"""What ``get_cache_key`` and ``learn_cache_key`` make their keys with. Public names are imported early by others."""
TAUGHT = "async_exchange_taught"
"""Attribute of what knows of runs already."""


def keep_apart_from_runs() -> None:
    """Teach the caches to look at the request; ordinary ones meet them as before.

    Once in a process: apps become ready again whenever a test overrides ``INSTALLED_APPS``.
    """
    places: list[tuple[Any, str, Callable[..., Any]]] = [(cls, name, _without_cache) for cls, name in HOOKS]
    places += [(cache, name, _keyed_apart) for name in KEYS]
    for place, name, teach in places:
        if not hasattr(getattr(place, name), TAUGHT):
            taught = teach(getattr(place, name))
            setattr(taught, TAUGHT, True)
            setattr(place, name, taught)


def keep_out(request: Any) -> None:
    """Let no cache in front of the whole site keep the answer to ``request``: it is the business of one caller."""
    request._cache_update_cache = False  # where Django's middlewares, and others like them, note it


class WithoutCache:
    """A cache middleware, but for its cache."""

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
