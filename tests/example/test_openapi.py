"""The OpenAPI document of the example project, its viewer, and the input that the document does not allow."""

from __future__ import annotations

import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from ..screens import chromium
from .conftest import Project, Site
from .test_buyers import BUYERS, a_buyer
from .test_calltypes import CALL_TYPES, a_call_type
from .test_campaigns import CAMPAIGNS, a_campaign

STORES = "/api/remap/1.2/entity/store"
CALLER = "token-app1"
"""Campaigns are throttled by user. No other test makes many calls with this token."""


def test_document_is_generated_without_warnings_and_is_valid(project: Project) -> None:
    project.manage("spectacular", "--fail-on-warn", "--validate", "--file", str(project.home / "openapi.yaml"))


def test_document_needs_no_token(site: Site) -> None:
    answer = site.get("/openapi.json", None)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/vnd.oai.openapi+json")
    assert answer.json()["openapi"].startswith("3.1")
    assert {tag["name"] for tag in answer.json()["tags"]} >= {"moysklad", "kladana", "solitude", "mailru", "cisco"}


def test_viewer_loads_nothing_from_other_sites(site: Site) -> None:
    page = site.get("/docs/", None)
    assert page.status_code == 200
    assert '"/openapi.json"' in page.text
    sources = re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", page.text)
    assert sources and all(source.startswith("/static/") for source in sources)
    assert all(site.get(source, None).status_code == 200 for source in sources)


def test_change_of_a_campaign_requires_no_field(site: Site) -> None:
    document = site.get("/openapi.json", None).json()
    body = document["paths"]["/api/v2/campaigns/{id}.json"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert "required" not in document["components"]["schemas"][name]


@pytest.mark.slow
def test_viewer_shows_every_operation_in_a_browser(site: Site, tmp_path: Path) -> None:
    document = site.get("/openapi.json", None).json()
    settled = ["--virtual-time-budget=60000", "--dump-dom", f"{site.address}/docs/"]
    done = subprocess.run([*chromium(tmp_path), *settled], capture_output=True, text=True, timeout=120)
    shown = set(re.findall(r'class="opblock-summary-path" data-path="([^"]+)"', done.stdout))
    assert document["paths"].keys() | document["webhooks"].keys() == shown


def test_front_page_links_to_the_viewer(site: Site) -> None:
    assert 'href="/docs/"' in site.get("/", None).text


@pytest.mark.parametrize("path", [BUYERS, CAMPAIGNS, STORES])
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=", "limit=ten", "offset=-1", "offset=1.5", f"offset={2**31}"]
)
def test_page_that_is_no_number_is_refused(site: Site, path: str, query: str) -> None:
    name = query.partition("=")[0]
    answer = site.get(f"{path}?{query}", CALLER)
    assert answer.status_code == 400
    assert name in answer.json() or name in answer.json()["errors"][0]["error"]


def test_last_page_is_empty(site: Site) -> None:
    answer = site.get(f"{STORES}?limit={2**31 - 1}&offset={2**31 - 1}")
    assert (answer.status_code, answer.json()["rows"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (BUYERS, {"uuid": 1}, "uuid"),
        (BUYERS, {"uuid": "strict", "pin": 1}, "pin"),
        (BUYERS, {"uuid": "strict", "pin": "true"}, "pin"),
        (CAMPAIGNS, a_campaign(name=1), "name"),
        (CAMPAIGNS, a_campaign(package="96"), "package"),
        (CAMPAIGNS, a_campaign(package=True), "package"),
        (CAMPAIGNS, a_campaign(package={"id": "18"}), "package"),
        (CAMPAIGNS, a_campaign(package=2**31), "package"),
    ],
)
def test_json_has_to_be_of_the_documented_type(site: Site, path: str, body: dict[str, Any], field: str) -> None:
    answer = site.call("POST", path, CALLER, json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {field}


@pytest.mark.parametrize("changes", [{"description": 1}, {"serviceLevelThreshold": "20"}, {"name": " Sales "}])
def test_call_type_has_to_be_of_the_documented_type(site: Site, changes: dict[str, Any]) -> None:
    answer = site.call("POST", CALL_TYPES, json=a_call_type() | changes)
    assert answer.status_code == 400
    assert [error["errorData"] for error in answer.json()["apiError"]] == list(changes)


@pytest.mark.parametrize(("text", "pin"), [("true", True), ("false", False)])
def test_form_says_true_and_false(site: Site, text: str, pin: bool) -> None:
    answer = site.call("POST", BUYERS, data={"uuid": str(uuid.uuid4()), "pin": text})
    assert (answer.status_code, answer.json()["pin"]) == (201, pin)


def test_spaces_around_a_uuid_are_kept(site: Site) -> None:
    body = a_buyer()
    created = site.call("POST", BUYERS, json=body | {"uuid": f" {body['uuid']} "})
    assert created.json()["uuid"] == f" {body['uuid']} "


@pytest.mark.parametrize("kind", ["application", "counterparty", "employee", "product", "store"])
def test_every_metadata_link_has_a_target(site: Site, kind: str) -> None:
    path = f"/api/remap/1.2/entity/{kind}/metadata"
    assert site.get(path).json() == {
        "meta": {"href": site.address + path, "mediaType": "application/json"},
        "attributes": [],
    }
