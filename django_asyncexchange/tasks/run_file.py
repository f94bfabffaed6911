"""What a process leaves behind of a run in which it dies, in a file of this machine.

Whether the call had begun: one that had not may begin elsewhere. And where it was, if the process was ended because its
run outlasted every limit, and nothing inside could interrupt it: that is written without the interpreter.
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

BEGUN = b"begun\n"


@contextlib.contextmanager
def over(task: AsyncTask, seconds: float) -> Iterator[Callable[[], object]]:
    """End this process if the block takes longer than ``seconds``, also where code in C keeps the interpreter.

    Gives what is to be called as soon as the call begins.
    """
    with contextlib.ExitStack() as stack:
        begin: Callable[[], object] = bool
        trace: Any = sys.__stderr__
        with contextlib.suppress(OSError):  # no directory that could be written to: the trace goes to the log alone
            path = _file(task)
            trace = stack.enter_context(path.open("wb", buffering=0))
            stack.callback(path.unlink, missing_ok=True)
            begin = partial(_begin, trace, path)
        if trace is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=trace)
            stack.callback(faulthandler.cancel_dump_traceback_later)
        yield begin


def _begin(file: IO[bytes], path: Path) -> None:
    try:
        file.write(BEGUN)
    except OSError:  # no room: then nothing may be said
        path.unlink(missing_ok=True)


def left(task: AsyncTask) -> tuple[bool, str]:
    """Whether it is known that the run of ``task`` never began; and where it was when it was ended. Asked once.

    False and nothing, where its process has died otherwise, or on another machine.
    """
    try:
        path = _file(task)
        text = path.read_bytes()
        path.unlink(missing_ok=True)
    except OSError:
        return False, ""
    return not text, text.removeprefix(BEGUN).decode(errors="replace")


def _file(task: AsyncTask) -> Path:
    return runtime_dir.directory() / f"run-{task.pk}-{task.attempt}"
