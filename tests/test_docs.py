"""The documentation is complete: the reference has what the code defines, and CI runs the README's commands."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest

from django_asyncexchange import signals
from django_asyncexchange.checks import CheckId, registry
from django_asyncexchange.conf import conf
from django_asyncexchange.conf.keys import Keys
from django_asyncexchange.dialects.base import Policy
from django_asyncexchange.dialects.mailru.dialect import MailRuPolicy
from django_asyncexchange.dialects.moysklad.dialect import RemapPolicy
from django_asyncexchange.protocol.states import Reason, State

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
GENERATED = {State: ".. states::", Reason: ".. reasons::"}
HOUSE = runpy.run_path(str(ROOT / "docs" / "_ext" / "house.py"))
"""What makes the generated parts."""


def page(name: str) -> str:
    return (REFERENCE / f"{name}.rst").read_text(encoding="utf-8")


@functools.cache
def reference() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in REFERENCE.rglob("*.rst"))


def test_every_setting_has_a_sentence():
    assert ".. settings::" in page("settings")
    texts = HOUSE["sentences"](inspect.getsource(Keys), "Keys")
    assert [name for name in conf.names() if not texts.get(name)] == []


@pytest.mark.parametrize("policy", [Policy, RemapPolicy, MailRuPolicy])
def test_every_option_of_a_mount_has_a_sentence(policy):
    assert ".. options::" in page("settings")
    assert [row[0] for row in HOUSE["options"](policy, "") if not row[3]] == []


def test_every_check_has_a_sentence():
    assert ".. checks::" in page("checks")
    texts = HOUSE["sentences"](inspect.getsource(registry), "CheckId")
    assert [check.name for check in CheckId if not texts.get(check.name)] == []


def test_what_is_checked_before_a_deployment_only_is_documented_as_that():
    assert {"STORAGE_MISSING", "SQLITE_OLD"} <= HOUSE["before_deployment"]() <= {check.name for check in CheckId}
    assert "VALUE_WRONG" not in HOUSE["before_deployment"]()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.timedelta(days=7), "7 days"),
        (dt.timedelta(hours=24), "1 day"),
        (dt.timedelta(hours=1), "1 hour"),
        (dt.timedelta(seconds=90), "90 seconds"),
        (20 * 1024**2, "20 MiB"),
        (300, "``300``"),
        (("a", 2), "a, 2"),
        ("UTC", '``"UTC"``'),
    ],
)
def test_a_default_is_said_as_people_say_it(value, text):
    assert HOUSE["shown"](value) == text


@pytest.mark.parametrize("kind", [State, Reason])
def test_states_and_reasons_are_documented(kind):
    assert GENERATED[kind] in page("states")
    assert all(re.search(rf"``{member}``", reference()) for member in kind if kind is State)


@pytest.mark.parametrize("name", [name for name, value in vars(signals).items() if isinstance(value, signals.Signal)])
def test_signal_is_documented(name):
    assert f"``{name}``" in page("signals")


def readme_command(name: str) -> str:
    """The command shown under the comment ``.. NAME``."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    [command] = re.findall(rf"^\.\. {name}\n\n\.\. code-block:: sh\n\n    (.+)\n\n", text, re.MULTILINE)
    return command


def test_readme_shows_both_commands_on_one_line_each():
    assert readme_command("demo-command").startswith("python3 example_project/demo.py")
    assert readme_command("test-command").startswith("python3 -m venv .venv && ")


@pytest.mark.parametrize("name", ["demo-command", "test-command"])
def test_ci_runs_the_commands_of_the_readme(name):
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    [function] = re.findall(r"^readme_command\(\) \{.+?^\}$", script, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        ["bash", "-c", f"{function}\nreadme_command {name}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == readme_command(name)


def test_changelog_has_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\n{version}\n" in (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")


@pytest.mark.seed("S002-8", "S002-9")
@pytest.mark.parametrize("word", ["added", "removed", "doubled", "lost"])
def test_what_a_concurrent_change_does_to_a_report_is_documented(word):
    page = (Path(__file__).parent.parent / "docs" / "howto" / "whole-collections.rst").read_text(encoding="utf-8")
    assert word in page.partition("One moment\n---")[2].partition("\n---")[0]
