"""Mark a view as callable asynchronously, or as never: a function, a class, or one method or action of a class.

>>> @allow_async
... def report(request): ...

>>> @allow_async(retention=timedelta(days=2), repeatable=True)
... def archive(request): ...

>>> @allow_async(patience=20)
... def stock(request): ...

A class can have the attribute ``async_exchange`` instead: ``async_exchange = True``, or the names of its actions or
methods, ``async_exchange = {"list"}``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

from .intake import arrival
from .intake.admission import MARK, PATIENCE, REPEATABLE, RETENTION

V = TypeVar("V")


@overload
def allow_async(view: V) -> V: ...


@overload
def allow_async(
    *, retention: dt.timedelta | None = ..., repeatable: bool | None = ..., patience: float | None = ...
) -> Callable[[V], V]: ...


def allow_async(
    view: Any = None,
    *,
    retention: dt.timedelta | None = None,
    repeatable: bool | None = None,
    patience: float | None = None,
) -> Any:
    """Allow asynchronous calls of ``view``, if the client asks for them.

    ``retention`` is how long the response of a successful call is kept, instead of the dialect's ``RETENTION``.
    ``repeatable`` is whether a call may run again after its worker has died; by default GET, HEAD and OPTIONS may.
    ``patience`` is for how many seconds a call is held whose client does not ask, instead of the setting ``PATIENCE``.
    """
    if view is None:
        return partial(allow_async, retention=retention, repeatable=repeatable, patience=patience)
    _set(view, MARK, True)
    if patience:
        arrival.record_all()
    for name, term in ((RETENTION, retention), (REPEATABLE, repeatable), (PATIENCE, patience)):
        if term is not None:
            _set(view, name, term)
    return view


def never_async(view: V) -> V:
    """Never answer calls of ``view`` later, whatever the dialect or the settings say."""
    _set(view, MARK, False)
    return view


def _set(view: Any, name: str, term: Any) -> None:
    """Set an attribute of ``view``. A bound method, such as ``admin.site.index``, has those of its function."""
    setattr(getattr(view, "__func__", view), name, term)
