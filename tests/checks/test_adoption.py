"""Checks in a project that has just added the app. README and quickstart: ``test_first_hour``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_asyncexchange.defaults import q_cluster

LINES = """
INSTALLED_APPS = [*INSTALLED_APPS, "django_q", "django_asyncexchange"]
MIDDLEWARE = [*MIDDLEWARE, "django_asyncexchange.middleware.AsyncExchangeMiddleware"]
ASYNC_EXCHANGE = {"ALLOW_ANONYMOUS": True}
"""
ROOT = Path(__file__).parents[2]
IMPORT = "from django_asyncexchange.defaults import q_cluster\n"
PAGES = ("README.rst", "docs/quickstart.rst", "docs/howto/executors.rst")


def cluster_of(page: str) -> str:
    """The first ``Q_CLUSTER`` in ``page``."""
    shown = re.search(
        r"^ +(Q_CLUSTER = (?:\{.+?^ +\}|q_cluster\(.*?\)))$",
        (ROOT / page).read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    assert shown
    return IMPORT + re.sub(r"^ +", "", shown[1], flags=re.MULTILINE) + "\n"


class NewProject:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.run("-m", "django", "startproject", "fresh", ".")
        self.add("settings", LINES)

    def add(self, module: str, text: str) -> None:
        with (self.home / "fresh" / f"{module}.py").open("a") as file:
            file.write(text)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "", "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, *words], cwd=self.home, env=environ, capture_output=True, text=True)


@pytest.fixture
def fresh(tmp_path):
    return NewProject(tmp_path)


def test_check_names_the_missing_setting_with_a_hint(fresh):
    checked = fresh.run("manage.py", "check")
    assert checked.returncode == 1
    assert "asyncexchange.E010" in checked.stderr
    assert "Q_CLUSTER = q_cluster()" in checked.stderr


def test_check_names_a_queue_that_is_not_installed_with_a_hint(fresh):
    fresh.add(
        "urls", '\nfrom django.urls import include\nurlpatterns += [path("", include("django_asyncexchange.urls"))]\n'
    )
    fresh.add("settings", f"{cluster_of('README.rst')}\nINSTALLED_APPS.remove('django_q')\n")
    checked = fresh.run("manage.py", "check")
    assert set(re.findall(r"asyncexchange\.[EW]\d+", checked.stderr)) == {"asyncexchange.E006"}
    assert "Add 'django_q' to INSTALLED_APPS" in checked.stderr
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize("page", PAGES)
def test_documented_q_cluster_equals_the_default(page):
    shown: dict[str, object] = {}
    exec(cluster_of(page), shown)
    assert shown["Q_CLUSTER"] == q_cluster()
