"""Run file: what a process that dies leaves on this machine about its run.

Whether the call had started: if not, it may run elsewhere. And a traceback, if ``faulthandler`` killed the process
because the run exceeded every limit and could not be interrupted.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from ..executors import runtime_dir
from ..models import AsyncTask

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
            trace = stack.enter_context(path.open("wb", buffering=0))
            stack.callback(path.unlink, missing_ok=True)
            begin = partial(_mark_started, trace, path)
        if trace is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
            stack.callback(faulthandler.cancel_dump_traceback_later)
        yield begin


def _mark_started(file: IO[bytes], path: Path) -> None:
    try:
        file.write(STARTED)
    except OSError:  # disk full: an empty file would mean that the call never started
        path.unlink(missing_ok=True)


def read(task: AsyncTask) -> tuple[bool, str]:
    """Return (whether the run of ``task`` is known not to have started, its traceback), and delete the file.

    (False, "") if the process died in another way or on another machine.
    """
    try:
        path = _file(task)
        text = path.read_bytes()
        path.unlink(missing_ok=True)
    except OSError:
        return False, ""
    return not text, text.removeprefix(STARTED).decode(errors="replace")


def _file(task: AsyncTask) -> Path:
    return runtime_dir.directory() / f"run-{task.pk}-{task.attempt}"
