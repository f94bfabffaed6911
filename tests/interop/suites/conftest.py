"""These tests take minutes and fetch archives, kept in the folder ``TEST_PARITY``; without it they are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = os.environ.get("TEST_PARITY", "")
collect_ignore_glob = [] if FOLDER else ["test_*.py"]
FIGURES: list[str] = []


@pytest.fixture(scope="session")
def folder() -> Path:
    """Where archives are unpacked."""
    return Path(FOLDER)


@pytest.fixture
def report() -> list[str]:
    """Lines for the end of the report."""
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("suites of others, with every request answered later")
        terminalreporter.write_line(
            f"{'suite':<32}{'version':>9}{'tests':>7}{'deferred':>10}{'at once':>9}{'differ':>8}{'documented':>12}"
        )
        for line in FIGURES:
            terminalreporter.write_line(line)
