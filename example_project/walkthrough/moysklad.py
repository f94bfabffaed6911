"""MoySklad and Kladana: a report, the list of tasks, errors and cancellation."""

from __future__ import annotations

from typing import Any

from .client import PrintingClient, check, console, heading

REPORT = "/report/stock/bystore"


def run(base: str, *, mount: str, name: str, delay: float) -> None:
    client = PrintingClient(base, "token-anna")
    heading(f"{name}: a stock report of every product, without paging")
    rows = paged(client, mount)
    submitted = client.send("GET", f"{mount}{REPORT}?async=true")
    check("202 at once, with the URLs of status and result in its headers", submitted.status_code == 202)
    status_url, result_url = submitted.headers["Content-Location"], submitted.headers["Location"]
    early = client.send("GET", result_url)
    check("the result is not ready: 61006", early.status_code == 412 and code(early) == 61006)
    client.send("GET", status_url)
    client.wait(status_url, "the report is being built", delay, lambda response: response.json()["state"] == "DONE")
    client.send("GET", status_url)
    listed = client.send("GET", f"{mount}/async?filter=state=done&deletionDate>2021-02-16 16:21:09")
    check("it is in the list of tasks", listed.json()["meta"]["size"] >= 1)
    redirect = client.send("GET", result_url)
    check("302 to a signed link, valid for five minutes", redirect.status_code == 302)
    report = PrintingClient(base, "").send_silently("GET", redirect.headers["Location"]).json()
    check(
        f"the report has {len(report['rows']):,} rows, without limit and offset",
        not {"limit", "offset"} & report["meta"].keys() and report["meta"]["size"] == len(report["rows"]),
    )
    check("its rows equal those of the pages of the synchronous call", report["rows"] == rows)


def run_errors(base: str, *, mount: str) -> None:
    heading("A report that fails, one that is cancelled, and calls that are refused")
    client = PrintingClient(base, "token-ivan")
    failed = client.send("GET", f"{mount}/report/sales/plotseries?momentFrom=2018-09-06&interval=hour&async=true")
    status = failed.headers["Content-Location"]
    over = client.wait(status, "waiting for the call", 1, lambda response: response.json()["state"] == "API_ERROR")
    client.print_response(over)
    check("the same error as the synchronous call: 39000", over.json()["errors"][0]["code"] == 39000)
    slow = client.send("GET", f"{mount}{REPORT}?async=true").headers["Content-Location"]
    cancelled = client.send("PUT", f"{slow}/cancel")
    state = client.send("GET", slow).json()["state"]
    check("cancelled with 204", cancelled.status_code == 204 and state == "CANCEL")
    refused = client.send("GET", f"{mount}{REPORT}?async=true&limit=100")
    check("limit and offset are refused: 61001", code(refused) == 61001)
    ineligible = client.send("GET", f"{mount}/entity/product?async=true")
    check("this URL cannot be called asynchronously: 61000", code(ineligible) == 61000)


def paged(client: PrintingClient, mount: str) -> list[Any]:
    """All rows of the report, page by page, as a synchronous client has to read them."""
    rows: list[Any] = []
    while True:
        page = client.send_silently("GET", f"{mount}{REPORT}?offset={len(rows)}").json()
        rows += page["rows"]
        console.print(f"  synchronously: {len(rows):,} of {page['meta']['size']:,} rows")
        if len(rows) >= page["meta"]["size"]:
            return rows


def code(response: Any) -> int:
    number: int = response.json()["errors"][0]["code"]
    return number
