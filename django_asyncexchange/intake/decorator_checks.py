"""What Django's decorators refuse before a view begins: ``login_required``, ``permission_required``, ``require_POST``…

Their wrappers keep the question and the view in a closure. Here each wrapper is asked with a stand-in for the view: it
refuses in its own words, or reaches the stand-in. The view itself is never reached.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

View = Callable[..., Any]

WRAPPERS: Mapping[tuple[str, str], str] = {
    ("django.contrib.auth.decorators", "test_func"): "view_func",
    ("django.views.decorators.http", "request_method_list"): "func",
}
"""(module, the free variable that holds a wrapper's question) → the free variable that holds its view."""
WITHHELD: Mapping[tuple[str, str], str] = {
    ("oauth2_provider.decorators", "validator_cls"): "the token in Authorization",
    ("oauth2_provider.views.mixins", "dispatch"): "the token in Authorization",
    ("allauth.account.decorators", "allow_get"): "the session's last login",
}
"""(module, a free variable of its wrappers or a method of its mixins) → what they ask for, and no run has."""
PASSED = HttpResponse()
"""What the stand-in answers."""


def refusal(request: HttpRequest, view_func: View | None, args: Any, kwargs: Any) -> HttpResponseBase | None:
    """The first refusal of the decorators around ``view_func``, or None; raises what they raise (PermissionDenied)."""
    answers = (gate(request, *args, **kwargs) for gate in _gates(view_func))
    return next((answer for answer in answers if answer is not PASSED), None)


def withheld(request: HttpRequest, view_func: View | None, cls: Any) -> str:
    """What the guards of a view ask for that no run has; ``""`` where there are none of the kind."""
    bases = getattr(cls, "__mro__", ())
    asked = [(base.__module__, "dispatch") for base in bases if "dispatch" in vars(base)]
    handler = getattr(cls, (request.method or "").lower(), None)
    for wrapper in (*_wrappers(view_func), *_wrappers(getattr(cls, "dispatch", None)), *_wrappers(handler)):
        asked += [(_module(wrapper), name) for name in wrapper.__code__.co_freevars]
    return next((WITHHELD[each] for each in asked if each in WITHHELD), "")


def of_api_view(handler: Any) -> View | None:
    """The function below DRF's ``api_view``, whose class answers by ``handler``."""
    if not isinstance(handler, types.FunctionType) or _module(handler) != "rest_framework.decorators":
        return None
    cell = _cells(handler).get("func")
    return cell.cell_contents if cell else None


def _gates(view_func: Any) -> Iterator[View]:
    """The wrappers that ask something, the outermost first, each with a stand-in for its view."""
    for wrapper in _wrappers(view_func):
        cells = _cells(wrapper)
        if _module(wrapper) == "django.utils.decorators" and "_pre_process_request" in cells:
            yield from _csrf_gate(cells["_pre_process_request"].cell_contents)
        for name in cells:
            if (_module(wrapper), name) in WRAPPERS:
                yield _with_stand_in(wrapper, cells, WRAPPERS[_module(wrapper), name])


def _wrappers(view_func: Any) -> Iterator[types.FunctionType]:
    """The functions around a view, the outermost first, with those that ``method_decorator`` would put around one."""
    wrapper = view_func
    while isinstance(wrapper, types.FunctionType) and "initkwargs" not in wrapper.__code__.co_freevars:
        cells = _cells(wrapper)
        if _module(wrapper) == "django.utils.decorators" and {"decorators", "method"} <= cells.keys():
            view: Any = lambda request, *args, **kwargs: PASSED  # noqa: E731  (a decorator may write on it)
            for decorator in cells["decorators"].cell_contents:
                view = decorator(view)
            yield from _wrappers(view)
        yield wrapper
        wrapper = getattr(wrapper, "__wrapped__", None)  # that of ``as_view``, where this ends, is its ``dispatch``'s


def _module(wrapper: types.FunctionType) -> str:
    """Where ``wrapper`` was written; its ``__module__`` is the decorated view's."""
    return str(wrapper.__globals__.get("__name__", ""))


def _cells(wrapper: types.FunctionType) -> dict[str, types.CellType]:
    return dict(zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True))


def _csrf_gate(ask: Any) -> Iterator[View]:
    """``csrf_protect`` and its like ask here, because a deferred run is not asked again."""
    if isinstance(inspect.getclosurevars(ask).nonlocals.get("middleware"), CsrfViewMiddleware):
        yield lambda request, *args, **kwargs: ask(request, *args, **kwargs) or PASSED


def _with_stand_in(wrapper: types.FunctionType, cells: dict[str, types.CellType], view: str) -> View:
    is_async = iscoroutinefunction(wrapper)
    closure = {**cells, view: types.CellType(_passed_later if is_async else _passed)}
    gate = types.FunctionType(wrapper.__code__, wrapper.__globals__, wrapper.__name__, None, tuple(closure.values()))
    return async_to_sync(gate) if is_async else gate


def _passed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return PASSED


async def _passed_later(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return PASSED
