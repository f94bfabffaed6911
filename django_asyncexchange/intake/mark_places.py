"""Where the marks of a view are looked up: its handler, the function in the URLconf, its class, and what is below.

Every call that passes asks for them. So what does not change once the URLconf is loaded is kept with the view function:
its class, its handler's name for a method, and what its decorators hide. The marks themselves are read on each call, so
that they may be set at any time.
"""

from __future__ import annotations

import http
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest

from . import class_checks, decorator_checks, ninja

KEY = "_asyncexchange_places"
"""Attribute of a view function: its ``Known``. Decorators copy it, but a ``Known`` is of one view."""
METHODS = frozenset(map(str, http.HTTPMethod)) | {"QUERY"}
"""Methods whose places are kept. A client may invent others, as many as it likes."""


class Places:
    """The places of one view and method, but for the view function itself, to which this must not refer."""

    __slots__ = ("name", "handler", "below", "ninja_view")

    def __init__(self, view_func: Callable[..., Any], method: str) -> None:
        cls = view_class(view_func)
        self.name = _handler_name(view_func, cls, method)
        """The name of the handler: the action of a viewset, or the HTTP method in lower case."""
        self.handler = getattr(cls, self.name, None)
        below = (cls, decorator_checks.of_api_view(self.handler))
        self.below = tuple(place for place in below if place is not None)
        self.ninja_view = ninja.view_of(view_func)

    def is_current(self) -> bool:
        """Whether the class, the first place below, still has this handler: tests replace some."""
        return getattr(self.below[0], self.name, None) is self.handler


class Known:
    """The ``Places`` of one view function, by method."""

    __slots__ = ("view", "places")

    def __init__(self, view_func: Callable[..., Any]) -> None:
        self.view = weakref.ref(view_func)
        self.places: dict[str, Places] = {}


def of(view_func: Callable[..., Any], method: str) -> Places:
    """The places of ``view_func`` for calls with ``method``. Other callables than functions are looked at each time."""
    if type(view_func) is not types.FunctionType or method not in METHODS:
        return Places(view_func, method)
    known: Known | None = view_func.__dict__.get(KEY)
    if known is None or known.view() is not view_func:
        known = view_func.__dict__[KEY] = Known(view_func)
    places = known.places.get(method)
    if places is None or (places.below and not places.is_current()):
        places = known.places[method] = Places(view_func, method)
    return places


def attribute(request: HttpRequest, view_func: Callable[..., Any], name: str) -> Any:
    """The attribute ``name`` of the view: of its handler, else of the function in the URLconf, else of its class.

    Decorators copy attributes of the view, except DRF's ``api_view`` and those of Ninja; below these, it is looked up.
    """
    places = of(view_func, request.method or "")
    for place in (places.handler, view_func, *places.below):
        value = getattr(place, name, None)
        if value is not None:
            return value
    if places.ninja_view is None:
        return None
    return getattr(ninja.operation_function(request, places.ninja_view), name, None)


def view_class(view_func: Callable[..., Any]) -> Any:
    """The class behind a view function; None for a plain one."""
    return getattr(view_func, "cls", None) or getattr(view_func, "view_class", None)


def _handler_name(view_func: Callable[..., Any], cls: Any, method: str) -> str:
    actions: Mapping[str, str] = getattr(view_func, "actions", None) or {}
    name = class_checks.method_name(cls, method)
    return actions.get(method.lower(), actions.get(name, name))
