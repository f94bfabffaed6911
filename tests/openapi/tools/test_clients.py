"""Generated clients submit a call, wait for it, fetch its result and cancel another one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from .conftest import PROGRAMS, Node

BIN = Path(sys.executable).parent


def run(home: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_client_makes_the_round_trip(document: Path, slow_site: str, tmp_path: Path) -> None:
    for name in ("round_trip.py", "mypy.ini"):
        shutil.copy(PROGRAMS / name, tmp_path)
    generate = [str(BIN / "openapi-python-client"), "generate", "--meta", "none", "--output-path", "generated"]
    run(tmp_path, *generate, "--path", str(document))
    run(tmp_path, str(BIN / "mypy"), "--config-file=mypy.ini", "round_trip.py", "generated")
    assert run(tmp_path, sys.executable, "round_trip.py", slow_site) == "done\n"


def test_typescript_client_makes_the_round_trip(document: Path, slow_site: str, node: Node) -> None:
    node.run("openapi-typescript", str(document), "--output", "document.d.ts")
    node.run("tsc", "--project", "tsconfig.json")
    told = node.run("node", "built/round_trip.js", slow_site)
    assert {"Prefer: result", "Prefer: cancelled", "MoySklad: result", "MoySklad: cancelled"} <= set(told.split("\n"))
