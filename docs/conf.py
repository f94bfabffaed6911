"""Sphinx settings. ``_ext/directives.py`` makes the parts that are generated from the code."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = metadata["name"]
author = "django-asyncexchange contributors"
copyright = "2026, django-asyncexchange contributors"
version = release = metadata["version"]

extensions = ["directives"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {version}"
html_show_sphinx = False
smartquotes = False
