"""The default dialect: ``Prefer: respond-async`` (RFC 7240) on any view that allows it."""

from __future__ import annotations

from .client import PrintingClient, check, heading

REPORT = "/api/remap/1.2/report/dashboard/day"
ASYNC = {"Prefer": "respond-async"}


def run(base: str, *, delay: float) -> None:
    heading("Prefer: respond-async on any view")
    client = PrintingClient(base, "token-otto")
    accepted = client.send("GET", REPORT, headers=ASYNC)
    check("202 with a URL to poll", accepted.status_code == 202 and "Location" in accepted.headers)
    task = accepted.headers["Location"]
    client.wait(task, "the report is being built", delay, lambda response: response.status_code == 303)
    result = client.send("GET", client.send("GET", task).headers["Location"])
    check("303 to the response", (result.status_code, result.headers["AsyncResult"]) == (200, "200"))
    waited = client.send("GET", REPORT, headers={"Prefer": f"respond-async, wait={delay + 10:.0f}"})
    check("with wait=N the response itself", waited.status_code == 200 and waited.json() == result.json())
    unwanted = client.send("GET", REPORT, headers=ASYNC).headers["Location"]
    check("DELETE cancels", client.send("DELETE", unwanted).status_code == 204)
    check("and there is no response", client.send("GET", f"{unwanted}/result").status_code == 410)
    headers = ASYNC | {"Idempotency-Key": "one-campaign-only"}
    first, second = (
        client.send("POST", "/api/v2/campaigns.json", json={"name": "Once", "package": 96}, headers=headers)
        for _attempt in range(2)
    )
    check("the same Idempotency-Key: the same task", first.headers["Location"] == second.headers["Location"])
    task = first.headers["Location"]
    client.wait(task, "waiting for the call", 1, lambda response: response.status_code == 303)
    check("and only one campaign", client.send_silently("GET", "/api/v2/campaigns.json").json()["count"] == 1)
