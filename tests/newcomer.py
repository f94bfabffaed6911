"""A new user with an empty directory, who follows a page block by block.

The wheel of this tree is installed; nothing else of the tree can be imported.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path

from .example.conftest import stop
from .pages import ROOT, Block, completed
from .services import until

PATIENCE = 240
PAUSE = 0.5
"""Between two polls, in seconds: each is a process."""
LASTING = ("runserver", "asyncexchange_worker")
CHANGING = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{40}\b")
"""What is another each time: ids and tokens."""
PASSWORD = "a long one of anna's"


def uv() -> str | None:
    """The program uv, which comes with tox-uv."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def wheel(folder: Path, source: Path = ROOT) -> Path:
    """A wheel of ``source``, built into ``folder``."""
    subprocess.run(
        [uv() or "uv", "build", "--quiet", "--wheel", "--out-dir", folder, source], check=True, env=surroundings()
    )
    [built] = folder.glob("*.whl")
    return built


def surroundings() -> dict[str, str]:
    """The environment variables without those that point to this tree or its virtual environment."""
    left_out = ("PYTHON", "DJANGO_", "VIRTUAL_ENV", "COV_", "COVERAGE", "DATABASE_URL", "BROKER_URL", "UV_PROJECT")
    return {name: text for name, text in os.environ.items() if not name.startswith(left_out)}


class Environment:
    """A virtual environment with the wheel and its requirements, in the versions of the tests."""

    def __init__(self, home: Path, wheel: Path) -> None:
        self.home, self.wheel = home, wheel
        self.constraints = home / "constraints.txt"
        here = {found.name: found.version for found in distributions() if found.name != "django-asyncexchange"}
        self.constraints.write_text("".join(f"{name}=={version}\n" for name, version in here.items()))
        self.uv("venv", "--python", sys.executable, str(home / "venv"))

    def install(self, *names: str) -> None:
        wanted = [name.replace("django-asyncexchange", str(self.wheel)) for name in names]
        self.uv("pip", "install", "--python", str(self.home / "venv"), "--constraint", str(self.constraints), *wanted)

    def uv(self, *words: str) -> None:
        subprocess.run([uv() or "uv", *words, "--quiet"], check=True, env=surroundings())


class Newcomer:
    """Follows a page; ``home`` is the empty directory."""

    def __init__(self, home: Path, environment: Environment) -> None:
        self.home, self.environment = home, environment
        home.mkdir()
        self.port = free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.known: dict[str, str] = {}
        """What a page shows of what is another each time → what it is here."""
        self.command = self.said = ""
        """The last command, and what it has printed."""
        self.fetched: list[str] = []
        """Answers that were fetched."""
        self.began = time.monotonic()
        self.first_result: float | None = None
        """Seconds from the empty directory to the first answer that was fetched."""

    def follow(self, page: Iterable[Block]) -> None:
        """Run the blocks of ``page`` and compare the shown output."""
        for block in page:
            if block.comment:
                continue  # commands for a clone
            if block.language == "sh":
                for line in block.text.replace("\\\n", "").splitlines():
                    self.enter(line)
            elif block.language in ("python", "ini"):
                self.write(block)
            else:
                self.compare(block)

    # Files -----------------------------------------------------------------------------------------------------------

    def write(self, block: Block) -> None:
        """Append ``block`` to its file."""
        assert block.file, f"line {block.line}: of which file?\n{block.text}"
        with (self.home / block.file).open("a", encoding="utf-8") as file:
            file.write("\n" + (completed(block.text) if block.language == "python" else block.text))

    # Commands --------------------------------------------------------------------------------------------------------

    def enter(self, line: str) -> None:
        """Run ``line`` as if typed into a terminal."""
        line = self.localized(line)
        words = shlex.split(line)
        self.command = line
        if words[:2] == ["pip", "install"]:
            self.environment.install(*words[2:])
        elif words[-1] in LASTING:
            self.start(line, words[-1])
        else:
            self.said = self.shell(line + (" --noinput" if "createsuperuser" in words else ""))

    def shell(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", line],
            cwd=self.home,
            env=self.surroundings(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}{self.log()}"
        return done.stdout

    def start(self, line: str, name: str) -> None:
        """Run in the background; an earlier process of that name is ended first."""
        if name in self.running:
            self.end(name)
        more = f" --noreload {self.port}" if name == "runserver" else ""
        with (self.home / "log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                ["bash", "-euc", f"exec {line}{more}"],
                cwd=self.home,
                env=self.surroundings(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if name == "runserver":
            until(self.is_listening, PATIENCE, PAUSE)

    def is_listening(self) -> bool:
        assert self.running["runserver"].poll() is None, self.log()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def end(self, name: str) -> None:
        process = self.running.pop(name)
        stop(process)
        process.wait()

    def leave(self) -> None:
        for name in list(self.running):
            self.end(name)

    def log(self) -> str:
        log = self.home / "log"
        return "\n" + log.read_text(encoding="utf-8")[-4000:] if log.exists() else ""

    def surroundings(self) -> dict[str, str]:
        given = surroundings()
        path = f"{self.environment.home / 'venv' / 'bin'}:{given['PATH']}"
        return given | {"PATH": path, "DJANGO_SUPERUSER_PASSWORD": PASSWORD, "PYTHONUNBUFFERED": "1"}

    def localized(self, text: str) -> str:
        for shown, real in self.known.items():
            text = text.replace(shown, real)
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    # Output ----------------------------------------------------------------------------------------------------------

    def compare(self, block: Block) -> None:
        """The shown output is that of the last command; a poll is repeated until there is a result."""
        if block.language == "json":
            self.fetched.append(until(self.result, PATIENCE, PAUSE).strip())
            self.first_result = self.first_result or time.monotonic() - self.began
            assert self.fetched[-1] == block.text.strip()
            return
        for line in block.text.strip().splitlines():
            self.see(self.localized(line))

    def result(self) -> str | None:
        """The output of ``curl -L`` as soon as it is no longer a 202."""
        said = self.shell(f"{self.command} -sS -w '\\n%{{http_code}}'")
        body, _, status = said.rpartition("\n")
        assert status in ("200", "202"), said + self.log()
        return body if status == "200" else None

    def see(self, line: str) -> None:
        """Find ``line`` in the output, and learn the values that differ each time."""
        shown = CHANGING.findall(line)
        pattern = "(.+)".join(re.escape(part) for part in CHANGING.split(line))
        found = re.search(rf"^{pattern}\s*$", self.said, re.MULTILINE)
        assert found, f"{line!r} is not in\n{self.said}{self.log()}"
        self.known |= dict(zip(shown, found.groups(), strict=True))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def newcomer(home: Path, environment: Environment) -> Iterator[Newcomer]:
    person = Newcomer(home, environment)
    try:
        yield person
    finally:
        person.leave()
