"""Marks of views that no call meets, because a decorator above them does not hand them on.

``functools.wraps`` copies a view's attributes to the function around it. What is put around a view without it has the
view at hand all the same: in a closure, as an argument of a partial, as an attribute of an object.
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
from .admission import MARK, view_class

REACH = 1000
"""Objects around a view that are looked at: some have a whole program at hand."""
KINDS = (bool, set, frozenset, tuple, list)
"""What a mark may be; an object that has every attribute says nothing."""


def unheard() -> Iterator[tuple[str, Address]]:
    """(the name of a marked view, an address where its mark is not heard), each view once.

    A view whose mark is heard at another address may be meant to be something else here.
    """
    known = [(address, list(_places(address.view))) for address in addresses()]
    heard = {id(each) for _, places in known for place in places for each in _chain(place)}
    told: set[int] = set()
    for address, places in known:
        said = next((mark for place in places[:2] if (mark := _mark(place)) is not None), None)
        for place in places:
            if _mark(place) is not None:
                continue
            for view, mark in _beneath(place, heard):
                if id(view) not in told and _is_missed(mark, said, address):
                    told.add(id(view))
                    yield _name(view), address


def _name(view: Any) -> str:
    named = view_class(view) or view
    return f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def _is_missed(mark: Any, said: Any, address: Address) -> bool:
    """Whether a call of ``address`` may be taken otherwise than ``mark`` has it, where the view itself has ``said``."""
    if said is not None:
        return bool(said) != bool(mark)
    taken = (mount.EVERY_VIEW or may_be_listed(address, (*conf.VIEWS, *mount.policy.views)) for mount in conf.mounts)
    return any(is_taken != bool(mark) for is_taken in taken)


def _places(view: Any) -> Iterator[Any]:
    """Where a mark of ``view`` is heard: itself, its class, its handlers, and the functions below DRF's and Ninja's."""
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
    return mark if type(mark) in KINDS else None


def _chain(place: Any) -> Iterator[Any]:
    while place is not None:
        yield place
        place = getattr(place, "__wrapped__", None) if isinstance(place, types.FunctionType) else None


def _beneath(place: Any, heard: set[int]) -> Iterator[tuple[Any, Any]]:
    """(view, its mark) of what ``place`` has at hand; what is below a mark was heard there."""
    seen, ahead = {id(place): place}, [place]
    while ahead and len(seen) < REACH:
        for thing in _at_hand(ahead.pop()):
            if not callable(thing) or isinstance(thing, type) or id(thing) in seen:
                continue  # a class is at hand of each method that says super()
            seen[id(thing)] = thing
            found = next((mark for each in _places(thing) if (mark := _mark(each)) is not None), None)
            if found is None:
                ahead.append(thing)
            elif id(thing) not in heard:
                yield thing, found


def _at_hand(thing: Any) -> Iterator[Any]:
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
