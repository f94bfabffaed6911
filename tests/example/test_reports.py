"""The remap API responds immediately as its documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Site

RU = "/api/remap/1.2"
EN = "/kladana/api/remap/1.2"
STOCK = "/report/stock/bystore"

ELIGIBLE = (
    "/report/stock/bystore",
    "/report/stock/all",
    "/report/profit/byproduct",
    "/report/money/plotseries?momentFrom=2018-09-06&momentTo=2018-09-07&interval=hour",
    "/report/sales/plotseries?momentFrom=2018-09-06&momentTo=2018-10-07&interval=day",
    "/report/counterparty",
    "/report/dashboard/day",
    "/entity/counterparty",
    "/entity/assortment",
)
"""The eight kinds of request of the documentation's list; stock comes in two forms."""

FIRST_ROWS = (
    ("c02e3a5c-007e-11e6-9464-e4de00000006", -30, 0),
    ("cc99c055-fa34-11e5-9464-e4de00000069", 0, 4),
)


def expected_row(base: str, names: tuple[str, str], product: str, *stocks: int) -> dict[str, Any]:
    """A row as the documentation shows it."""
    stores = ("86c857d6-0302-11e6-9464-e4de00000072", "850ee995-f504-11e5-8a84-bae500000160")
    return {
        "meta": {
            "href": f"{base}/entity/product/{product}?expand=supplier",
            "metadataHref": f"{base}/entity/product/metadata",
            "type": "product",
            "mediaType": "application/json",
        },
        "stockByStore": [
            {
                "meta": {
                    "href": f"{base}/entity/store/{store}",
                    "metadataHref": f"{base}/entity/store/metadata",
                    "type": "store",
                    "mediaType": "application/json",
                },
                "name": name,
                "stock": stock,
                "reserve": 0,
                "inTransit": 0,
            }
            for store, name, stock in zip(stores, names, stocks, strict=True)
        ],
    }


@pytest.mark.parametrize(
    ("mount", "names"),
    [
        (RU, ("Не основной склад", "Основной склад")),
        (EN, ("Not main warehouse", "Main warehouse")),
    ],
)
def test_stock_by_store_is_the_documented_report(site: Site, mount: str, names: tuple[str, str]) -> None:
    base = site.address + mount
    assert site.get(f"{mount}{STOCK}?limit=2").json() == {
        "context": {
            "employee": {"href": f"{base}/context/employee", "type": "employee", "mediaType": "application/json"}
        },
        "meta": {
            "href": f"{base}{STOCK}?limit=2",
            "type": "stockbystore",
            "mediaType": "application/json",
            "size": 2135,
            "limit": 2,
            "offset": 0,
        },
        "rows": [expected_row(base, names, *row) for row in FIRST_ROWS],
    }


def test_page_has_a_thousand_rows_at_most(site: Site) -> None:
    for query in ("", "?limit=5000"):
        document = site.get(f"{RU}{STOCK}{query}").json()
        assert len(document["rows"]) == document["meta"]["limit"] == 1000


def test_pages_have_no_gaps(site: Site) -> None:
    pages = [site.get(f"{RU}{STOCK}?offset={offset}").json()["rows"] for offset in (0, 1000, 2000)]
    assert len({row["meta"]["href"] for page in pages for row in page}) == 2135


@pytest.mark.parametrize("path", ELIGIBLE)
def test_every_report_has_its_meta(site: Site, path: str) -> None:
    document = site.get(RU + path).json()
    assert document["meta"]["href"] == site.address + RU + path
    assert {"type", "mediaType"} < document["meta"].keys()
    assert document.get("rows") or document.get("series") or document["sales"]["count"]


