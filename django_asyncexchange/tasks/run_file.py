"""Run file: what a process that dies leaves on this machine about its run.

Whether the call had started: if not, it may run elsewhere. And a traceback, if ``faulthandler`` killed the process
because the run exceeded every limit and could not be interrupted.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..models import AsyncTask
from ..protocol import runtime_dir

STARTED = b"begun\n"


@contextlib.contextmanager
def kill_after(task: AsyncTask, seconds: float) -> Iterator[Callable[[], object]]:
    """Kill this process if the block takes longer than ``seconds``, even if C code holds the interpreter.

    Yields a function to call when the call starts.
    """
    with contextlib.ExitStack() as stack:
        begin: Callable[[], object] = bool
        trace: Any = sys.__stderr__
        with contextlib.suppress(OSError):  # no writable directory: the traceback goes to stderr alone
            path = _file(task)
            trace = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, trace)
            stack.callback(_unlink, path)
            begin = partial(_mark_started, trace, path)
        if trace is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
            stack.callback(faulthandler.cancel_dump_traceback_later)
        yield begin


def _mark_started(fd: int, path: str) -> None:
    try:
        os.write(fd, STARTED)
    except OSError:  # disk full: an empty file would mean that the call never started
        _unlink(path)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def read(task: AsyncTask) -> tuple[bool, str]:
    """Return (whether the run of ``task`` is known not to have started, its traceback), and delete the file.

    (False, "") if the process died in another way or on another machine.
    """
    try:
        path = Path(_file(task))
        text = path.read_bytes()
        path.unlink(missing_ok=True)
    except OSError:
        return False, ""
    return not text, text.removeprefix(STARTED).decode(errors="replace")


def _file(task: AsyncTask) -> str:
    return runtime_dir.file(f"run-{task.pk}-{task.attempt}")
