"""Throttles of Django REST framework count a call when it is submitted, and not again in its run.

The instance of a DRF view is created in the closure of ``as_view()``, below the decorators of the URLconf. Only classes
that the project configures get it: parsers, negotiation, versioning, authentication, permissions, throttles. So neither
the request nor a middleware nor the handler can reach it; an instance or subclass in its place would bypass the
decorators; and the classes belong to the project. But one method of DRF's own ``APIView`` is called with the instance
and with Django's request: ``get_parser_context()``. It is wrapped once per process that runs calls;
``APIView.get_parser_context.__wrapped__`` is the original.
"""

from __future__ import annotations

import functools
from typing import Any

from rest_framework.views import APIView

from ..intake import admission
from ..intake.mark_places import view_class
from ..run_context import run_of


def skip_in_runs() -> None:
    """Have the view of a run skip its throttles. Calling it again changes nothing."""
    original: Any = APIView.get_parser_context
    if getattr(original, "__module__", "") == __name__:
        return

    @functools.wraps(original, assigned=("__name__", "__qualname__", "__doc__"))
    def get_parser_context(self: Any, http_request: Any) -> Any:
        if _was_checked_at_submit(self, http_request):
            admission.skip_throttles(self)
        return original(self, http_request)

    APIView.get_parser_context = get_parser_context  # type: ignore[method-assign]


def _was_checked_at_submit(view: Any, request: Any) -> bool:
    """Whether ``request`` is a run that was resolved to ``view``. Other views that it calls were not checked."""
    if run_of(request) is None:
        return False
    match = getattr(request, "resolver_match", None)
    return match is not None and type(view) is view_class(match.func)
