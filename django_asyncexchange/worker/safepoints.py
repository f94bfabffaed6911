"""Where a run can be interrupted: not between the acquisition of a lock and the block that releases it.

An exception there leaves the lock acquired as long as the process lives. ``translation.activate()`` and every log
record acquire such locks.
"""

from __future__ import annotations

import dis
from types import FrameType

UNSAFE = {"acquire", "release", "_acquireLock", "_releaseLock", "__enter__", "__exit__", "__aenter__", "__aexit__"}
"""Functions that enter or leave a ``with`` block, or acquire or release a lock."""
CALLERS = {"django_asyncexchange.worker.handlers", "django_asyncexchange.worker.asgi"}
"""Modules that call the code of the project. Frames below theirs are the worker's own."""


def is_safe(frame: FrameType | None) -> bool:
    """Whether an exception in ``frame`` leaves no lock acquired."""
    if frame is not None and UNSAFE & _names_on_its_line(frame):
        return False
    while frame is not None and frame.f_globals.get("__name__") not in CALLERS:
        if frame.f_code.co_name in UNSAFE:
            return False
        frame = frame.f_back
    return True


def _names_on_its_line(frame: FrameType) -> set[object]:
    return {
        instruction.argval
        for instruction in dis.get_instructions(frame.f_code)
        if instruction.positions is not None
        and instruction.positions.lineno == frame.f_lineno
        and isinstance(instruction.argval, str)
    }
