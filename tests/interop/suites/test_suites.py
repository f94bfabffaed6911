"""The suites of other packages pass with each request deferred, but for tests that a documented limit fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from .comparing import SUITES, Suite, compared


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.package)
def test_suite_passes_deferred_as_it_does_plain(suite: Suite, folder: Path, tmp_path: Path, report: list[str]):
    outcome = compared(suite, folder, tmp_path)
    report.append(str(outcome))
    assert outcome.deferred
    assert outcome.surprising == {}
    assert outcome.stale == [], "these do not differ any more: strike them off differing.toml"
