"""Throttles of Django REST framework count a call when it is submitted, and not again in its run.

DRF's view makes its instance in the closure of ``as_view()``, below whatever decorators the URLconf has around it, and
shows it to nobody but the classes that the project names: parsers, negotiation, versioning, authentication,
permissions, throttles. So no request, middleware or URLconf of ours reaches it, a subclass or an instance of ours would
miss the decorators, and the classes are the project's. What remains is the one method of DRF's own ``APIView`` that is
called with both the instance and Django's request: ``get_parser_context()``. It is wrapped, once per process that runs
calls, and ``APIView.get_parser_context.__wrapped__`` is DRF's.
"""

from __future__ import annotations

import functools
from typing import Any

from rest_framework.views import APIView

from ..intake import admission
from ..run_context import run_of


def skip_in_runs() -> None:
    """Have the view of a run skip its throttles. Calling it again changes nothing."""
    original: Any = APIView.get_parser_context
    if getattr(original, "__module__", "") == __name__:
        return

    @functools.wraps(original, assigned=("__name__", "__qualname__", "__doc__"))
    def get_parser_context(self: Any, http_request: Any) -> Any:
        if _is_asked_at_submit(self, http_request):
            admission.skip_throttles(self)
        return original(self, http_request)

    APIView.get_parser_context = get_parser_context  # type: ignore[method-assign]


def _is_asked_at_submit(view: Any, request: Any) -> bool:
    """Whether ``request`` is a run that was resolved to ``view``. Views that this one calls were not asked."""
    if run_of(request) is None:
        return False
    match = getattr(request, "resolver_match", None)
    return match is not None and type(view) is admission.view_class(match.func)
