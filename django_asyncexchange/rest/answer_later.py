"""Whether a call of the browsable API can be submitted to be answered later."""

from __future__ import annotations

import copy
from typing import Any

from ..conf import conf
from ..dialects.prefer import Prefer
from ..identity import callers
from ..intake import admission
from ..run_context import run_of


def is_possible(request: Any, method: str) -> bool:
    """Whether the caller of the DRF ``request`` may have its view answer ``method`` later.

    Not in a run: its page is stored, and read when the view may not be marked any more.
    """
    match = request.resolver_match
    if match is None or run_of(request) is not None or not (callers.is_known(request) or conf.ALLOW_ANONYMOUS):
        return False
    call = copy.copy(request._request)
    call.method = method
    return any(isinstance(mount, Prefer) and admission.is_eligible(call, match.func, mount) for mount in conf.mounts)
