"""MoySklad's tutorial (seed 001) and Kladana's reference (seed 002), played with their own calls."""

from __future__ import annotations

from typing import Any

from .telling import Teller, console, expect, title

REPORT = "/report/stock/bystore"


def play(base: str, *, mount: str, name: str, delay: float) -> None:
    client = Teller(base, "token-anna")
    title(f"{name}: a stock report of every product, without paging")
    rows = paged(client, mount)
    submitted = client.ask("GET", f"{mount}{REPORT}?async=true")
    expect("202 at once, the result's and the status' address in its headers", submitted.status_code == 202)
    status_url, result_url = submitted.headers["Content-Location"], submitted.headers["Location"]
    early = client.ask("GET", result_url)
    expect("the result is not ready: 61006", early.status_code == 412 and code(early) == 61006)
    client.ask("GET", status_url)
    client.wait(status_url, "the report is being built", delay, lambda answer: answer.json()["state"] == "DONE")
    client.ask("GET", status_url)
    listed = client.ask("GET", f"{mount}/async?filter=state=done&deletionDate>2021-02-16 16:21:09")
    expect("the list finds it", listed.json()["meta"]["size"] >= 1)
    redirect = client.ask("GET", result_url)
    expect("302 to a signed link of five minutes", redirect.status_code == 302)
    report = Teller(base, "").quietly("GET", redirect.headers["Location"]).json()
    expect(
        f"the report has {len(report['rows']):,} rows in one piece, and no limit or offset",
        not {"limit", "offset"} & report["meta"].keys() and report["meta"]["size"] == len(report["rows"]),
    )
    expect("its rows are those of the pages that the synchronous call gives", report["rows"] == rows)


def play_errors(base: str, *, mount: str) -> None:
    title("A report that fails, one that is cancelled, one that is refused")
    client = Teller(base, "token-ivan")
    failed = client.ask("GET", f"{mount}/report/sales/plotseries?momentFrom=2018-09-06&interval=hour&async=true")
    status = failed.headers["Content-Location"]
    over = client.wait(status, "waiting for its end", 1, lambda answer: answer.json()["state"] == "API_ERROR")
    client.tell(over)
    expect("the error of the synchronous call: 39000", over.json()["errors"][0]["code"] == 39000)
    slow = client.ask("GET", f"{mount}{REPORT}?async=true").headers["Content-Location"]
    cancelled = client.ask("PUT", f"{slow}/cancel")
    state = client.ask("GET", slow).json()["state"]
    expect("cancelled with 204", cancelled.status_code == 204 and state == "CANCEL")
    refused = client.ask("GET", f"{mount}{REPORT}?async=true&limit=100")
    expect("limit and offset are refused: 61001", code(refused) == 61001)
    ineligible = client.ask("GET", f"{mount}/entity/product?async=true")
    expect("not every address runs later: 61000", code(ineligible) == 61000)


def paged(client: Teller, mount: str) -> list[Any]:
    """All rows of the report, page by page, as a client without the asynchronous exchange has to."""
    rows: list[Any] = []
    while True:
        page = client.quietly("GET", f"{mount}{REPORT}?offset={len(rows)}").json()
        rows += page["rows"]
        console.print(f"  synchronously: {len(rows):,} of {page['meta']['size']:,} rows")
        if len(rows) >= page["meta"]["size"]:
            return rows


def code(answer: Any) -> int:
    number: int = answer.json()["errors"][0]["code"]
    return number
