"""A reader with a project, who does what a page says, block by block, and compares what it shows."""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import requests

from ..newcomer import CHANGING, PATIENCE, PAUSE, Environment, Newcomer, free_port
from ..pages import PAGES, ROOT, Block, blocks, completed
from ..receivers import Receiver
from ..services import until

HERE = Path(__file__).parent
SETTINGS = (
    ("deployment", "Q_CLUSTER = q_cluster()"),
    ("deployment", "sqlite3"),
    ("storing-and-serving-results", "FileSystemStorage"),
    ("retention", '"solitude": {'),
    ("kladana", '"kladana": {'),
    ("mailru", '"mailru": {'),
    ("cisco", '"cisco": {'),
    ("prefer", '"prefer": {'),
    ("add-a-dialect", '"tickets": {'),
    ("webhooks", "WEBHOOK_ALLOWED_NETWORKS"),
)
"""(page, words): the blocks of Python that are the project's settings."""
BEFORE = """
from datetime import timedelta

INSTALLED_APPS += ["rest_framework", "rest_framework.authtoken", "django_q", "django_asyncexchange"]
MIDDLEWARE += ["django_asyncexchange.middleware.AsyncExchangeMiddleware"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["myproject.tokens.Bearer", "rest_framework.authentication.BasicAuthentication"],
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}}  # as in production, since Django 6.1
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
ASYNC_EXCHANGE = {"DIALECTS": {"cisco": {"RUN_LIMIT": 1}}, "PRUNE_SECONDS": 0}


def merged(old, new):
    inner = {name: merged(old.get(name, {}), part) for name, part in new.items() if isinstance(part, dict)}
    return {**old, **new, **inner}
"""
TOKENS = """
from rest_framework.authentication import TokenAuthentication


class Bearer(TokenAuthentication):
    keyword = "Bearer"
"""
ANNA = """
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
Token.objects.create(user=User.objects.create_user("anna", password="secret"), key="token")
"""
ELIDED = re.compile(r"…|\{id\}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PRINTED = ("http", "json", "none", "text")
"""Languages of what commands print."""
TRIES = 5
"""How often a call is made that is to be answered in time: a machine may be busy."""


class Reader(Newcomer):
    """``home`` has the project; ``receiver`` is what the pages call example.com."""

    def __init__(self, home: Path, environment: Environment, receiver: Receiver) -> None:
        super().__init__(home, environment)
        self.receiver = receiver
        self.printed: list[str] = []
        """What each command of the last block has printed."""
        self.settings = "myproject.settings"
        """The module that commands are run with."""

    # The project -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Make the project, and start what docs/howto/deployment.rst starts."""
        self.enter("pip install django-asyncexchange")
        self.enter("django-admin startproject myproject .")
        shutil.copy(HERE / "project.py", self.home / "myproject" / "urls.py")
        (self.home / "myproject" / "tokens.py").write_text(TOKENS, encoding="utf-8")
        shutil.copytree(ROOT / "example_project" / "tickets", self.home / "tickets")
        with (self.home / "myproject" / "settings.py").open("a", encoding="utf-8") as file:
            file.write("\n".join([BEFORE, *(self.localized(more(shown(*where))) for where in SETTINGS)]))
        self.enter("python manage.py migrate --verbosity 0")
        self.python(ANNA)
        shutil.copytree(self.home, self.home.with_name("pristine"))
        self.enter("python manage.py runserver")
        self.enter("python manage.py asyncexchange_worker")
        self.until_done(self.accepted("/reports/stock"))

    def surroundings(self) -> dict[str, str]:
        return super().surroundings() | {"DJANGO_SETTINGS_MODULE": self.settings}

    def localized(self, text: str) -> str:
        text = text.replace("https://example.org", f"http://127.0.0.1:{self.port}")
        text = text.replace("{base}", f"http://127.0.0.1:{self.port}/api/remap/1.2")
        text = text.replace("https://example.com", f"http://127.0.0.1:{self.receiver.port}")
        text = text.replace("443, 8000", str(self.receiver.port))
        text = text.replace("/var/lib/myproject", str(self.home))
        return super().localized(text)

    def python(self, text: str) -> str:
        """Run ``text`` in the project."""
        return self.shell(f"python -W ignore - <<'END'\nimport django\ndjango.setup()\n{text}\nEND")

    @contextlib.contextmanager
    def beside(self, home: Path | None = None, settings: str = "myproject.settings") -> Iterator[Reader]:
        """A copy of the project before anything ran, or the same project, with processes of its own."""
        other = copy.copy(self)
        other.home, other.settings = home or self.home, settings
        other.port, other.running = free_port(), {}
        if home:
            shutil.copytree(self.home.with_name("pristine"), home)
        try:
            yield other
        finally:
            other.leave()

    # Calls -----------------------------------------------------------------------------------------------------------

    def call(self, method: str, address: str, **options: Any) -> requests.Response:
        """A call of Anna's, in any dialect."""
        address = address if address.startswith("http") else f"http://127.0.0.1:{self.port}{address}"
        return requests.request(method, address, auth=("anna", "secret"), timeout=PATIENCE, **options)

    def accepted(self, path: str, method: str = "GET", **headers: str) -> str:
        """The status URL of a call of ``path``."""
        headers = headers or {"Prefer": "respond-async"}
        response = self.call(method, path, headers=headers, allow_redirects=False)
        assert response.status_code == 202, response.text
        return requests.compat.urljoin(response.url, response.headers["Location"])

    def until_done(self, address: str) -> None:
        until(lambda: self.call("GET", address).status_code == 200, PATIENCE, PAUSE)

    # Pages -----------------------------------------------------------------------------------------------------------

    def read(self, page: Iterable[Block], stories: Callable[[Block], Any]) -> None:
        """Do and compare everything on ``page``; ``stories`` has the special blocks."""
        self.known, self.printed = {}, []
        last = None
        for block in page:
            story = stories(block)
            if story:
                story(self, block)
            elif block.language == "sh":
                self.type(block)
            else:
                assert block.language in PRINTED, f"line {block.line}: nobody does this block:\n{block.text}"
                self.repeated(last, block)
            last = block if block.language == "sh" else last

    def type(self, block: Block, before: str = "") -> None:
        """Enter each command of ``block``."""
        self.printed = []
        for line in block.text.replace("\\\n", "").splitlines():
            self.enter(before + line)
            self.printed.append(self.said)
        self.said = "".join(self.printed)

    def repeated(self, commands: Block | None, block: Block) -> None:
        """Compare ``block`` with the output of ``commands``, repeated a few times."""
        for _ in range(TRIES - 1 if commands else 0):
            try:
                return self.compare(block)
            except AssertionError:
                self.type(commands)
        self.compare(block)

    def start(self, line: str, name: str) -> None:
        """Start a command, unless the project has started it already."""
        if name not in self.running:
            super().start(line, name)

    def compare(self, block: Block) -> None:
        if block.language != "json":
            for line in block.text.rstrip().splitlines():
                self.see(self.localized(line))
            return
        real = self.said.rpartition("\n\n")[2]
        assert self.fits(json.loads(self.localized(block.text)), json.loads(real)), f"{block.text} is not\n{real}"

    def fits(self, shown: Any, real: Any) -> bool:
        """Whether ``real`` has all that is shown; ids are learned."""
        if isinstance(shown, dict):
            return all(name in real and self.fits(part, real[name]) for name, part in shown.items())
        if isinstance(shown, list):
            return len(shown) == len(real) and all(map(self.fits, shown, real))
        if not isinstance(shown, str):
            return bool(shown == real)
        pattern = "(.*)".join(re.escape(part) for part in ELIDED.split(shown))
        found = re.fullmatch(pattern, str(real), re.DOTALL)
        if found:
            learned = zip(ELIDED.findall(shown), found.groups(), strict=True)
            self.known |= {elided: seen for elided, seen in learned if CHANGING.match(elided)}
        return bool(found)


def shown(page: str, words: str) -> str:
    """The first block on ``page`` that contains ``words``."""
    [path] = [path for path in PAGES if path.stem == page]
    return next(block.text for block in shown_on(path) if words in block.text)


@functools.cache
def shown_on(page: Path) -> tuple[Block, ...]:
    """All blocks of ``page``."""
    return tuple(blocks(page))


def more(text: str) -> str:
    """``text``, whose dictionaries and lists of settings extend the existing ones."""
    tree = ast.parse(completed(text))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("ASYNC_EXCHANGE", "STORAGES"):
            node.value = ast.parse(f"merged({ast.unparse(node.targets[0])}, {ast.unparse(node.value)})").body[0].value
    return ast.unparse(tree) + "\n"
