"""System checks of the project's executor."""

from __future__ import annotations

from collections.abc import Iterator

from .. import executors
from ..conf import conf
from .registry import CheckId, Finding, registered


@registered()
def check_executor() -> Iterator[Finding]:
    path = conf.EXECUTOR
    if next(executors.setting_problems(), None):
        return  # reported by check_settings; with them the executor may not even be made
    try:
        executor = executors.load()
    except Exception as error:
        hint = "Correct what it raises, or name another EXECUTOR."
        yield CheckId.EXECUTOR_WRONG, f"{path!r} cannot be created: {type(error).__name__}: {error}", hint
        return
    for wrong, hint in executor.check():
        yield CheckId.EXECUTOR_MISCONFIGURED, f"{path} cannot work: {wrong}", hint
    yield from executor.system_checks()


@registered(deploy=True)
def check_executor_for_deployment() -> Iterator[Finding]:
    if next(executors.setting_problems(), None):
        return
    try:
        executor = executors.load()
    except Exception:  # reported by check_executor
        return
    yield from executor.deployment_checks()
