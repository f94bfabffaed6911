"""Webhooks of the example project: who manages them, and that they are delivered."""

from __future__ import annotations

import json

import pytest

from ..receivers import receiving
from .conftest import Site

ENTITY = "/api/remap/1.2/entity/webhook"


@pytest.mark.parametrize(("token", "status"), [("token-anna", 200), ("token-ivan", 403)])
def test_administrator_manages_webhooks_and_an_employee_does_not(site: Site, token: str, status: int) -> None:
    wanted = {"url": "https://example.com/done", "action": "PROCESSED", "entityType": "async"}
    answer = site.call("POST", ENTITY, token, json=wanted)
    assert answer.status_code == status
    if status == 200:
        assert site.call("DELETE", f"{ENTITY}/{answer.json()['id']}", token).status_code == 200


def events(receiver):
    """The received events; some may be of calls that were made before."""
    return [event for message in receiver.seen for event in json.loads(message.body)["events"]]


def test_end_of_a_report_is_delivered_to_the_accounts_receiver(worked: Site) -> None:
    with receiving() as receiver:
        wanted = {"url": receiver.url(), "action": "PROCESSED", "entityType": "async"}
        kept = worked.call("POST", ENTITY, json=wanted).json()
        accepted = worked.get("/api/remap/1.2/report/dashboard/day?async=true")
        address = accepted.headers["Content-Location"]
        [event] = worked.until(lambda: [each for each in events(receiver) if each["meta"]["href"] == address], bool)
        worked.call("DELETE", f"{ENTITY}/{kept['id']}")
    assert event["action"] == "PROCESSED"
