"""The end of a run that nothing inside its process can interrupt: the process goes, and leaves a trace of where it was.

The trace lies in a file of this machine, which is written without the interpreter. Whoever finds the process dead reads
there that the call has run for too long; otherwise it would count as lost, and be tried again.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from collections.abc import Iterator
from pathlib import Path

from .executors import scratch
from .models import AsyncTask


@contextlib.contextmanager
def over(task: AsyncTask, seconds: float) -> Iterator[None]:
    """End this process if the block takes longer than ``seconds``, also where code in C keeps the interpreter."""
    with contextlib.ExitStack() as stack:
        try:
            path = _file(task)
            file = stack.enter_context(path.open("wb", buffering=0))
            stack.callback(path.unlink, missing_ok=True)
        except OSError:  # no directory that could be written to: the trace goes to the log alone
            if sys.__stderr__ is None:
                yield
                return
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
        else:
            faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        stack.callback(faulthandler.cancel_dump_traceback_later)
        yield


def trace(task: AsyncTask) -> str:
    """Where the run of ``task`` was when its process was ended; empty if it was not, or not on this machine. Once."""
    try:
        path = _file(task)
        text = path.read_text(errors="replace")
        path.unlink(missing_ok=True)
    except OSError:
        return ""
    return text


def _file(task: AsyncTask) -> Path:
    return scratch.directory() / f"ceiling-{task.pk}-{task.attempt}"
