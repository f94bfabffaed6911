"""Target@Mail.Ru: the whole API under a second prefix."""

from __future__ import annotations

from .client import PrintingClient, check, heading

ASYNC_URL = "/async_api/v2/campaigns.json"


def run(base: str) -> None:
    heading("Target@Mail.Ru: /async_api/ in place of /api/")
    client = PrintingClient(base, "token-anna")
    accepted = client.send("POST", ASYNC_URL, json={"name": "Snow shovels", "package": 96})
    check("202, enqueued", accepted.status_code == 202 and accepted.json()["status"] == "enqueued")
    status = accepted.headers["Location"]
    client.wait(status, "waiting for the call", 1, lambda response: response.status_code == 303)
    done = client.send("GET", status)
    check("done: 303 to the response", done.headers["Location"] == done.json()["response_url"])
    response = client.send("GET", done.headers["Location"])
    synchronous = client.send_silently("GET", f"/api/v2/campaigns/{response.json()['id']}.json")
    check("the campaign exists", response.json() == synchronous.json())
    limit = "X-RateLimit-Limit"
    check("the headers of the response are kept", response.headers[limit] == synchronous.headers[limit])
    refused = client.send("POST", ASYNC_URL, json={"name": "A campaign without a package"}).headers["Location"]
    client.wait(refused, "waiting for the call", 1, lambda response: response.status_code == 303)
    over = client.send("GET", refused).json()
    check("an invalid call is done, too: 400", (over["status"], over["response_http_code"]) == ("done", 400))
    check("with its errors", client.send("GET", over["response_url"]).json().keys() == {"package"})
