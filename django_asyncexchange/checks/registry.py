"""How a function becomes a system check of Django."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from ..conf.check_ids import CheckId as CheckId

Finding = tuple[str, str, str]
"""(a ``CheckId``, what is wrong, what to do)"""


def registered(*tags: str, deploy: bool = False) -> Callable[[Callable[[], Iterable[Finding]]], Any]:
    """Register a function that yields findings as a system check: ids with an E are errors, others warnings."""

    def register(find: Callable[[], Iterable[Finding]]) -> Callable[[], Iterable[Finding]]:
        def check(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
            found: list[checks.CheckMessage] = []
            with contextlib.suppress(ImproperlyConfigured):  # a key of ASYNC_EXCHANGE: check_settings reports it
                found.extend(_message(*finding) for finding in find())
            return found

        checks.register(check, *tags, deploy=deploy)
        return find

    return register


def _message(id: str, wrong: str, hint: str) -> checks.CheckMessage:
    kind = checks.Error if ".E" in id else checks.Warning
    return kind(wrong, hint=hint, id=str(id))
