"""Every Python block of the documentation runs: settings pass ``check``, all others import and define."""

from __future__ import annotations

import ast
import builtins
import copy
import dataclasses
import functools
import importlib
import re
import sys
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from boto3.s3.transfer import TransferConfig
from celery import Celery, _state
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as project
from django.contrib import admin
from django.core import checks
from django.test import override_settings
from django.urls import include, path
from docutils import nodes
from docutils.core import publish_doctree

from django_asyncexchange import urls
from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.solitude import Solitude

from . import services
from .pages import PAGES, QUIET, ROOT, Block, blocks, completed

SERVERS = ("receiver.py",)
"""Blocks that would run for ever; ``webhooks.test_signatures`` and the journeys have the like."""
ELSEWHERE = ("django_rq", "myproject.partners", "myproject.dialects")
"""What pages take for granted in a reader's project."""
IN_WORDS = {
    "SENDFILE": 'STORAGES["asyncexchange"]["OPTIONS"] = {"location": "/var/lib/myproject/results"}',
    "PRESIGNED": 'STORAGES["asyncexchange"] = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": BUCKET}',
    "QUEUES": 'Q_CLUSTER["ALT_CLUSTERS"] = {"calls": {}, "webhooks": {}}',
}
"""What the text of a page says besides, for blocks that have this setting."""
BUCKET = {"bucket_name": "myproject-results", "transfer_config": TransferConfig(use_threads=False)}
LIBRARY = (
    "datetime",
    "json",
    "os",
    "django.http",
    "rest_framework.decorators",
    "rest_framework.generics",
    "rest_framework.permissions",
    "rest_framework.renderers",
    "rest_framework.response",
    "rest_framework.views",
    "rest_framework.viewsets",
    "django_asyncexchange.decorators",
    "django_asyncexchange.defaults",
)
"""Where names come from that a block does not import."""


def run(block: Block, names: dict[str, Any]) -> None:
    """Run ``block`` as part of a module with ``names`` and the names that it takes for granted."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Name) and node.id not in names and not hasattr(builtins, node.id):
            names[node.id] = taken_for_granted(node.id)
    exec(compile(completed(block.text), "page", "exec"), names)


def taken_for_granted(name: str) -> Any:
    """The value of the undefined ``name``."""
    modules = [importlib.import_module(module) for module in LIBRARY]
    known = [getattr(module, name) for module in modules if hasattr(module, name)]
    return importlib.import_module(name) if name in LIBRARY else (known or [MagicMock(name=name)])[0]


def is_of_settings(block: Block) -> bool:
    """Whether it assigns settings."""
    targets = [target for node in ast.parse(block.text).body if isinstance(node, ast.Assign) for target in node.targets]
    return block.file is None and any(re.match(r"[A-Z_]+\b", ast.unparse(target)) for target in targets)


@functools.cache
def shown() -> list[tuple[str, Block, tuple[Block, ...]]]:
    """(id, block, those above it on its page)."""
    found = []
    for page in PAGES:
        if "code-block:: python" in page.read_text(encoding="utf-8"):
            above = [block for block in blocks(page) if block.language == "python" and block.file not in SERVERS]
            found += [(f"{page.stem}:{block.line}", block, tuple(above[:at])) for at, block in enumerate(above)]
    return found


def those(of_settings: bool) -> list[Any]:
    chosen = [row for row in shown() if is_of_settings(row[1]) == of_settings]
    return [pytest.param(block, above, id=id) for id, block, above in chosen]


@pytest.fixture
def of_the_reader(tmp_path, monkeypatch):
    """Write the files that a page shows into a project ``myproject``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ASYNC_EXCHANGE_KEY", Fernet.generate_key().decode())
    for name in ELSEWHERE:
        monkeypatch.setitem(sys.modules, name, MagicMock(name=name, Partners=Solitude))
    monkeypatch.setattr(_state, "default_app", _state.default_app)  # Celery's fixup for Django replaces it
    with Celery("myproject", broker="memory://", set_as_current=False) as app:
        monkeypatch.setattr(_state._tls, "current_app", app, raising=False)

    def write(block: Block) -> None:
        file = tmp_path / (block.file or "")
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
        module = ".".join(Path(block.file or "").with_suffix("").parts)
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()

    yield write
    for model in [model for model in admin.site._registry if model._meta.app_label not in apps.app_configs]:
        admin.site.unregister(model)  # of an app that only a page defines
    for name in [name for name in sys.modules if name.partition(".")[0] == "myproject"]:
        del sys.modules[name]


