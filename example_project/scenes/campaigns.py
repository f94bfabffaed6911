"""Target@Mail.Ru's campaigns (seed 000): the whole API a second time, under another prefix."""

from __future__ import annotations

from .telling import Teller, expect, title

LATER = "/async_api/v2/campaigns.json"


def play(base: str) -> None:
    title("Target@Mail.Ru: /async_api/ in place of /api/")
    client = Teller(base, "token-anna")
    accepted = client.ask("POST", LATER, json={"name": "Snow shovels", "package": 96})
    expect("202, and the call is enqueued", accepted.status_code == 202 and accepted.json()["status"] == "enqueued")
    status = accepted.headers["Location"]
    client.wait(status, "waiting for its end", 1, lambda answer: answer.status_code == 303)
    done = client.ask("GET", status)
    expect("done: 303 to the response", done.headers["Location"] == done.json()["response_url"])
    response = client.ask("GET", done.headers["Location"])
    twin = client.quietly("GET", f"/api/v2/campaigns/{response.json()['id']}.json")
    expect("the campaign exists", response.json() == twin.json())
    limit = "X-RateLimit-Limit"
    expect("the headers of the answer have been kept", response.headers[limit] == twin.headers[limit])
    refused = client.ask("POST", LATER, json={"name": "A campaign without a package"}).headers["Location"]
    client.wait(refused, "waiting for its end", 1, lambda answer: answer.status_code == 303)
    over = client.ask("GET", refused).json()
    expect("a refusal is an answer too: done, 400", (over["status"], over["response_http_code"]) == ("done", 400))
    expect("with its reasons", client.ask("GET", over["response_url"]).json().keys() == {"package"})
