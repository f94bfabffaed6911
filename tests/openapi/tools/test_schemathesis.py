"""Schemathesis: requests made of the document get responses that the document describes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .conftest import PROGRAMS

EXAMPLES = os.environ.get("TEST_OPENAPI_EXAMPLES", "10")
"""Cases of each operation and kind of data; the phase ``coverage`` has all of its own anyway."""
SEED = "1"
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


def test_schemathesis_finds_nothing(site: str, tmp_path: Path) -> None:
    for name in ("schemathesis.toml", "schemathesis_hooks.py"):
        shutil.copy(PROGRAMS / name, tmp_path)
    command = [SCHEMATHESIS, "run", f"{site}/openapi.json", "--max-examples", EXAMPLES, "--seed", SEED, "--no-color"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": "."}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
