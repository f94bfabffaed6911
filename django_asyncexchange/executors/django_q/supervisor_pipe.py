"""The line between a supervisor and the cluster that it has started: two pipes that end with their owners.

The cluster sees at once that its supervisor is gone, however it died, and tells it every second how it is.
"""

from __future__ import annotations

import contextlib
import os
import select

VARIABLE = "ASYNCEXCHANGE_LIFELINE"
WELL, FAILING, BUSY, DONE = b".", b"?", b"!", b"-"
"""All is well; calls are taken and none ends; wedged, with runs that still go on; and nothing is left to wait for."""

_ends: tuple[int, int] | None = None
"""What cannot be read from while the supervisor lives, and what it hears."""


def adopt() -> None:
    """Take the line that the environment names, if there is one. Programs that are started from here do not have it."""
    global _ends
    given = os.environ.pop(VARIABLE, "")
    if given:
        reading, writing = map(int, given.split(","))
        _ends = reading, writing
        for end in _ends:
            os.set_inheritable(end, False)
        os.set_blocking(writing, False)


def is_held() -> bool:
    """Whether a supervisor has started this process."""
    return _ends is not None


def is_cut() -> bool:
    """Whether it is gone."""
    return _ends is not None and bool(select.select([_ends[0]], [], [], 0)[0])


def wait(seconds: float, *others: int) -> None:
    """Until the supervisor is gone, or one of the file descriptors ``others`` can be read."""
    ends = [_ends[0]] if _ends else []
    select.select([*ends, *others], [], [], seconds)


def say(word: bytes) -> None:
    """Tell the supervisor. One that does not listen hears nothing."""
    if _ends is not None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(_ends[1], word)
