"""Where a run can be interrupted: not between taking a lock and the block that gives it back.

An exception there leaves the lock held for as long as the process lives. Every setting of the language takes and gives
back such a lock, and every line that is logged.
"""

from __future__ import annotations

import dis
from types import FrameType

UNSAFE = {"acquire", "release", "_acquireLock", "_releaseLock", "__enter__", "__exit__", "__aenter__", "__aexit__"}
"""Functions that are on their way into a block, or out of it."""
CALLERS = {"django_asyncexchange.worker.handlers", "django_asyncexchange.worker.asgi"}
"""Modules that call what is interrupted. What is below them on the stack is the worker's own."""


def is_safe(frame: FrameType | None) -> bool:
    """Whether an exception that is raised in ``frame`` now leaves every lock to the block that gives it back."""
    if frame is not None and UNSAFE & _named_on_its_line(frame):
        return False
    while frame is not None and frame.f_globals.get("__name__") not in CALLERS:
        if frame.f_code.co_name in UNSAFE:
            return False
        frame = frame.f_back
    return True


def _named_on_its_line(frame: FrameType) -> set[object]:
    return {
        instruction.argval
        for instruction in dis.get_instructions(frame.f_code)
        if instruction.positions is not None
        and instruction.positions.lineno == frame.f_lineno
        and isinstance(instruction.argval, str)
    }
