"""Solitude: the header, the two polling URLs, and the replayed response."""

from __future__ import annotations

from .client import PrintingClient, check, heading

ASYNC = {"Solitude-Async": "yes"}


def run(base: str) -> None:
    heading("Solitude: any POST, PUT or PATCH with one more header")
    client = PrintingClient(base, "token-anna")
    synchronous = client.send("POST", "/generic/buyer/", json={"uuid": "sync:uid"})
    accepted = client.send("POST", "/generic/buyer/", json={"uuid": "some:uid"}, headers=ASYNC)
    urls = accepted.json()
    check("202 with two polling URLs", accepted.status_code == 202 and urls.keys() == {"replay", "result"})
    client.wait(urls["result"], "waiting for the call", 1, lambda response: response.status_code == 200)
    result = client.send("GET", urls["result"])
    check("run, with the real status", result.json()["run"] and result.json()["status_code"] == 201)
    replay = client.send("GET", urls["replay"])
    check("the replay is the real response", replay.headers["Solitude-Async"] == "yes" and replay.status_code == 201)
    check("with the same keys as the synchronous response", replay.json().keys() == synchronous.json().keys())
    wrong = client.send_silently("POST", "/generic/buyer/", json={}, headers=ASYNC).json()["replay"]
    client.wait(wrong, "a buyer without uuid", 1, lambda response: response.headers["Solitude-Async"] == "yes")
    check("a real 400 is replayed as 400", client.send("GET", wrong).status_code == 400)
