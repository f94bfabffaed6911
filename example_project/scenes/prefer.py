"""The default dialect: ``Prefer: respond-async`` (RFC 7240) on any view that allows it."""

from __future__ import annotations

from .telling import Teller, expect, title

REPORT = "/api/remap/1.2/report/dashboard/day"
ASYNC = {"Prefer": "respond-async"}


def play(base: str, *, delay: float) -> None:
    title("Prefer: the standard's own way, on any view")
    client = Teller(base, "token-otto")
    accepted = client.ask("GET", REPORT, headers=ASYNC)
    expect("202 with an address to poll", accepted.status_code == 202 and "Location" in accepted.headers)
    task = accepted.headers["Location"]
    client.wait(task, "the report is being built", delay, lambda answer: answer.status_code == 303)
    result = client.ask("GET", client.ask("GET", task).headers["Location"])
    expect("303 to the answer", (result.status_code, result.headers["AsyncResult"]) == (200, "200"))
    waited = client.ask("GET", REPORT, headers={"Prefer": f"respond-async, wait={delay + 10:.0f}"})
    expect("who waits a little gets the answer itself", waited.status_code == 200 and waited.json() == result.json())
    unwanted = client.ask("GET", REPORT, headers=ASYNC).headers["Location"]
    expect("DELETE cancels", client.ask("DELETE", unwanted).status_code == 204)
    expect("and there is no answer", client.ask("GET", f"{unwanted}/result").status_code == 410)
    headers = ASYNC | {"Idempotency-Key": "one-campaign-only"}
    first, second = (
        client.ask("POST", "/api/v2/campaigns.json", json={"name": "Once", "package": 96}, headers=headers)
        for _attempt in range(2)
    )
    expect("the same key again: the same task", first.headers["Location"] == second.headers["Location"])
    task = first.headers["Location"]
    client.wait(task, "waiting for its end", 1, lambda answer: answer.status_code == 303)
    expect("and one campaign", client.quietly("GET", "/api/v2/campaigns.json").json()["count"] == 1)
