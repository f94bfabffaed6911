"""The commands of the example project, as its README names them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Project, Site

TABLES = ("account", "member", "accesstoken", "store", "product", "counterparty", "stock", "sale")


def contents(database: Path) -> dict[str, list[Any]]:
    """All rows of the sample, without the ids that the database assigns."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return {table: [visible(row) for row in select(connection, table)] for table in TABLES}


def select(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    return connection.execute(f"SELECT * FROM inventory_{table} ORDER BY rowid").fetchall()


def visible(row: sqlite3.Row) -> dict[str, Any]:
    return {key: row[key] for key in row.keys() if key != "id" or isinstance(row[key], str)}  # noqa: SIM118


@pytest.fixture(scope="module")
def small(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy, loaded once more with only a few products."""
    small = Project(tmp_path_factory.mktemp("small"))
    with (
        contextlib.closing(sqlite3.connect(project.database)) as source,
        contextlib.closing(sqlite3.connect(small.database)) as target,
    ):
        source.backup(target)
    small.manage("load_sample", "--products", "40")
    return small


def test_sample_can_be_loaded_again(small: Project) -> None:
    before = contents(small.database)
    small.manage("load_sample", "--products", "40")
    assert contents(small.database) == before


def test_sample_begins_with_the_same_rows_at_any_size(small: Project, project: Project) -> None:
    large, little = (contents(each.database) for each in (project, small))
    for table in ("account", "member", "accesstoken", "store", "counterparty"):
        assert large[table] == little[table]
    for table, rows in (("product", 40), ("stock", 80)):
        first = little[table][:rows]
        assert large[table][:rows] == first


def test_no_token_is_stored_as_plain_text(small: Project) -> None:
    tokens = contents(small.database)["accesstoken"]
    assert len(tokens) == 4
    assert all(len(token["digest"]) == 64 for token in tokens)
    assert b"token-anna" not in small.database.read_bytes()


def test_migrations_are_complete(small: Project) -> None:
    assert "No changes" in small.manage("makemigrations", "--check", "inventory", "buyers")


def test_project_passes_its_checks(small: Project) -> None:
    assert "no issues" in small.manage("check", "--fail-level", "WARNING")


def test_reports_are_delayed_by_the_setting(small: Project) -> None:
    query = (
        "import time; from rest_framework.test import APIClient; slept = []; time.sleep = slept.append; "
        "address, headers = '/api/remap/1.2/report/stock/all', {'authorization': 'Bearer token-anna'}; "
        "print(APIClient().get(address, headers=headers).status_code, round(sum(slept), 3))"
    )
    said = small.manage("shell", "-v0", "-c", query, EXAMPLE_DELAY="500", ALLOWED_HOSTS="testserver")
    assert said.split() == ["200", "500.0"]


def test_index_page_names_the_tokens_and_the_urls(site: Site) -> None:
    text = site.get("/", None).text
    for word in ("token-anna", "token-ivan", "token-app1", "token-otto", "/api/remap/1.2/", "/generic/buyer/", "admin"):
        assert word in text


def test_admin_accepts_the_documented_login(site: Site) -> None:
    page = site.get("/admin/login/", None)
    form = {"username": "admin", "password": "admin", "csrfmiddlewaretoken": page.cookies["csrftoken"]}
    answer = site.call("POST", "/admin/login/", None, data=form, cookies=page.cookies, allow_redirects=False)
    assert answer.status_code == 302
    for model in ("product", "stock", "sale", "member", "accesstoken"):
        assert site.get(f"/admin/inventory/{model}/", None, cookies=answer.cookies).status_code == 200


def test_no_file_of_the_project_is_too_long() -> None:
    for path in (ROOT / "example_project").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 200, path
