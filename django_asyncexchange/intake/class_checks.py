"""What Django's class-based views refuse before their handler: access mixins, methods that they do not have."""

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
"""What Django's access mixins test; a view may have several, and meets them in the order of its bases."""
DISPATCHING = frozenset({"django.views.generic.base", "django.contrib.auth.mixins", "rest_framework.views"})
"""Modules whose ``dispatch`` we know: it asks what we ask here, then takes the method's handler."""


def method_name(cls: Any, request: Any) -> str:
    """The name of the method for the HTTP method: HEAD is answered by ``get`` where the class has no ``head``."""
    name = (request.method or "").lower()
    return "get" if name == "head" and not hasattr(cls, "head") else name


def refusal(view: Any, request: HttpRequest) -> HttpResponseBase | None:
    """What Django's class-based views and access mixins would refuse.

    What a ``dispatch`` of the project's own would say, and whether it asks those behind it, is left to the run.
    """
    for cls in type(view).__mro__:
        if cls in ACCESS and not ACCESS[cls](view):
            refused: HttpResponseBase = view.handle_no_permission()
            return refused
        if _is_own(vars(cls).get("dispatch")):
            return None
    if not is_method_known(view, request):
        return _awaited(view.http_method_not_allowed(request, *view.args, **view.kwargs))
    handler = getattr(type(view), method_name(type(view), request), None)
    return decorator_checks.refusal(request, handler, view.args, view.kwargs)


def dispatches_itself(cls: type) -> bool:
    """Whether the project's own code decides which handler answers, if any."""
    return any(_is_own(vars(base).get("dispatch")) for base in cls.__mro__)


def _is_own(dispatch: Any) -> bool:
    """Whether this is neither absent, nor a framework's, nor a framework's behind decorators."""
    return dispatch is not None and inspect.unwrap(dispatch).__module__ not in DISPATCHING


def _awaited(answer: Any) -> HttpResponseBase:
    """An asynchronous view gives its answers as coroutines."""

    async def wait() -> HttpResponseBase:
        response: HttpResponseBase = await answer
        return response

    response: HttpResponseBase = async_to_sync(wait)() if inspect.isawaitable(answer) else answer
    return response


def is_method_known(view: Any, request: Any) -> bool:
    method = request.method.lower()
    return method in view.http_method_names and hasattr(view, method)
