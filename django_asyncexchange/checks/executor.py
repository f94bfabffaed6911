"""What an executor knows to be wrong with the settings of its own queue."""

from __future__ import annotations

from collections.abc import Iterator

from .. import executors
from ..conf import conf
from .registry import CheckId, Finding, registered


@registered()
def check_executor() -> Iterator[Finding]:
    try:
        executor = executors.load()
    except Exception:  # it cannot be imported, which is another check's to say
        return
    for wrong, hint in executor.check():
        yield CheckId.EXECUTOR_MISCONFIGURED, f"{conf.EXECUTOR} cannot work: {wrong}", hint
