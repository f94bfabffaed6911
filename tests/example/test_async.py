"""The documentation's asynchronous journeys, on the example project, through a real server and real workers."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Site
from .test_reports import ELIGIBLE, EN, RU, STOCK


def asynchronous(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}async=true"


def report(worked: Site, task: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = worked.get(task["resultUrl"]).json()
    return document


@pytest.mark.seed("S001-1", "S001-2", "S001-9", "S001-37", "S001-38", "S001-39", "S001-40", "S002-1")
@pytest.mark.parametrize("mount", [RU, EN])
def test_stock_by_store_is_complete(worked: Site, mount: str) -> None:
    found = report(worked, worked.finished(asynchronous(mount + STOCK)))
    pages = [worked.get(f"{mount}{STOCK}?offset={offset}").json() for offset in (0, 1000, 2000)]
    assert found == {
        "context": pages[0]["context"],
        "meta": {
            "href": f"{worked.address}{mount}{STOCK}?async=true",
            "type": "stockbystore",
            "mediaType": "application/json",
            "size": 2135,
        },
        "rows": [row for page in pages for row in page["rows"]],
    }


@pytest.mark.seed("S002-3")
@pytest.mark.parametrize("path", ELIGIBLE)
def test_every_listed_request_is_deferred(worked: Site, path: str) -> None:
    task = worked.finished(asynchronous(RU + path))
    assert task["state"] == "DONE"
    found = report(worked, task)
    at_once = worked.get(f"{RU}{path}").json()
    assert found["meta"]["href"] == worked.address + asynchronous(RU + path)
    assert found.get("series") == at_once.get("series")
    assert len(found.get("rows", ())) == at_once["meta"].get("size", 0)


@pytest.mark.seed("S001-3", "S002-2", "S002-4")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/entity/product"),
        ("GET", "/entity/store"),
        ("GET", "/context/employee"),
        ("GET", "/entity/assortment/c02e3a5c-007e-11e6-9464-e4de00000006"),
        ("GET", "/report/counterparty/selected"),
        ("POST", "/report/counterparty/selected"),
    ],
)
def test_other_requests_are_not_deferred(site: Site, method: str, path: str) -> None:
    answer = site.call(method, asynchronous(RU + path))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (412, 61000)


@pytest.mark.seed("S001-44", "S001-45", "S002-52")
@pytest.mark.parametrize("mount", [RU, EN])
def test_missing_permission_is_in_the_result(worked: Site, mount: str) -> None:
    path = f"{mount}/report/profit/byproduct"
    task = worked.finished(asynchronous(path), "token-ivan")
    at_once = worked.get(path, "token-ivan")
    later = worked.get(f"{task['meta']['href']}/result", "token-ivan")
    assert task["state"] == "API_ERROR"
    assert task["errors"] == at_once.json()["errors"]
    assert (later.status_code, later.json()) == (403, at_once.json())


@pytest.mark.seed("S002-34", "S002-45", "S002-46")
def test_missing_parameter_is_in_the_status(worked: Site) -> None:
    path = f"{EN}/report/sales/plotseries?momentFrom=2018-09-06&interval=hour&async=true"
    task = worked.finished(path)
    assert task["state"] == "API_ERROR"
    assert task["request"] == worked.address + path
    assert [error["code"] for error in task["errors"]] == [39000]


@pytest.mark.seed("S002-22", "S002-37", "S002-38")
def test_tasks_of_users_and_applications_are_listed_together(worked: Site) -> None:
    for token in ("token-ivan", "token-app1"):
        worked.finished(asynchronous(f"{EN}/report/dashboard/day"), token)
    rows = worked.get(f"{EN}/async/").json()["rows"]
    owners = {row["owner"]["meta"]["type"]: row["owner"]["meta"] for row in rows}
    assert owners.keys() == {"employee", "application"}
    assert "uuidHref" not in owners["application"]
    assert {worked.get(owner["href"]).status_code for owner in owners.values()} == {200}


def test_task_is_hidden_from_other_accounts(worked: Site) -> None:
    task = worked.finished(asynchronous(f"{RU}/report/dashboard/day"))
    assert worked.get(task["meta"]["href"], "token-otto").status_code == 404
