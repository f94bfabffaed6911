"""Finds marks of views that have no effect, because a decorator above the view does not copy them.

``functools.wraps`` copies the attributes of a view to its wrapper. Wrappers without it still refer to the view: in a
closure, as an argument of a partial, or as an attribute of an object.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ..conf import conf
from ..conf.urlconf import Address, addresses, may_be_listed
from . import decorator_checks, ninja
from .admission import MARK
from .mark_places import view_class

MAX_OBJECTS = 1000
"""Objects that are searched for a view: some refer to the whole program."""
MARK_TYPES = (bool, set, frozenset, tuple, list)
"""Types of a mark. Objects that return something for every attribute have none."""


def ineffective() -> Iterator[tuple[str, Address]]:
    """(name of a marked view, an address where its mark has no effect), each view once.

    A view whose mark has an effect at another address is not reported.
    """
    known = [(address, list(_places(address.view))) for address in addresses()]
    effective = {id(each) for _, places in known for place in places for each in _chain(place)}
    reported: set[int] = set()
    for address, places in known:
        mark_found = next((mark for place in places[:2] if (mark := _mark(place)) is not None), None)
        for place in places:
            if _mark(place) is not None:
                continue
            for view, mark in _marked_views_in(place, effective):
                if id(view) not in reported and _has_no_effect(mark, mark_found, address):
                    reported.add(id(view))
                    yield _name(view), address


def _name(view: Any) -> str:
    named = view_class(view) or view
    return f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def _has_no_effect(mark: Any, mark_found: Any, address: Address) -> bool:
    """Whether calls of ``address`` are accepted contrary to ``mark``; ``mark_found`` is the mark that has an effect."""
    if mark_found is not None:
        return bool(mark_found) != bool(mark)
    taken = (mount.EVERY_VIEW or may_be_listed(address, (*conf.VIEWS, *mount.policy.views)) for mount in conf.mounts)
    return any(is_taken != bool(mark) for is_taken in taken)


def _places(view: Any) -> Iterator[Any]:
    """Where a mark of ``view`` has an effect: itself, its class and handlers, and functions below DRF's and Ninja's."""
    cls = view_class(view)
    yield view
    yield cls
    if isinstance(cls, type):
        actions = getattr(view, "actions", None) or {}
        for name in (*actions.values(), *getattr(cls, "http_method_names", ())):
            handler = getattr(cls, name, None)
            yield handler
            yield decorator_checks.of_api_view(handler)
    operations = getattr(ninja.view_of(view), "operations", ())
    yield from (operation.view_func for operation in operations)


def _mark(place: Any) -> Any:
    mark = getattr(place, MARK, None)
    return mark if type(mark) in MARK_TYPES else None


def _chain(place: Any) -> Iterator[Any]:
    while place is not None:
        yield place
        place = getattr(place, "__wrapped__", None) if isinstance(place, types.FunctionType) else None


def _marked_views_in(place: Any, effective: set[int]) -> Iterator[tuple[Any, Any]]:
    """(view, its mark) for marked views to which ``place`` refers; the search ends at a mark."""
    seen, ahead = {id(place): place}, [place]
    while ahead and len(seen) < MAX_OBJECTS:
        for thing in _references(ahead.pop()):
            if not callable(thing) or isinstance(thing, type) or id(thing) in seen:
                continue  # methods with super() refer to their class
            seen[id(thing)] = thing
            found = next((mark for each in _places(thing) if (mark := _mark(each)) is not None), None)
            if found is None:
                ahead.append(thing)
            elif id(thing) not in effective:
                yield thing, found


def _references(thing: Any) -> Iterator[Any]:
    if isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, types.MethodType):
        yield thing.__func__
    elif isinstance(thing, types.FunctionType):
        yield getattr(thing, "__wrapped__", None)
        for cell in thing.__closure__ or ():
            with suppress(ValueError):  # not filled yet
                yield cell.cell_contents
    else:
        yield from getattr(thing, "__dict__", {}).values()
