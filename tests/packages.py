"""Build the wheel and the source archive, inspect and compare them. Needs build and twine.

python tests/packages.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "django_asyncexchange"
NEEDED = (
    "django_asyncexchange/py.typed",
    "django_asyncexchange/locale/ru/LC_MESSAGES/django.mo",
    "django_asyncexchange/locale/ru/LC_MESSAGES/django.po",
    "django_asyncexchange/migrations/0001_initial.py",
    "django_asyncexchange/static/asyncexchange/async-fetch.js",
)
"""Files that are no modules, and that nobody misses before it is too late; templates besides."""
ARCHIVED = (
    "CHANGELOG.rst",
    "CONTRIBUTING.rst",
    "LICENSE",
    "PKG-INFO",
    "README.rst",
    "SECURITY.rst",
    "docs/conf.py",
    "example_project/manage.py",
    "pyproject.toml",
    "tests/conftest.py",
    "tox.ini",
)
STRAY = ("__pycache__", ".pyc", ".sqlite3", "_build/", ".pytest_cache", "results/")


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        built = made("sdist", ROOT, home / "tree")
        archive = made("wheel", ROOT, home / "tree")
        with tarfile.open(built) as tar:
            names = {name.partition("/")[2] for name in tar.getnames()}
            tar.extractall(home / "unpacked", filter="data")
        [source] = (home / "unpacked").iterdir()
        again = made("wheel", source, home / "again")
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", built, archive], check=True)
        wheel = contents(archive)
        mistakes = [
            *(f"the wheel lacks {name}" for name in sorted({*modules(), *NEEDED, *templates()} - wheel.keys())),
            *(f"the wheel has {name}" for name in wheel if not name.startswith("django_asyncexchange")),
            *(f"the source archive lacks {name}" for name in sorted({*modules(), *ARCHIVED} - names)),
            *(f"{name} is not to be published" for name in {*names, *wheel} if any(part in name for part in STRAY)),
            *(f"the archive makes another {name}" for name in different(wheel, contents(again))),
            *(f"no entry point {name}" for name in ("pytest11",) if name not in metadata(wheel, "entry_points.txt")),
        ]
    print("\n".join(mistakes) or f"{archive.name} and {built.name}: all there, and the same")
    return bool(mistakes)


def made(kind: str, source: Path, home: Path) -> Path:
    """Build one of the two in an isolated environment."""
    command = [sys.executable, "-m", "build", "--installer", "uv", f"--{kind}", "--outdir", home, source]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}
    )
    [built] = home.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def modules() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}


def templates() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (PACKAGE / "templates").rglob("*.html")}


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: dict[str, bytes], name: str) -> str:
    return next((text.decode() for path, text in wheel.items() if path.endswith(f".dist-info/{name}")), "")


def different(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


if __name__ == "__main__":
    raise SystemExit(main())
