"""A browser that a test drives as its user would: tabs, clicks, reloads, downloads, and a network that can be lost."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--lang=en-US")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")


class Browser:
    """Chromium with one tab, which is the current one. What it downloads is in ``downloads``."""

    def __init__(self, driver: Chrome, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads

    def click(self, id: str) -> None:
        self.driver.find_element(By.ID, id).click()

    def is_shown(self, id: str) -> bool:
        return self.driver.find_element(By.ID, id).is_displayed()

    def text(self, id: str) -> str:
        return self.driver.find_element(By.ID, id).text

    def value(self, id: str) -> str | None:
        return self.driver.find_element(By.ID, id).get_attribute("value")

    def run(self, script: str) -> object:
        """Run JavaScript in the page and return what it returns."""
        return self.driver.execute_script(script)

    def tab(self) -> str:
        """The current tab, for ``switch``."""
        return self.driver.current_window_handle

    def open_tab(self, url: str) -> str:
        """Open ``url`` in another tab, which has a session storage of its own, and go there."""
        self.driver.switch_to.new_window("tab")
        self.driver.get(url)
        return self.tab()

    def duplicate_tab(self) -> str:
        """Open the page in another tab, with a copy of the session storage, and go there."""
        known = set(self.driver.window_handles)
        self.run("window.open(location.href)")
        [new] = set(self.driver.window_handles) - known
        self.switch(new)
        return new

    def switch(self, tab: str) -> None:
        self.driver.switch_to.window(tab)

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Lose the network: every request fails that begins before the end; some under way may go on."""
        self.driver.set_network_conditions(offline=True, latency=0, throughput=-1)
        try:
            yield
        finally:
            self.driver.set_network_conditions(offline=False, latency=0, throughput=-1)


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Chromium, closed at the end; skips without it, and fails in CI."""
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        assert not os.environ.get("CI"), "CI has to have chromium and chromedriver"
        pytest.skip("chromium or chromedriver is not installed")
    options = ChromeOptions()
    options.binary_location = programs[0]
    for option in (*OPTIONS, *QUIET, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(home)})
    driver = Chrome(options, Service(programs[1]))
    try:
        yield Browser(driver, home)
    finally:
        driver.quit()
