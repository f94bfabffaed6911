"""Admin pages in a real browser on a small screen: measurements and a screenshot of each.

``TEST_SCREENSHOTS`` names a directory for the pictures; without it they lie in the test's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib import admin

SIZE = "1280,800"
MEASURE = """<script>
addEventListener("load", () => { document.title = `measured ${(%s).join(" ")}`; })
</script>"""


def measured(text: str, script: str, tmp_path: Path, name: str) -> list[int]:
    """Run ``script`` (JavaScript, a list of numbers) on an admin page; the screenshot is called ``name``."""
    program = shutil.which("chromium")
    if program is None:
        assert not os.environ.get("CI"), "CI has to have chromium"
        pytest.skip("chromium is not installed")
    static = Path(admin.__file__).parent / "static"
    file = tmp_path / "page.html"
    file.write_text(text.replace("/static/", f"{static.as_uri()}/").replace("</body>", f"{MEASURE % script}</body>"))
    pictures = Path(os.environ.get("TEST_SCREENSHOTS") or tmp_path).resolve()
    pictures.mkdir(parents=True, exist_ok=True)
    shown = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}"]
    screen = [f"--window-size={SIZE}", "--allow-file-access-from-files", f"--screenshot={pictures / f'{name}.png'}"]
    done = subprocess.run([*shown, *screen, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120)
    [numbers] = re.findall(r"<title>measured ([\d ]+)</title>", done.stdout)
    return [int(number) for number in numbers.split()]
