"""Cisco PCCE: create, update and delete a call type; the status URL turns into the response."""

from __future__ import annotations

from typing import Any

from .client import PrintingClient, check, heading

CALL_TYPES = "/unifiedconfig/config/calltype"
THRESHOLD = "serviceLevelThreshold"


def run(base: str) -> None:
    heading("Cisco PCCE: create, update, delete with async=true")
    client = PrintingClient(base, "token-anna")
    created = submit(client, "POST", CALL_TYPES, json={"name": "Sales", THRESHOLD: 20})
    check("created: 201 with the URL of the new item", created.status_code == 201)
    item = created.headers["Location"]
    updated = submit(client, "PUT", item, json={"name": "Sales", THRESHOLD: 30})
    threshold = client.send_silently("GET", item).json()[THRESHOLD]
    check("updated: 200", updated.status_code == 200 and threshold == 30)
    deleted = submit(client, "DELETE", item)
    gone = client.send_silently("GET", item).status_code == 404
    check("deleted: 200", deleted.status_code == 200 and gone)
    refused = client.send("POST", f"{CALL_TYPES}?async=true", json={"name": "Sales", THRESHOLD: -1})
    [error] = refused.json()["apiError"]
    check("invalid input is refused at once", (refused.status_code, error["errorData"]) == (400, THRESHOLD))


def submit(client: PrintingClient, method: str, path: str, **options: Any) -> Any:
    """Submit a call and poll it until the status is no longer 202."""
    accepted = client.send(method, f"{path}?async=true", **options)
    check("202, IN_QUEUE", accepted.status_code == 202 and accepted.json() == {"progress": "IN_QUEUE"})
    status = accepted.headers["Location"]
    client.wait(status, "waiting for the call", 1, lambda response: response.status_code != 202)
    return client.send("GET", status)
