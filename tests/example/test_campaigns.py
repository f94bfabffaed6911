"""Target@Mail.Ru's campaigns, immediately and deferred."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from .conftest import Project, Site
from .idle import idle_copy

CAMPAIGNS = "/api/v2/campaigns.json"
LATER = "/async_api/v2/campaigns.json"
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
OF_THE_CONNECTION = ("Date", "Server", "Connection")


def a_campaign(**changes: Any) -> dict[str, Any]:
    return {"name": "Snow shovels", "package": 96, **changes}


def submit(site: Site, body: Any, token: str = "token-anna") -> requests.Response:
    """The first request of the documentation."""
    return site.call("POST", LATER, token, json=body, headers={"X-Callback-Location": "http://client.example/callback"})


def finished(site: Site, accepted: requests.Response, token: str = "token-anna") -> requests.Response:
    """The final status of an accepted call."""
    return site.until(
        lambda: site.get(accepted.headers["Location"], token, allow_redirects=False),
        lambda answer: answer.status_code != 200 or answer.json()["status"] not in ("enqueued", "started"),
    )


def visible(answer: requests.Response) -> dict[str, str]:
    """The headers that are not the connection's own."""
    return {name: text for name, text in answer.headers.items() if name not in OF_THE_CONNECTION}


def test_campaign_is_created_read_and_changed(site: Site) -> None:
    created = site.call("POST", CAMPAIGNS, "token-ivan", json=a_campaign())
    assert created.status_code == 200
    assert created.json() == a_campaign(id=created.json()["id"], status="active")
    address = f"/api/v2/campaigns/{created.json()['id']}.json"
    changed = site.call("POST", address, "token-ivan", json={"status": "blocked"})
    assert changed.json() == created.json() | {"status": "blocked"}
    assert site.get(address, "token-ivan").json() == changed.json()
    assert changed.json() in site.get(CAMPAIGNS, "token-ivan", params={"limit": 250}).json()["items"]
    assert site.get(address, "token-app1").status_code == 404


