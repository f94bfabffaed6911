"""Runs a suite twice, plain and with each request deferred, and lists the tests that fail only then.

``differing.toml`` lists the known ones, by the documented limit that is the reason.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from . import archives

HERE = Path(__file__).parent
INSIDE = HERE / "inside"
PYTEST = ("-m", "pytest", "-q", "--tb=short", "-o", "addopts=", "-p", "recording")
WITHOUT = tuple(word for name in ("randomly", "cacheprovider", "xdist", "cov") for word in ("-p", f"no:{name}"))
DJANGO = str(INSIDE / "django_suite.py")


@dataclasses.dataclass(frozen=True)
class Suite:
    """What is run of a package's tests, and how."""

    package: str
    tests: tuple[str, ...]
    """Arguments: files or labels."""
    folder: str = "."
    """Where in the archive it is started."""
    is_djangos: bool = False
    """Whether by Django's own runner; else by pytest."""

    def command(self, is_deferred: bool) -> list[str]:
        if self.is_djangos:
            return [sys.executable, DJANGO, *self.tests]
        return [sys.executable, *PYTEST, *WITHOUT, *(("-p", "deferring") if is_deferred else ()), *self.tests]


DJANGO_TESTS = (
    "asgi async auth_tests conditional_processing contenttypes_tests context_processors csrf_tests decorators "
    "file_uploads flatpages_tests generic_views handlers httpwrappers logging_tests messages_tests middleware "
    "middleware_exceptions redirects_tests requests_tests responses sessions_tests shortcuts signed_cookies_tests "
    "sitemaps_tests syndication_tests test_client test_client_regress timezones urlpatterns urlpatterns_reverse "
    "view_tests wsgi"
)
SUITES = (
    Suite("djangorestframework", ("tests",)),
    Suite("django-filter", ("-c", "setup.cfg", "--ds=tests.settings", "tests")),
    Suite("djangorestframework-simplejwt", ("tests",)),
    Suite("Django", tuple(DJANGO_TESTS.split()), folder="tests", is_djangos=True),
)


@dataclasses.dataclass
class Outcome:
    """The outcomes of a suite, both ways."""

    suite: Suite
    tests: int
    deferred: int
    at_once: int
    differing: dict[str, str]
    """Test → why it fails where its requests are answered later."""

    @property
    def surprising(self) -> dict[str, str]:
        return {test: why for test, why in self.differing.items() if test not in known(self.suite)}

    @property
    def stale(self) -> list[str]:
        return sorted(known(self.suite).keys() - self.differing.keys())

    def __str__(self) -> str:
        figures = (self.tests, self.deferred, self.at_once, len(self.differing), len(known(self.suite)))
        name = f"{self.suite.package:<32}{version(self.suite.package):>9}"
        return name + "{:>7}{:>10}{:>9}{:>8}{:>12}".format(*figures)


def known(suite: Suite) -> dict[str, str]:
    """Test → the documented limit for which it is known to differ."""
    data = tomllib.loads((HERE / "differing.toml").read_text(encoding="utf-8"))
    limits = data["suites"].get(suite.package, {})
    unknown = limits.keys() - data["limits"].keys()
    assert not unknown, f"differing.toml explains no limit called {sorted(unknown)}"
    return {test: limit for limit, tests in limits.items() for test in tests}


def compared(suite: Suite, where: Path, reports: Path) -> Outcome:
    """Run ``suite`` both ways, in parallel; the output is in ``reports``."""
    folder = archives.unpacked(suite.package, where) / suite.folder
    runs = [started(suite, folder, reports, is_deferred=is_deferred) for is_deferred in (False, True)]
    for run in runs:
        run.wait()
    plain, deferred = (read(reports, is_deferred=is_deferred) for is_deferred in (False, True))
    passed = [test for test, outcome in plain["outcomes"].items() if outcome == "passed"]
    assert passed, f"no test of {suite.package} passes: see {reports}"
    now = {test: deferred["outcomes"].get(test, "did not run") for test in passed}
    return Outcome(
        suite=suite,
        tests=len(plain["outcomes"]),
        deferred=deferred["deferred"],
        at_once=deferred["at once"],
        differing={test: outcome for test, outcome in now.items() if outcome != "passed"},
    )


def started(suite: Suite, folder: Path, reports: Path, *, is_deferred: bool) -> subprocess.Popen[bytes]:
    ours = {"PARITY_REPORT": str(report_of(reports, is_deferred)), "PARITY_DEFERRED": "1" if is_deferred else ""}
    rest = {name: value for name, value in os.environ.items() if name not in SETTLED}
    with report_of(reports, is_deferred).with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            suite.command(is_deferred),
            cwd=folder,
            env={**rest, **ours, "PYTHONPATH": str(INSIDE)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


SETTLED = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL", "PYTEST_ADDOPTS", "PYTHONDEVMODE"}
"""Variables of our own tests, which a suite is not to see."""


def report_of(reports: Path, is_deferred: bool) -> Path:
    return reports / ("deferred.json" if is_deferred else "plain.json")


def read(reports: Path, *, is_deferred: bool) -> dict:
    path = report_of(reports, is_deferred)
    assert path.exists(), path.with_suffix(".log").read_text(encoding="utf-8", errors="replace")[-2000:]
    return json.loads(path.read_text(encoding="utf-8"))
