"""Say of a view whether its calls may be answered later: a function, a class, or one handler or action of a class.

>>> @allow_async
... def report(request): ...

>>> @allow_async(retention=timedelta(days=2), repeatable=True)
... def archive(request): ...

A class may also carry the mark as an attribute: ``async_exchange = True``, or the names of its actions or methods,
``async_exchange = {"list"}``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

from .intake.admission import MARK, REPEATABLE, RETENTION

V = TypeVar("V")


@overload
def allow_async(view: V) -> V: ...


@overload
def allow_async(*, retention: dt.timedelta | None = ..., repeatable: bool | None = ...) -> Callable[[V], V]: ...


def allow_async(view: Any = None, *, retention: dt.timedelta | None = None, repeatable: bool | None = None) -> Any:
    """Calls of ``view`` may be answered later, if the client asks for it.

    ``retention`` says how long the answer of a successful call is kept, instead of the dialect's policy. ``repeatable``
    says whether a call may be run again when its worker has died; left open, GET, HEAD and OPTIONS may.
    """
    if view is None:
        return partial(allow_async, retention=retention, repeatable=repeatable)
    _mark(view, True)
    for name, term in ((RETENTION, retention), (REPEATABLE, repeatable)):
        if term is not None:
            setattr(view, name, term)
    return view


def never_async(view: V) -> V:
    """Calls of ``view`` are never answered later, whatever a dialect or the settings say."""
    _mark(view, False)
    return view


def _mark(view: Any, mark: bool) -> None:
    setattr(view, MARK, mark)
