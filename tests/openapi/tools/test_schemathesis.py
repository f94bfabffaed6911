"""Schemathesis: requests made of the document get responses that the document describes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .conftest import PROGRAMS

EXAMPLES = os.environ.get("TEST_OPENAPI_EXAMPLES", "")
"""Cases for each operation, in all phases and for all operations; empty for the short form."""
SHORT = ["--phases", "examples,fuzzing", "--max-examples", "5", "--exclude-tag-regex", "kladana"]
"""Kladana's views are MoySklad's."""
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


def test_schemathesis_finds_nothing(site: str, tmp_path: Path) -> None:
    for name in ("schemathesis.toml", "schemathesis_hooks.py"):
        shutil.copy(PROGRAMS / name, tmp_path)
    extent = ["--max-examples", EXAMPLES] if EXAMPLES else SHORT
    command = [SCHEMATHESIS, "run", f"{site}/openapi.json", "--seed", "1", "--no-color", *extent]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": "."}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
