"""Pages in a real browser; admin pages on a small screen: measurements and a screenshot of each.

``TEST_SCREENSHOTS`` names a directory for the pictures; without it they lie in the test's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib import admin

SIZE = "1280,800"
MEASURE = """<script>
addEventListener("load", () => { document.title = `measured ${(%s).join(" ")}`; })
</script>"""


def chromium(home: Path) -> list[str]:
    """The command of a browser without a window, with ``home`` for its files."""
    program = shutil.which("chromium")
    if program is None:
        assert not os.environ.get("CI"), "CI has to have chromium"
        pytest.skip("chromium is not installed")
    return [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={home}"]


@contextlib.contextmanager
def opened(url: str, home: Path, *options: str) -> Iterator[None]:
    """Open ``url`` in a browser, which is killed, with its children, at the end."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    command = [*chromium(home), *quiet, *options, "--remote-debugging-port=0", url]  # stays open until it is killed
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measured(text: str, script: str, tmp_path: Path, name: str) -> list[int]:
    """Run ``script`` (JavaScript, a list of numbers) on an admin page; the screenshot is called ``name``."""
    shown = chromium(tmp_path)
    static = Path(admin.__file__).parent / "static"
    file = tmp_path / "page.html"
    file.write_text(text.replace("/static/", f"{static.as_uri()}/").replace("</body>", f"{MEASURE % script}</body>"))
    pictures = Path(os.environ.get("TEST_SCREENSHOTS") or tmp_path).resolve()
    pictures.mkdir(parents=True, exist_ok=True)
    screen = [f"--window-size={SIZE}", "--allow-file-access-from-files", f"--screenshot={pictures / f'{name}.png'}"]
    done = subprocess.run([*shown, *screen, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120)
    [numbers] = re.findall(r"<title>measured ([\d ]+)</title>", done.stdout)
    return [int(number) for number in numbers.split()]
