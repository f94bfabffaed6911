"""What Django's decorators refuse before the view: ``login_required``, ``permission_required``, ``require_POST``…

Their wrappers have the test and the view in a closure. Here each wrapper is called with a stand-in for the view: it
returns its own refusal, or calls the stand-in. The view itself is never called.
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
"""(module, free variable with the wrapper's test) → free variable with its view."""
MISSING_CREDENTIALS: Mapping[tuple[str, str], str] = {
    ("oauth2_provider.decorators", "validator_cls"): "the token in Authorization",
    ("oauth2_provider.views.mixins", "dispatch"): "the token in Authorization",
    ("allauth.account.decorators", "allow_get"): "the session's last login",
}
"""(module, free variable of its wrappers or method of its mixins) → the credential that they need, and no run has."""
ACCEPTED = HttpResponse()
"""The response of the stand-in."""


def refusal(request: HttpRequest, view_func: View | None, args: Any, kwargs: Any) -> HttpResponseBase | None:
    """The first refusal by a decorator of ``view_func``, or None. Raises what they raise (PermissionDenied)."""
    answers = (check(request, *args, **kwargs) for check in _checks(view_func))
    return next((answer for answer in answers if answer is not ACCEPTED), None)


def missing_credential(request: HttpRequest, view_func: View | None, cls: Any) -> str:
    """The credential that decorators or mixins of the view need, and no run has; ``""`` for none."""
    bases = getattr(cls, "__mro__", ())
    places = [(base.__module__, "dispatch") for base in bases if "dispatch" in vars(base)]
    handler = getattr(cls, (request.method or "").lower(), None)
    for wrapper in (*_wrappers(view_func), *_wrappers(getattr(cls, "dispatch", None)), *_wrappers(handler)):
        places += [(_module(wrapper), name) for name in wrapper.__code__.co_freevars]
    return next((MISSING_CREDENTIALS[each] for each in places if each in MISSING_CREDENTIALS), "")


def of_api_view(handler: Any) -> View | None:
    """The function that DRF's ``api_view`` decorates, by the ``handler`` of its class."""
    if not isinstance(handler, types.FunctionType) or _module(handler) != "rest_framework.decorators":
        return None
    cell = _cells(handler).get("func")
    return cell.cell_contents if cell else None


def _checks(view_func: Any) -> Iterator[View]:
    """The wrappers with a test, from the outermost on, each with a stand-in for its view."""
    for wrapper in _wrappers(view_func):
        cells = _cells(wrapper)
        if _module(wrapper) == "django.utils.decorators" and "_pre_process_request" in cells:
            yield from _csrf_check(cells["_pre_process_request"].cell_contents)
        for name in cells:
            if (_module(wrapper), name) in WRAPPERS:
                yield _with_stand_in(wrapper, cells, WRAPPERS[_module(wrapper), name])


def _wrappers(view_func: Any) -> Iterator[types.FunctionType]:
    """The wrappers of a view, from the outermost on, with those that ``method_decorator`` makes on each call."""
    wrapper = view_func
    while isinstance(wrapper, types.FunctionType) and "initkwargs" not in wrapper.__code__.co_freevars:
        cells = _cells(wrapper)
        if _module(wrapper) == "django.utils.decorators" and {"decorators", "method"} <= cells.keys():
            view: Any = lambda request, *args, **kwargs: ACCEPTED  # noqa: E731  (a new one: decorators set attributes on it)
            for decorator in cells["decorators"].cell_contents:
                view = decorator(view)
            yield from _wrappers(view)
        yield wrapper
        wrapper = getattr(wrapper, "__wrapped__", None)  # of as_view(), where the loop ends, that is dispatch()


def _module(wrapper: types.FunctionType) -> str:
    """The module that defines ``wrapper``; its ``__module__`` is that of the decorated view."""
    return str(wrapper.__globals__.get("__name__", ""))


def _cells(wrapper: types.FunctionType) -> dict[str, types.CellType]:
    return dict(zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True))


def _csrf_check(process_request: Any) -> Iterator[View]:
    """The check of ``csrf_protect`` and the like: a run is not checked again."""
    if isinstance(inspect.getclosurevars(process_request).nonlocals.get("middleware"), CsrfViewMiddleware):
        yield lambda request, *args, **kwargs: process_request(request, *args, **kwargs) or ACCEPTED


def _with_stand_in(wrapper: types.FunctionType, cells: dict[str, types.CellType], view: str) -> View:
    is_async = iscoroutinefunction(wrapper)
    closure = {**cells, view: types.CellType(_accept_async if is_async else _accept)}
    check = types.FunctionType(wrapper.__code__, wrapper.__globals__, wrapper.__name__, None, tuple(closure.values()))
    return async_to_sync(check) if is_async else check


def _accept(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return ACCEPTED


async def _accept_async(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    return ACCEPTED
