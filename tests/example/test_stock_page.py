"""The page /stock/ in a real browser, with a real server and worker: whatever happens in between, a call runs once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException

from ..newcomer import free_port
from ..project.wire import Wire, wire
from ..services import until
from ..webdriver import Browser, browser
from .conftest import Project, Site, answers

pytestmark = [pytest.mark.full, pytest.mark.slow, pytest.mark.service]

PRODUCTS = 900
"""Four batches, and not more than a page of the synchronous response."""
DELAY = 5
"""Seconds that the report takes."""
DONE = "The response has status 200."
PAGED = {"limit", "offset"}
"""What only the synchronous response says of its page."""


class Shop:
    """The project, whose browser reaches the web server by a wire. The web server can be restarted."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.port = free_port()
        self.known = self.tasks()
        self.stack = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        self.server: subprocess.Popen[bytes] = self.stack.enter_context(
            self.project.running("runserver", "--noreload", str(self.port))
        )
        until(lambda: answers(self.port) or self.server.poll() is not None)

    def stop(self) -> None:
        self.stack.close()

    def tasks(self) -> dict[str, tuple[str, int]]:
        """Id of every task → its state and the number of its runs."""
        with contextlib.closing(sqlite3.connect(self.project.database)) as connection:
            rows = connection.execute("SELECT id, state, attempt FROM asyncexchange_asynctask").fetchall()
        return {id: (state, attempt) for id, state, attempt in rows}

    def calls(self) -> list[tuple[str, int]]:
        """State and number of runs of each call since the test has begun."""
        return [task for id, task in self.tasks().items() if id not in self.known]

    def has(self, *states: str) -> bool:
        return sorted(state for state, _ in self.calls()) == sorted(states)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project with slow reports and a worker."""
    project = Project(tmp_path_factory.mktemp("stock"))
    project.environment["EXAMPLE_DELAY"] = str(DELAY)
    project.manage("migrate", "--verbosity", "0")
    project.manage("load_sample", "--products", str(PRODUCTS))
    with project.running("asyncexchange_worker"):
        yield project


@pytest.fixture
def shop(project: Project) -> Iterator[Shop]:
    shop = Shop(project)
    try:
        yield shop
    finally:
        shop.stop()


@pytest.fixture
def line(shop: Shop) -> Iterator[Wire]:
    with wire(shop.port) as line:
        yield line


@pytest.fixture
def url(line: Wire) -> str:
    return f"http://127.0.0.1:{line.port}/stock/"


@pytest.fixture
def page(url: str, tmp_path: Path) -> Iterator[Browser]:
    """The page, in the only tab of a browser."""
    with browser(tmp_path) as page:
        page.driver.get(url)
        yield page


def shows(page: Browser, text: str) -> None:
    """Wait until the page begins to say ``text``."""
    until(lambda: page.text("text").startswith(text))


def start(page: Browser) -> None:
    """Start a call, and wait until it runs."""
    page.click("start")
    shows(page, "Running")


def downloaded(page: Browser) -> bytes:
    """What the link of the page saves."""
    page.click("download")
    file = page.downloads / "stock.json"
    until(file.exists)
    content = file.read_bytes()
    file.unlink()
    return content


def has_report(content: bytes) -> bool:
    return len(json.loads(content)["rows"]) == PRODUCTS


@contextlib.contextmanager
def lost(page: Browser, line: Wire) -> Iterator[None]:
    """Without a network: what is under way is cut, and what the browser begins fails."""
    with page.offline():
        line.cut()
        line.mend()
        yield


# Progress and download ------------------------------------------------------------------------------------------------


def test_page_shows_the_progress_of_the_run(page):
    page.click("start")
    seen = until(lambda: (number := page.value("bar")) not in (None, "", "0", "100") and number)
    assert 0 < float(seen) < 100
    assert page.is_shown("bar") and not page.is_shown("download")
    shows(page, DONE)
    assert page.is_shown("download") and not page.is_shown("bar")


def test_download_is_the_stored_response_and_but_for_paging_the_synchronous_one(page, shop, url):
    start(page)
    shows(page, DONE)
    content = downloaded(page)
    site = Site(url.removesuffix("/stock/"))
    english: dict[str, Any] = {"headers": {"Accept-Language": "en-US"}}
    [task] = shop.tasks().keys() - shop.known.keys()
    assert content == site.get(f"/async/tasks/{uuid.UUID(task)}/result").content
    now = site.get("/api/remap/1.2/report/stock/all", **english).json()
    now["meta"] = {name: value for name, value in now["meta"].items() if name not in PAGED}
    assert content == json.dumps(now, ensure_ascii=False, separators=(",", ":")).encode()


# Cancellation ---------------------------------------------------------------------------------------------------------


def test_cancel_stops_the_run(page, shop):
    start(page)
    page.click("cancel")
    shows(page, "AbortError")
    until(lambda: shop.has("CANCEL"))
    assert not page.is_shown("download")


def test_call_after_a_cancelled_one_is_another(page, shop):
    start(page)
    page.click("cancel")
    shows(page, "AbortError")
    start(page)
    shows(page, DONE)
    until(lambda: shop.has("CANCEL", "DONE"))


def test_cancel_without_a_network_reaches_the_server_as_soon_as_there_is_one(page, shop, line):
    start(page)
    with lost(page, line):
        page.click("cancel")
        shows(page, "AbortError")
    until(lambda: shop.has("CANCEL"))


# Tabs -----------------------------------------------------------------------------------------------------------------


def test_two_tabs_have_calls_of_their_own(page, shop, url):
    first = page.tab()
    start(page)
    second = page.open_tab(url)
    assert page.text("text") == ""
    page.click("start")
    for tab in (first, second):
        page.switch(tab)
        shows(page, DONE)
        assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1), ("DONE", 1)]


def test_cancel_in_one_tab_leaves_the_call_of_the_other(page, shop, url):
    first = page.tab()
    page.click("start")
    page.open_tab(url)
    page.click("start")
    until(lambda: len(shop.calls()) == 2)
    page.click("cancel")
    shows(page, "AbortError")
    page.switch(first)
    shows(page, DONE)
    until(lambda: shop.has("CANCEL", "DONE"))


def test_duplicated_tab_follows_the_same_call(page, shop):
    first = page.tab()
    start(page)
    second = page.duplicate_tab()
    for tab in (second, first):
        page.switch(tab)
        shows(page, DONE)
        assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]


def test_cancel_in_one_of_two_tabs_ends_the_call_in_both(page, shop):
    first = page.tab()
    start(page)
    page.duplicate_tab()
    until(lambda: page.text("text"))
    page.click("cancel")
    page.switch(first)
    shows(page, "AsyncCallError")
    assert shop.has("CANCEL")


# Reloads --------------------------------------------------------------------------------------------------------------


def test_reload_goes_on_with_the_same_call(page, shop):
    start(page)
    for _ in range(2):
        page.driver.refresh()
        until(lambda: page.text("text"))
    shows(page, DONE)
    assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]


def test_reload_before_the_202_arrives_goes_on_with_the_same_call(page, shop):
    page.run("const real = fetch; window.fetch = call => real(call).then(() => new Promise(() => {}))")
    page.click("start")
    until(lambda: len(shop.calls()) == 1)
    assert page.text("text") == "Starting"
    page.driver.refresh()
    shows(page, DONE)
    assert shop.calls() == [("DONE", 1)]


def test_page_that_is_left_and_opened_again_in_its_tab_goes_on(page, shop, url):
    start(page)
    page.driver.get("about:blank")
    until(lambda: shop.has("DONE"))
    page.driver.get(url)
    shows(page, DONE)
    assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]


def test_reload_after_the_end_calls_nothing(page, shop):
    start(page)
    shows(page, DONE)
    page.driver.refresh()
    assert (page.text("text"), page.run("return sessionStorage.length")) == ("", 0)
    assert shop.calls() == [("DONE", 1)]


# Lost network ---------------------------------------------------------------------------------------------------------


def test_call_ends_well_although_the_network_was_lost_while_it_ran(page, shop, line):
    start(page)
    with lost(page, line):
        until(lambda: shop.has("DONE"))
        assert not page.is_shown("download")
    shows(page, DONE)
    assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]


def test_call_whose_202_was_lost_is_not_run_twice(page, shop, line):
    """The server has got the call, and stands still until the browser has lost its network."""
    os.kill(shop.server.pid, signal.SIGSTOP)
    before = line.sent
    page.click("start")
    until(lambda: line.sent > before)
    with lost(page, line):
        os.kill(shop.server.pid, signal.SIGCONT)
        until(lambda: len(shop.calls()) == 1)
    shows(page, DONE)
    assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]


def test_call_that_never_left_the_browser_is_sent_later(page, shop, line):
    with lost(page, line):
        page.click("start")
        shows(page, "Starting")
        assert shop.calls() == []
    shows(page, DONE)
    assert shop.calls() == [("DONE", 1)]


def test_call_ends_well_although_the_connection_was_cut_while_it_ran(page, shop, line):
    """The browser still believes that it has a network."""
    start(page)
    line.cut()
    until(lambda: shop.has("DONE"))
    line.mend()
    shows(page, DONE)
    assert shop.calls() == [("DONE", 1)]


def test_call_ends_well_although_the_server_was_restarted_while_it_ran(page, shop):
    start(page)
    shop.stop()
    until(lambda: shop.has("DONE"))
    shop.start()
    shows(page, DONE)
    assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]


def test_reload_without_a_network_loses_nothing(page, shop, line):
    start(page)
    with lost(page, line), contextlib.suppress(WebDriverException):
        page.driver.refresh()
    page.driver.refresh()
    shows(page, DONE)
    assert shop.calls() == [("DONE", 1)]


def test_call_that_the_page_has_given_up_goes_on_with_the_next_start(page, shop, line):
    """After so many failures the page says so; the time in between is skipped."""
    start(page)
    with lost(page, line):
        page.run("window.setTimeout = work => queueMicrotask(work)")
        shows(page, "The server cannot be reached.")
    page.click("start")
    shows(page, DONE)
    assert has_report(downloaded(page))
    assert shop.calls() == [("DONE", 1)]