def test_package_may_be_written_as_the_vendor_does(site: Site) -> None:
    created = site.call("POST", CAMPAIGNS, "token-ivan", json=a_campaign(package={"id": 18}))
    assert (created.status_code, created.json()["package"]) == (200, 18)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (a_campaign(package={}), {"package"}),
        (a_campaign(package={"id": {"id": 18}}), {"package"}),
        (a_campaign(package={"id": -18}), {"package"}),
        ({"name": "Snow shovels"}, {"package"}),
        (a_campaign(package="many"), {"package"}),
        (a_campaign(package=-1), {"package"}),
        ({}, {"name", "package"}),
        ([], {"non_field_errors"}),
        (a_campaign(status="lost"), {"status"}),
    ],
)
def test_each_invalid_field_has_one_text(site: Site, body: Any, fields: set[str]) -> None:
    answer = site.call("POST", CAMPAIGNS, json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == fields
    assert all(isinstance(text, str) for text in answer.json().values())


def test_wrong_token_is_401_immediately(site: Site) -> None:
    for path in (CAMPAIGNS, LATER):
        answer = site.call("POST", path, "wrong", json=a_campaign())
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json().keys() == {"detail"}


@pytest.mark.seed("S000-7", "S000-8", "S000-14", "S000-15", "S000-16", "S000-17", "S000-18", "S000-19", "S000-22")
@pytest.mark.seed("S000-23", "S000-24", "S000-25", "S000-26", "S000-27", "S000-33")
def test_campaign_is_created_deferred(worked: Site) -> None:
    accepted = submit(worked, a_campaign())
    assert (accepted.status_code, accepted.reason) == (202, "Accepted")
    [id] = re.fullmatch(r"/async_api/v2/requests/([^/]+)\.json", accepted.headers["Location"]).groups()
    done = finished(worked, accepted)
    assert (done.status_code, done.reason) == (303, "See Other")
    assert done.headers["Content-Type"] == "application/json"
    assert done.headers["Location"] == f"/async_api/v2/responses/{id}.json"
    record = done.json()
    assert re.fullmatch(DATE, record.pop("created"))
    assert re.fullmatch(DATE, record.pop("started"))
    assert isinstance(record.pop("exec_time"), int)
    assert record == {
        "id": id,
        "status": "done",
        "response_http_code": 200,
        "response_url": done.headers["Location"],
    }


@pytest.mark.seed("S000-3", "S000-18", "S000-20", "S000-21", "S000-31", "S000-33")
def test_status_is_enqueued_until_a_worker_runs_the_call(project: Project, tmp_path: Path, free_port: int) -> None:
    with idle_copy(project, tmp_path, free_port) as (copy, site):
        accepted = submit(site, a_campaign())
        waiting = site.get(accepted.headers["Location"], allow_redirects=False)
        assert (waiting.status_code, waiting.headers["Content-Type"]) == (200, "application/json")
        id, status, created = (waiting.json()[name] for name in ("id", "status", "created"))
        assert (accepted.headers["Location"], status) == (f"/async_api/v2/requests/{id}.json", "enqueued")
        assert re.fullmatch(DATE, created)
        assert site.get(f"/async_api/v2/responses/{id}.json").status_code == 404
        with copy.running("asyncexchange_worker"):
            assert finished(site, accepted).json()["created"] == created


@pytest.mark.seed("S000-2", "S000-29", "S000-30")
def test_result_is_the_original_response_with_its_headers(worked: Site) -> None:
    at_once = worked.call("POST", CAMPAIGNS, json=a_campaign())
    done = finished(worked, submit(worked, a_campaign()))
    later = worked.get(done.json()["response_url"])
    assert later.status_code == at_once.status_code == 200
    assert later.json().pop("id") > at_once.json().pop("id")
    assert later.json() | {"id": 0} == at_once.json() | {"id": 0}
    assert later.headers["X-RateLimit-Limit"] == "20"
    assert visible(at_once).items() - {("Content-Length", at_once.headers["Content-Length"])} <= visible(later).items()
    assert worked.get(f"/api/v2/campaigns/{later.json()['id']}.json").json() == later.json()


@pytest.mark.seed("S000-1", "S000-9")
def test_any_other_call_may_be_deferred_too(worked: Site) -> None:
    done = finished(worked, worked.get(f"{LATER}?limit=1&offset=0"))
    at_once = worked.get(f"{CAMPAIGNS}?limit=1&offset=0")
    later = worked.get(done.json()["response_url"])
    assert (later.status_code, later.content) == (200, at_once.content)
    assert visible(at_once).items() <= visible(later).items()


@pytest.mark.seed("S000-28")
def test_campaign_without_package_is_done_with_400(worked: Site) -> None:
    done = finished(worked, submit(worked, {"name": "Snow shovels"}))
    assert (done.status_code, done.json()["status"], done.json()["response_http_code"]) == (303, "done", 400)
    later = worked.get(done.headers["Location"])
    assert (later.status_code, later.json().keys()) == (400, {"package"})


@pytest.mark.seed("S000-5", "S000-6")
def test_rate_limit_does_not_apply_to_deferred_calls(worked: Site) -> None:
    at_once = {worked.get(CAMPAIGNS, "token-otto").status_code for _ in range(30)}
    accepted = [submit(worked, a_campaign(name=f"Campaign {number}"), "token-otto") for number in range(30)]
    assert at_once == {200, 429}
    assert {answer.status_code for answer in accepted} == {202}
    assert worked.get(CAMPAIGNS, "token-otto").status_code == 429
    codes = [finished(worked, answer, "token-otto").json()["response_http_code"] for answer in accepted]
    assert codes == [200] * 30


def test_respond_async_preference_is_applied_too(worked: Site) -> None:
    accepted = worked.call("POST", CAMPAIGNS, json=a_campaign(), headers={"Prefer": "respond-async"})
    assert (accepted.status_code, accepted.headers["Preference-Applied"]) == (202, "respond-async")
    done = worked.until(
        lambda: worked.get(accepted.headers["Location"], allow_redirects=False),
        lambda answer: answer.status_code != 202,
    )
    later = worked.get(done.headers["Location"])
    assert (done.status_code, later.status_code, later.json()["package"]) == (303, 200, 96)


def test_url_without_a_view_is_404_immediately(site: Site) -> None:
    assert site.get("/async_api/v2/nothing.json").status_code == 404


def test_migrations_are_complete(project: Project) -> None:
    assert "No changes" in project.manage("makemigrations", "--check", "campaigns")
