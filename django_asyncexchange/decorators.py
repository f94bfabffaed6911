"""Say of a view whether its calls may be answered later: a function, a class, or one handler or action of a class.

>>> @allow_async
... def report(request): ...

A class may also carry the mark as an attribute: ``async_exchange = True``, or the names of its actions or methods,
``async_exchange = {"list"}``.
"""

from __future__ import annotations

from typing import Any, TypeVar

from .admission import MARK

V = TypeVar("V")


def allow_async(view: V) -> V:
    """Calls of ``view`` may be answered later, if the client asks for it."""
    _mark(view, True)
    return view


def never_async(view: V) -> V:
    """Calls of ``view`` are never answered later, whatever a dialect or the settings say."""
    _mark(view, False)
    return view


def _mark(view: Any, mark: bool) -> None:
    setattr(view, MARK, mark)
