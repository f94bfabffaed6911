"""Solitude's buyer (seed 004): the header, the two polling addresses, and the replayed answer."""

from __future__ import annotations

from .telling import Teller, expect, title

ASK = {"Solitude-Async": "yes"}


def play(base: str) -> None:
    title("Solitude: any POST, PUT or PATCH with one header more")
    client = Teller(base, "token-anna")
    twin = client.ask("POST", "/generic/buyer/", json={"uuid": "sync:uid"})
    accepted = client.ask("POST", "/generic/buyer/", json={"uuid": "some:uid"}, headers=ASK)
    urls = accepted.json()
    expect("202 with two polling addresses", accepted.status_code == 202 and urls.keys() == {"replay", "result"})
    client.wait(urls["result"], "waiting for its end", 1, lambda answer: answer.status_code == 200)
    result = client.ask("GET", urls["result"])
    expect("run, with the real status", result.json()["run"] and result.json()["status_code"] == 201)
    replay = client.ask("GET", urls["replay"])
    expect("the replay is the real answer", replay.headers["Solitude-Async"] == "yes" and replay.status_code == 201)
    expect("with the keys of the synchronous twin", replay.json().keys() == twin.json().keys())
    wrong = client.quietly("POST", "/generic/buyer/", json={}, headers=ASK).json()["replay"]
    client.wait(wrong, "a buyer without uuid", 1, lambda answer: answer.headers["Solitude-Async"] == "yes")
    expect("a real 400 is replayed as 400", client.ask("GET", wrong).status_code == 400)
