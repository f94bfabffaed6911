"""The documentation is complete: the reference has what the code defines, and CI runs the README's commands."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import User
from django.utils.module_loading import import_string

from django_asyncexchange import signals
from django_asyncexchange.checks import CheckId
from django_asyncexchange.conf import check_ids, conf
from django_asyncexchange.conf.keys import Keys
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.dialects.base import DeliveryRules, Policy
from django_asyncexchange.dialects.mailru.dialect import MailRuPolicy
from django_asyncexchange.dialects.moysklad.dialect import RemapPolicy
from django_asyncexchange.protocol.states import TRANSITIONS, Reason, State
from django_asyncexchange.worker import runner

from .services import IDLE, exchange

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "docs" / "_ext"))
REFERENCE = ROOT / "docs" / "reference"
GENERATED = {State: ".. states::", Reason: ".. reasons::"}
DIRECTIVES = runpy.run_path(str(ROOT / "docs" / "_ext" / "directives.py"))
"""What makes the generated parts."""
PICTURES = sys.modules["pictures"]
PACKAGE = "django_asyncexchange"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.rst").read_text(encoding="utf-8")


@functools.cache
def reference() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in REFERENCE.rglob("*.rst"))


def test_every_setting_is_documented():
    assert ".. settings::" in page("settings")
    texts = DIRECTIVES["sentences"](inspect.getsource(Keys), "Keys")
    assert [name for name in conf.names() if not texts.get(name)] == []


@pytest.mark.parametrize("policy", [Policy, RemapPolicy, MailRuPolicy])
def test_every_mount_option_is_documented(policy):
    assert ".. options::" in page("settings")
    assert [row[0] for row in DIRECTIVES["options"](policy, "") if not row[3]] == []


def test_every_check_is_documented():
    assert ".. checks::" in page("checks")
    texts = DIRECTIVES["sentences"](inspect.getsource(check_ids), "CheckId")
    assert [check.name for check in CheckId if not texts.get(check.name)] == []


def test_deployment_checks_are_documented_as_such():
    assert {"STORAGE_MISSING", "SQLITE_OLD"} <= DIRECTIVES["before_deployment"]() <= {check.name for check in CheckId}
    assert "VALUE_WRONG" not in DIRECTIVES["before_deployment"]()


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
def test_default_value_is_shown_readably(value, text):
    assert DIRECTIVES["shown"](value) == text


def test_defaults_that_differ_between_dialects_are_listed():
    rows = {name: dict(zip(BUILT_IN, values, strict=True)) for name, *values in DIRECTIVES["differing"]()}
    assert (rows["RETENTION"]["prefer"], rows["RETENTION"]["moysklad"]) == ("1 day", "1 hour")
    assert "LINK_LIFETIME" not in rows


def test_delivery_rules_are_said_as_people_say_them():
    rules = DeliveryRules(
        total_timeout=1.5, success_statuses=frozenset({200, 204}), schedule=(0, 30), immediate_retries=3
    )
    said = DIRECTIVES["delivery"]("mine", rules)
    retries = "after 30 seconds; 3 times at once after another status"
    assert said == ("mine", "200 or 204 within 1.5 seconds", retries, "5 days")


def named_defaults() -> list[tuple[str, str]]:
    """Settings that a page names with a value, as in "``MAX_WAIT_SECONDS`` (30)"."""
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.rst")]
    found = re.findall(r"``([A-Z_]+)``\s+\(([^)`]*\d[^)`]*)\)", "\n".join(pages))
    return sorted({(name, value) for name, value in found if name in conf.names()})


@pytest.mark.parametrize(("name", "value"), named_defaults())
def test_default_in_a_text_is_that_of_the_code(name, value):
    assert value == DIRECTIVES["shown"](getattr(Keys, name).default).strip("`")


def test_defaults_in_texts_are_found():
    assert len(named_defaults()) >= 3


@pytest.mark.parametrize("kind", [State, Reason])
def test_states_and_reasons_are_documented(kind):
    assert GENERATED[kind] in page("states")
    assert all(re.search(rf"``{member}``", reference()) for member in kind if kind is State)


@pytest.mark.parametrize("name", [name for name, value in vars(signals).items() if isinstance(value, signals.Signal)])
def test_signal_is_documented(name):
    assert f"``{name}``" in page("signals")


# Modules --------------------------------------------------------------------------------------------------------------


def named_modules() -> list[str]:
    """Modules of the package, or what is in them, that the pages about its code name: ``intake.capture``."""
    rooms = {path.stem for path in (ROOT / PACKAGE).iterdir()}
    names = re.findall(
        r"``([a-z_]+(?:\.\w+)*)``", (ROOT / "docs/explanation/architecture.rst").read_text(encoding="utf-8")
    )
    return sorted({name for name in names if name.partition(".")[0] in rooms})


@pytest.mark.parametrize("name", named_modules())
def test_module_of_the_architecture_is_there(name):
    assert resolve_name(f"{PACKAGE}.{name}")


def named_files() -> list[str]:
    text = (ROOT / "docs" / "contributing.rst").read_text(encoding="utf-8").partition("Read the code\n---")[2]
    return sorted(set(re.findall(r"``([a-z_/]+(?:\.py|/))``", text)))


@pytest.mark.parametrize("name", named_files())
def test_file_to_read_or_change_is_there(name):
    assert (ROOT / PACKAGE / name).exists() or (ROOT / name).exists()


def test_modules_and_files_are_found():
    assert len(named_modules()) > 30 and len(named_files()) > 15


# Pictures -------------------------------------------------------------------------------------------------------------


def test_every_transition_is_drawn_and_named():
    assert PICTURES.WHEN.keys() == {(source, target) for source in State for target in TRANSITIONS[source]}
    assert PICTURES.state_machine().svg().count("marker-end=") == len(PICTURES.WHEN)


@pytest.mark.parametrize("draw", [PICTURES.state_machine, PICTURES.sequence, PICTURES.decisions])
def test_picture_is_well_formed_and_described(draw):
    svg = ElementTree.fromstring(draw().svg())
    assert len(svg.get("aria-label", "")) > 100
    colours = {value for node in svg.iter() for name, value in node.items() if name in ("fill", "stroke")}
    assert colours == {"none", "currentColor"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.services")
def test_call_enters_the_functions_of_the_sequence_in_their_order(client, settings):
    settings.ASYNC_EXCHANGE = exchange(VIEWS=["/ran/"], EXECUTOR=IDLE)
    expected = [step.function for step in PICTURES.CALL if step.function]
    entered = []

    def record(frame, event, argument):
        name = frame.f_globals.get("__name__", "").removeprefix(f"{PACKAGE}.")
        entered.append(f"{name}.{frame.f_code.co_qualname}") if event == "call" else None

    client.force_login(User.objects.create_user("anna"))
    sys.setprofile(record)
    try:
        accepted = client.get("/ran/", headers={"Prefer": "respond-async"})
        runner.run_ready()
        answer = client.get(accepted["Location"] + "/result")
    finally:
        sys.setprofile(None)
    assert (accepted.status_code, answer.status_code) == (202, 200)
    assert [name for name in dict.fromkeys(entered) if name in expected] == expected


def test_decision_chart_names_each_dialect_and_executor():
    answers = {
        choice.title: [answer for _, answer in choice.questions] + [choice.otherwise] for choice in PICTURES.CHOICES
    }
    assert {answer for answer in answers["Dialect"] if " " not in answer} == set(BUILT_IN)
    classes = {answer.split()[0] for answer in answers["Executor"]}
    modules = {"Celery": "celery", "DjangoTasks": "django_tasks", "DjangoQ": "django_q"}
    assert classes == modules.keys()
    assert all(import_string(f"{PACKAGE}.executors.{modules[name]}.{name}") for name in classes)


def test_limit_of_the_decision_chart_is_the_default():
    [question] = [question for choice in PICTURES.CHOICES for question, _ in choice.questions if "KiB" in question]
    assert DIRECTIVES["shown"](Keys.INLINE_BYTES.default) in question


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
def test_effects_of_concurrent_changes_on_a_report_are_documented(word):
    page = (Path(__file__).parent.parent / "docs" / "howto" / "whole-collections.rst").read_text(encoding="utf-8")
    assert word in page.partition("Consistent reads\n---")[2].partition("\n---")[0]
