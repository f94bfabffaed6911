"""Demo in one command: install, start, submit calls, poll, fetch and compare results. Needs only Python and pip.

    python3 example_project/demo.py            runs the walkthrough and exits
    python3 example_project/demo.py --stay     then keeps the server and the workers running until Ctrl-C

It creates a virtual environment ``.venv`` in the repository and a temporary directory, which is removed at the end.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("django_asyncexchange", "dj_database_url", "drf_spectacular_sidecar", "rich", "waitress")


def main() -> int:
    parser = argparse.ArgumentParser(description="Walks through all dialects over real HTTP.")
    parser.add_argument("--stay", action="store_true", help="keep the server and the workers running afterwards")
    parser.add_argument("--port", type=int, default=0, help="port of the web server (default: a free one)")
    parser.add_argument("--delay", type=float, default=2.0, help="seconds that a report takes (default: 2)")
    parser.add_argument("--products", type=int, default=2135, help="products in the stock report (default: 2135)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="draw part of the output as an SVG")
    options = parser.parse_args()
    if not all(importlib.util.find_spec(name) for name in NEEDED):
        return install_and_restart()

    from walkthrough.run import run

    return run(**vars(options))


def install_and_restart() -> int:
    """Create ``.venv``, install the project, and run this file there."""
    home = ROOT / ".venv"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if Path(sys.executable).absolute() == python:
        raise SystemExit(f"{home} lacks one of {', '.join(NEEDED)}; delete it and try again")
    if not python.exists():
        print(f"creating a virtual environment in {home.relative_to(ROOT)}", flush=True)
        venv.create(home, with_pip=True)
    print("installing the project and its dependencies", flush=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ".[example]"]
    subprocess.run(install, cwd=ROOT, check=True)
    return subprocess.run([str(python), __file__, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
