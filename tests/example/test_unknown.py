"""Unknown URLs, and whatever else has to be the same with ``DEBUG`` on and off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Project

ASK = """
import json
from django_asyncexchange.protocol.address_rules import check
from django_asyncexchange.conf import conf
from rest_framework.test import APIClient
client = APIClient(raise_request_exception=False)
found = {}
for method, path, accept in %r:
    answer = client.generic(method, path, headers={"Accept": accept})
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    found[f"{method} {path} {accept}"] = [answer.status_code, kind, answer.content.decode()]
check("http://127.0.0.1:49152/hook", conf.rules(conf.dialect("prefer").policy))
print(json.dumps(found))
"""
JSON = "application/json"
REMAP = '"code": 1002'
CASES = [
    ("GET", "/api/remap/1.2/entity/unicorn", "*/*", REMAP),
    ("POST", "/api/remap/1.2/unicorn", JSON, REMAP),
    ("GET", "/api/remap/1.2/report/unicorn?async=true", JSON, "1002"),
    (
        "GET",
        "/kladana/api/remap/1.2/unicorn",
        "text/html",
        '"error": "Unknown address: /kladana/api/remap/1.2/unicorn"',
    ),
    ("GET", "/api/v2/unicorns.json", JSON, '{"detail":"Not found."}'),
    ("POST", "/api/v2/unicorns.json", "text/html", '{"detail":"Not found."}'),
    ("GET", "/async_api/v2/unicorns.json", JSON, ""),
    ("POST", "/async_api/v2/unicorns.json", JSON, ""),
    ("GET", "/unifiedconfig/config/unicorn", "*/*", '"errorType":"invalidInput.notFound"'),
    ("GET", "/unifiedconfig/config/unicorn", "application/xml", "<apiErrors><apiError>"),
    ("POST", "/unifiedconfig/config/unicorn?async=true", JSON, "invalidInput.notFound"),
    ("GET", "/generic/unicorn/", JSON, '{"detail":"Not found."}'),
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project without a database: these requests need none."""
    return Project(tmp_path_factory.mktemp("unknown"))


@pytest.fixture(scope="module", params=["0", "1"], ids=["debug-off", "debug-on"])
def answers(request: pytest.FixtureRequest, empty: Project) -> Any:
    code = ASK % [case[:3] for case in CASES]
    return json.loads(empty.manage("shell", "-v0", "-c", code, DEBUG=request.param, ALLOWED_HOSTS="testserver"))


@pytest.mark.parametrize(("method", "path", "accept", "words"), CASES)
def test_unknown_url_is_404_in_the_format_of_its_api(
    answers: Any, method: str, path: str, accept: str, words: str
) -> None:
    status, kind, text = answers[f"{method} {path} {accept}"]
    assert (status, kind in (JSON, "application/problem+json", "application/xml")) == (404, True), text
    assert words in text


def test_receivers_on_localhost_are_allowed(answers: Any) -> None:
    assert answers  # the check raised nothing, with DEBUG on and off


def test_other_unknown_urls_are_django_404s(empty: Project) -> None:
    code = (
        "from rest_framework.test import APIClient; "
        "answer = APIClient().get('/unicorn'); print(answer.status_code, answer.headers['Content-Type'])"
    )
    assert empty.manage("shell", "-v0", "-c", code, ALLOWED_HOSTS="testserver").split()[:2] == ["404", "text/html;"]
