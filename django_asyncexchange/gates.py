"""What Django's decorators refuse before a view begins: ``login_required``, ``permission_required``, ``require_POST``…

Their wrappers keep the question and the view in a closure. Here each wrapper is asked with a stand-in for the view: it
refuses in its own words, or reaches the stand-in. The view itself is never reached.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

View = Callable[..., Any]

WRAPPERS: Mapping[tuple[str, str], str] = {
    ("django.contrib.auth.decorators", "test_func"): "view_func",
    ("django.views.decorators.http", "request_method_list"): "func",
}
"""(module, the free variable that holds a wrapper's question) → the free variable that holds its view."""
PASSED = HttpResponse()
"""What the stand-in answers."""


def refusal(request: HttpRequest, view_func: View, args: Any, kwargs: Any) -> HttpResponseBase | None:
    """The first refusal of the decorators around ``view_func``, or None; raises what they raise (PermissionDenied)."""
    answers = (gate(request, *args, **kwargs) for gate in _gates(view_func))
    return next((answer for answer in answers if answer is not PASSED), None)


def _gates(view_func: View) -> Iterator[View]:
    """The wrappers that ask something, the outermost first, each with a stand-in for its view."""
    wrapper: Any = view_func
    while wrapper is not None:
        view = _variable_of_view(wrapper)
        if view:
            yield _with_stand_in(wrapper, view)
        wrapper = getattr(wrapper, "__wrapped__", None)


def _variable_of_view(wrapper: Any) -> str | None:
    if not isinstance(wrapper, types.FunctionType):
        return None
    module = wrapper.__globals__.get("__name__", "")  # ``__module__`` is the decorated view's
    return next((WRAPPERS[module, name] for name in wrapper.__code__.co_freevars if (module, name) in WRAPPERS), None)


def _with_stand_in(wrapper: types.FunctionType, view: str) -> View:
    is_async = iscoroutinefunction(wrapper)
    cells = dict(zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True))
    cells[view] = types.CellType(_passed_later if is_async else _passed)
    gate = types.FunctionType(wrapper.__code__, wrapper.__globals__, wrapper.__name__, None, tuple(cells.values()))
    return async_to_sync(gate) if is_async else gate


def _passed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return PASSED


async def _passed_later(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return PASSED