def hrefs(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from (text for key, text in document.items() if key in ("href", "metadataHref"))
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from hrefs(part)


@pytest.mark.parametrize("mount", [RU, EN])
def test_every_link_resolves(site: Site, mount: str) -> None:
    links = set(hrefs(site.get(f"{mount}{STOCK}?limit=1").json()))
    links |= set(hrefs(site.get(f"{mount}/entity/counterparty?limit=1").json()))
    links |= set(hrefs(site.get(f"{mount}/context/employee", "token-app1").json()))
    assert len(links) > 8
    assert {site.get(link).status_code for link in links} == {200}


def test_accounts_do_not_see_each_other(site: Site) -> None:
    theirs = site.get(f"{RU}/entity/product", "token-otto").json()["rows"]
    assert len(theirs) == 50
    assert site.get(f"{RU}/entity/product/{theirs[0]['id']}").status_code == 404
    assert site.get(f"{RU}/entity/product/{FIRST_ROWS[0][0]}", "token-otto").json()["errors"][0]["code"] == 1021


SERIES = "/report/sales/plotseries?momentFrom=2018-09-06&interval=hour"
PROFIT = "/report/profit/byproduct"
TEXTS = {
    "no momentTo": "Ошибка: не указан обязательный параметр для запроса показателей: momentTo.",
    "no momentTo, en": "Error: a required parameter of the report is missing: momentTo.",
    "no right": "Доступ запрещен: у вас нет прав на просмотр данного объекта",
    "no right, en": "Access Denied: You do not have permission to view this object",
    "no token": "Ошибка аутентификации: требуется верный токен доступа",
    "no date": "Ошибка формата: неправильная дата в параметре momentTo",
    "nothing": "Объект не найден",
    "no GET": "Метод GET не поддерживается",
}


@pytest.mark.parametrize(
    ("path", "token", "status", "code", "text"),
    [
        (f"{RU}{SERIES}", "token-anna", 412, 39000, "no momentTo"),
        (f"{EN}{SERIES}", "token-anna", 412, 39000, "no momentTo, en"),
        (f"{RU}{PROFIT}", "token-ivan", 403, 1016, "no right"),
        (f"{EN}{PROFIT}", "token-ivan", 403, 1016, "no right, en"),
        (f"{RU}{STOCK}", "wrong", 401, 1056, "no token"),
        (f"{RU}{STOCK}", None, 401, 1056, "no token"),
        (f"{RU}{SERIES}&momentTo=soon", "token-anna", 400, 1035, "no date"),
        (f"{RU}/entity/product/no-id", "token-anna", 404, 1021, "nothing"),
        (f"{RU}/report/dashboard/year", "token-anna", 404, 1021, "nothing"),
        (f"{RU}/report/counterparty/selected", "token-anna", 405, 1039, "no GET"),
    ],
)
def test_errors_have_the_documented_code_and_text(
    site: Site, path: str, token: str | None, status: int, code: int, text: str
) -> None:
    answer = site.get(path, token)
    assert (answer.status_code, answer.json()) == (status, {"errors": [{"error": TEXTS[text], "code": code}]})


def test_wrong_token_gets_a_challenge(site: Site) -> None:
    assert site.get(RU + STOCK, "wrong").headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "query",
    [
        "momentFrom=0001-01-01&momentTo=2018-09-06&interval=day",
        "momentFrom=9999-12-31 23:59:59&momentTo=2018-09-06T00:00&interval=day",
        "momentFrom=2018-09-06&momentTo=2018-09-07&interval=second",
    ],
)
def test_invalid_parameters_are_400(site: Site, query: str) -> None:
    assert site.get(f"{RU}/report/sales/plotseries?{query}").status_code == 400


@pytest.mark.parametrize(("language", "name"), [("en", "Not main warehouse"), ("ru-RU,ru;q=0.9", "Не основной склад")])
def test_accept_language_chooses_the_language(site: Site, language: str, name: str) -> None:
    for mount in (RU, EN):
        stores = site.get(f"{mount}/entity/store", headers={"Accept-Language": language}).json()["rows"]
        assert stores[0]["name"] == name


def test_selected_counterparties_are_reported(site: Site) -> None:
    chosen = site.get(f"{RU}/entity/counterparty?limit=2").json()["rows"]
    body = {"counterparties": [{"counterparty": {"meta": entity["meta"]}} for entity in chosen]}
    rows = site.call("POST", f"{RU}/report/counterparty/selected", json=body).json()["rows"]
    assert [row["counterparty"]["id"] for row in rows] == [entity["id"] for entity in chosen]


@pytest.mark.parametrize("body", [{}, {"counterparties": []}, {"counterparties": [{"counterparty": 7}]}, [7]])
def test_invalid_selection_is_400(site: Site, body: Any) -> None:
    answer = site.call("POST", f"{RU}/report/counterparty/selected", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["error"]
