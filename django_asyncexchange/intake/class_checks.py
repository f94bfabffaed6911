"""What Django's class-based views refuse before their handler: by access mixins, or because of the method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin, UserPassesTestMixin
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from . import decorator_checks

ACCESS: Mapping[type, Callable[[Any], bool]] = {
    LoginRequiredMixin: lambda view: view.request.user.is_authenticated,
    PermissionRequiredMixin: lambda view: view.has_permission(),
    UserPassesTestMixin: lambda view: view.get_test_func()(),
}
"""Access mixin → its test. A view may have several, in the order of its base classes."""
DISPATCHING = frozenset({"django.views.generic.base", "django.contrib.auth.mixins", "rest_framework.views"})
"""Modules whose ``dispatch()`` does what is done here, and then calls the handler of the method."""


def method_name(cls: Any, method: str) -> str:
    """The name of the handler of the HTTP method: for HEAD ``get``, if the class has no ``head``."""
    name = method.lower()
    return "get" if name == "head" and not hasattr(cls, "head") else name


def refusal(view: Any, request: HttpRequest) -> HttpResponseBase | None:
    """The response with which Django's class-based views or access mixins refuse ``request``; None if they do not.

    A ``dispatch()`` of the project, and mixins behind it, are left to the run.
    """
    for cls in type(view).__mro__:
        if cls in ACCESS and not ACCESS[cls](view):
            refused: HttpResponseBase = view.handle_no_permission()
            return refused
        if _is_of_project(vars(cls).get("dispatch")):
            return None
    if not is_method_known(view, request):
        return _awaited(view.http_method_not_allowed(request, *view.args, **view.kwargs))
    handler = getattr(type(view), method_name(type(view), request.method or ""), None)
    return decorator_checks.refusal(request, handler, view.args, view.kwargs)


def dispatches_itself(cls: type) -> bool:
    """Whether a ``dispatch()`` of the project chooses the handler."""
    return any(_is_of_project(vars(base).get("dispatch")) for base in cls.__mro__)


def _is_of_project(dispatch: Any) -> bool:
    """Whether ``dispatch`` exists and is not one of Django or DRF, with or without decorators."""
    return dispatch is not None and inspect.unwrap(dispatch).__module__ not in DISPATCHING


def _awaited(answer: Any) -> HttpResponseBase:
    """``answer``, awaited if it is a coroutine of an asynchronous view."""

    async def wait() -> HttpResponseBase:
        response: HttpResponseBase = await answer
        return response

    response: HttpResponseBase = async_to_sync(wait)() if inspect.isawaitable(answer) else answer
    return response


def is_method_known(view: Any, request: Any) -> bool:
    method = request.method.lower()
    return method in view.http_method_names and hasattr(view, method)
