"""Cisco's call types (seed 003): a create, an update and a delete, and the address that turns into their answer."""

from __future__ import annotations

from typing import Any

from .telling import Teller, expect, title

CALL_TYPES = "/unifiedconfig/config/calltype"
THRESHOLD = "serviceLevelThreshold"


def play(base: str) -> None:
    title("Cisco PCCE: create, update, delete with async=true")
    client = Teller(base, "token-anna")
    created = later(client, "POST", CALL_TYPES, json={"name": "Sales", THRESHOLD: 20})
    expect("created: 201 with the address of the new item", created.status_code == 201)
    item = created.headers["Location"]
    updated = later(client, "PUT", item, json={"name": "Sales", THRESHOLD: 30})
    threshold = client.quietly("GET", item).json()[THRESHOLD]
    expect("updated: 200", updated.status_code == 200 and threshold == 30)
    deleted = later(client, "DELETE", item)
    gone = client.quietly("GET", item).status_code == 404
    expect("deleted: 200", deleted.status_code == 200 and gone)
    refused = client.ask("POST", f"{CALL_TYPES}?async=true", json={"name": "Sales", THRESHOLD: -1})
    [error] = refused.json()["apiError"]
    expect("what is not valid is refused at once", (refused.status_code, error["errorData"]) == (400, THRESHOLD))


def later(client: Teller, method: str, path: str, **options: Any) -> Any:
    """Submit the call, and poll it until it is no longer a 202."""
    accepted = client.ask(method, f"{path}?async=true", **options)
    expect("202, in the queue", accepted.status_code == 202 and accepted.json() == {"progress": "IN_QUEUE"})
    status = accepted.headers["Location"]
    client.wait(status, "waiting for its end", 1, lambda answer: answer.status_code != 202)
    return client.ask("GET", status)
