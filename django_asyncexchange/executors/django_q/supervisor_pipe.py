"""Two pipes between the supervisor and a cluster that it has started. Each ends with its owner.

Through one the cluster notices at once that its supervisor is gone, however it died. Through the other it sends its
status every second.
"""

from __future__ import annotations

import contextlib
import os
import select

VARIABLE = "ASYNCEXCHANGE_SUPERVISOR_PIPES"
"""Environment variable with the two file descriptors."""
WELL, FAILING, STALLED, DRAINED = b".", b"?", b"!", b"-"
"""Status: well; calls begin and none ends; hangs, with calls that still run; hangs, and no call runs any more."""

_fds: tuple[int, int] | None = None
"""Readable when the supervisor is gone; where the status is written."""


def inherit() -> None:
    """Take the pipes that the environment names, if any. Programs that are started from here do not inherit them."""
    global _fds
    given = os.environ.pop(VARIABLE, "")
    if given:
        supervisor, status = map(int, given.split(","))
        _fds = supervisor, status
        for fd in _fds:
            os.set_inheritable(fd, False)
        os.set_blocking(status, False)


def is_supervised() -> bool:
    """Whether a supervisor has started this process."""
    return _fds is not None


def is_supervisor_gone() -> bool:
    """Whether there was one, and it is gone."""
    return _fds is not None and bool(select.select([_fds[0]], [], [], 0)[0])


def wait(seconds: float, *fds: int) -> None:
    """Wait until the supervisor is gone, one of ``fds`` is readable, or ``seconds`` have passed."""
    supervisor = [_fds[0]] if _fds else []
    select.select([*supervisor, *fds], [], [], seconds)


def send(status: bytes) -> None:
    """Send ``status``. It is dropped if the supervisor does not read, or is gone."""
    if _fds is not None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(_fds[1], status)
