"""Solitude's buyer, immediately and deferred."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from .conftest import Site

BUYERS = "/generic/buyer/"


def a_buyer(**changes: Any) -> dict[str, Any]:
    return {"uuid": f"some:{uuid.uuid4()}", **changes}


@pytest.mark.seed("S004-1")
def test_buyer_has_the_documented_fields(site: Site) -> None:
    body = a_buyer()
    answer = site.call("POST", BUYERS, json=body)
    pk = answer.json()["resource_pk"]
    assert answer.status_code == 201
    assert answer.json() == {
        "paypal": None,
        "pin": False,
        "resource_pk": pk,
        "resource_uri": f"{BUYERS}{pk}/",
        "uuid": body["uuid"],
    }
    assert list(answer.json()) == ["paypal", "pin", "resource_pk", "resource_uri", "uuid"]


def test_buyer_is_changed(site: Site) -> None:
    created = site.call("POST", BUYERS, json=a_buyer()).json()
    assert site.call("PATCH", created["resource_uri"], json={"pin": True}).json() == created | {"pin": True}
    assert site.call("PUT", created["resource_uri"], json={"uuid": created["uuid"], "pin": False}).json() == created
    assert site.get(created["resource_uri"]).json() == created


@pytest.mark.parametrize("body", [{}, {"pin": True}, {"uuid": None}, {"uuid": ""}, {"uuid": "x" * 256}])
def test_buyer_requires_a_uuid(site: Site, body: dict[str, Any]) -> None:
    answer = site.call("POST", BUYERS, json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"uuid"}


def test_uuid_is_unique(site: Site) -> None:
    body = a_buyer()
    assert [site.call("POST", BUYERS, json=body).status_code for _ in range(2)] == [201, 400]


def test_wrong_token_is_401_and_unknown_buyer_is_404(site: Site) -> None:
    assert site.get(BUYERS, "wrong").status_code == 401
    assert site.get(f"{BUYERS}123456789/").status_code == 404
    assert site.get(f"{BUYERS}no-number/").status_code == 404


@pytest.mark.seed("S004-3", "S004-6", "S004-7", "S004-9", "S004-10", "S004-16", "S004-17", "S004-18", "S004-20")
@pytest.mark.parametrize("value", ["yes", "no"])
def test_buyer_is_created_deferred(worked: Site, value: str) -> None:
    body = a_buyer()
    accepted = worked.call("POST", BUYERS, json=body, headers={"Solitude-Async": value})
    assert accepted.status_code == 202
    assert accepted.json().keys() == {"replay", "result"}
    replayed = worked.until(
        lambda: worked.get(accepted.json()["replay"]), lambda answer: answer.headers["Solitude-Async"] == "yes"
    )
    assert (replayed.status_code, replayed.json()["uuid"]) == (201, body["uuid"])
    assert worked.get(accepted.json()["result"]).json()["content"] == replayed.text
    assert worked.get(replayed.json()["resource_uri"]).json() == replayed.json()


def test_invalid_buyer_is_400_in_the_result(worked: Site) -> None:
    accepted = worked.call("POST", BUYERS, json={}, headers={"Solitude-Async": "yes"})
    result = worked.until(lambda: worked.get(accepted.json()["result"]), lambda answer: answer.status_code == 200)
    assert result.json()["status_code"] == 400