@pytest.mark.parametrize(("block", "above"), those(of_settings=False))
def test_block_runs(block, above, of_the_reader):
    names: dict[str, Any] = {"__name__": "page"}
    for earlier in (*above, block):
        if not is_of_settings(earlier):
            run(earlier, names)


@pytest.mark.django_db  # some checks of Django query the database's features
@pytest.mark.parametrize(("block", "above"), those(of_settings=True))
def test_settings_of_a_page_pass_check(block, above, of_the_reader, tmp_path):
    for earlier in above:
        if earlier.file:
            of_the_reader(earlier)
    assert mistakes(settings_of(block, tmp_path)) == []


def settings_of(block: Block, home: Path) -> Mapping[str, Any]:
    """The tests' settings changed by ``block``."""
    names = ("INSTALLED_APPS", "MIDDLEWARE", "DATABASES", "STORAGES", "Q_CLUSTER")
    given: dict[str, Any] = {name: copy.deepcopy(getattr(project, name)) for name in names}
    around: dict[str, Any] = {**given, "BASE_DIR": home, "BUCKET": BUCKET, "ASYNC_EXCHANGE": {}, "__name__": "page"}
    (home / "results").mkdir()
    besides = [words for name, words in IN_WORDS.items() if f'"{name}"' in block.text]
    text = "\n".join([*besides, block.text]).replace("/var/lib/myproject/results", str(home / "results"))
    run(dataclasses.replace(block, text=text), around)
    around["STORAGES"] = {**project.STORAGES, **around["STORAGES"]}
    changed = {name: value for name, value in around.items() if name.isupper()}
    changed["INSTALLED_APPS"] = list(dict.fromkeys(changed["INSTALLED_APPS"]))  # the tests have what a page adds
    changed.pop("DATABASES")  # a running process cannot change them
    return changed


def mistakes(changed: Mapping[str, Any]) -> list[str]:
    """The errors of ``check`` for these settings, in a project with the URLs of its mounts."""
    with override_settings(**changed):
        routes = [route for mount in conf.mounts for route in urls.routes(mount)]
        urlconf = types.ModuleType("page_urls")
        urlconf.urlpatterns = [  # type: ignore[attr-defined]
            path("api/remap/1.2/report/stock", services.ran, name="report-stock"),
            path("reports/stock", services.ran),
            path("", include((routes, urls.app_name))),
        ]
        with override_settings(ROOT_URLCONF=urlconf):
            said = checks.run_checks()
    return [f"{message.id} {message.msg}" for message in said if message.level >= checks.ERROR]


@pytest.mark.django_db
def test_mistake_in_settings_of_a_page_is_detected():
    assert mistakes({"ASYNC_EXCHANGE": {"DIALECT": {}}})


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


def test_documented_extras_exist():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"django-asyncexchange\[(\w+)\]", text)) <= extras().keys()


def test_extra_celery_has_what_its_documented_broker_needs():
    assert 'CELERY_BROKER_URL = "redis://' in (ROOT / "docs" / "howto" / "executors.rst").read_text(encoding="utf-8")
    assert any("redis" in need for need in extras()["celery"])


def test_ci_checks_the_packages():
    assert re.search(r"run-parallel .*\bpackages\b", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))


# The README on PyPI ---------------------------------------------------------------------------------------------------


def readme_targets() -> list[str]:
    tree = publish_doctree((ROOT / "README.rst").read_text(encoding="utf-8"), settings_overrides=QUIET)
    links = [node["refuri"] for node in tree.findall(nodes.reference) if "refuri" in node]
    return sorted({*links, *(node["uri"] for node in tree.findall(nodes.image))})


@pytest.mark.parametrize("target", readme_targets())
def test_link_of_the_readme_is_absolute(target):
    assert target.startswith("https://")


@pytest.mark.parametrize("target", [target for target in readme_targets() if "/main/" in target])
def test_link_of_the_readme_leads_to_a_file_of_the_tree(target):
    assert (ROOT / target.partition("/main/")[2]).is_file()


def test_readme_is_plain_restructured_text():
    with open(ROOT / "README.rst", encoding="utf-8") as file:
        publish_doctree(file.read(), settings_overrides={**QUIET, "halt_level": 2})
