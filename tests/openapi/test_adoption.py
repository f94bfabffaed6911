"""The how-to, followed in a project of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from ..pages import ROOT, blocks

HOWTO = ROOT / "docs" / "howto" / "openapi.rst"
SETTINGS = """\
from django_asyncexchange.defaults import q_cluster

SECRET_KEY = "x" * 50
ROOT_URLCONF = "urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_filters",
    "django_q",
    "django_asyncexchange",
]
MIDDLEWARE = [
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_asyncexchange.middleware.AsyncExchangeMiddleware",
]
Q_CLUSTER = q_cluster(name="shop")
"""
VIEWS = """
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from django_asyncexchange.decorators import allow_async


class Stock(serializers.Serializer):
    pieces = serializers.IntegerField()


@allow_async
class Report(GenericAPIView):
    serializer_class = Stock

    def get(self, request):
        return Response({"pieces": 14})


urlpatterns += [path("reports/stock", Report.as_view())]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    [settings, urls] = [block.text for block in blocks(HOWTO) if block.language == "python"]
    (tmp_path / "settings.py").write_text(SETTINGS + settings)
    (tmp_path / "urls.py").write_text(urls + VIEWS)
    return tmp_path


def manage(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    places = os.pathsep.join([str(project), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "django", *words],
        cwd=project,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": places},
        check=True,
        capture_output=True,
        text=True,
    )


def commands() -> list[list[str]]:
    text = [block.text for block in blocks(HOWTO) if block.language == "sh"]
    lines = (line.split() for block in text for line in block.splitlines())
    return [words[2:] for words in lines if words[:2] == ["python", "manage.py"]]


@pytest.mark.slow
def test_project_has_both_documents(project):
    of_spectacular, of_tasks = commands()
    done = manage(project, *of_spectacular, "--fail-on-warn")
    site = yaml.safe_load((project / "openapi.yaml").read_text())
    OpenAPIV31SpecValidator(site).validate()
    assert done.stderr == ""
    assert "202" in site["paths"]["/reports/stock"]["get"]["responses"]
    tasks = json.loads(manage(project, *of_tasks[: of_tasks.index(">")]).stdout)
    OpenAPIV31SpecValidator(tasks).validate()
    assert tasks["paths"].keys() <= site["paths"].keys()
    assert tasks["servers"] == [{"url": "https://example.com"}]
