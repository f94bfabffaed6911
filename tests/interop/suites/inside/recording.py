"""Records the outcome of each test of a suite: by pytest, or by Django's own runner."""

from __future__ import annotations

import atexit
import functools
import json
import os
import unittest
from pathlib import Path
from typing import Any

outcomes: dict[str, str] = {}
"""Test → ``passed``, ``skipped``, or the last line of why it failed."""
figures: dict[str, int] = {"deferred": 0, "at once": 0}
RANK = {"skipped": 0, "passed": 1}


def note(test: str, outcome: str) -> None:
    """Keep the worst outcome of a test: its teardown, or one of its subtests, may fail after it has passed."""
    if RANK.get(outcome, 2) >= RANK.get(outcomes.get(test, "skipped"), 2):
        outcomes[test] = outcome


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "failed"


@atexit.register
def write() -> None:
    Path(os.environ["PARITY_REPORT"]).write_text(json.dumps({"outcomes": outcomes, **figures}), encoding="utf-8")


# pytest ---------------------------------------------------------------------------------------------------------------


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or not report.passed:
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message if crash else str(report.longrepr)
        note(report.nodeid, report.outcome if not report.failed else last_line(why))


# Django's runner ------------------------------------------------------------------------------------------------------


def of_unittest() -> None:
    """Record what unittest's results get."""
    for name in ("addSuccess", "addSkip", "addExpectedFailure"):
        watch(name, "skipped" if name == "addSkip" else "passed")
    for name in ("addError", "addFailure", "addUnexpectedSuccess", "addSubTest"):
        watch(name, "")


def watch(name: str, outcome: str) -> None:
    method = getattr(unittest.TestResult, name)

    @functools.wraps(method)
    def noting(result: Any, test: Any, *args: Any) -> None:
        error = args[-1] if args else None
        if outcome:
            note(test.id(), outcome)
        elif isinstance(error, tuple):
            note(test.id(), last_line(f"{error[0].__name__}: {error[1]}".replace("\n", " ")))
        method(result, test, *args)

    setattr(unittest.TestResult, name, noting)
