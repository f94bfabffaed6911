"""Everything that how-to's and reference show is done as shown, with a real server and worker, and compared.

A block that is neither done nor listed fails: a new one of ``sh`` is entered, one of ``http``, ``json`` or ``none`` has
to be in the output of the last command, and any other needs a story below, or a line in ``ELSEWHERE``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import canonicalize

import pytest
import requests
from cryptography.fernet import Fernet
from django.utils import timezone

from ..newcomer import PATIENCE, PAUSE
from ..pages import ROOT, Block
from ..services import until
from .reader import PAGES, Reader, shown_on

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("first-hour")]

ELSEWHERE = {
    ("CONTRIBUTING", "python3 -m venv"): "runs these tests",
    ("contributing", "python3 -m venv"): "the same",
    ("calling-an-api", "npx openapi-typescript"): "tests/openapi/tools/test_clients.py runs it, and what it makes",
    ("calling-an-api", "openapi-python-client generate"): "the same",
    ("deployment", "[Unit]"): "test_programs asks systemd",
    ("deployment", "FROM python"): "test_programs runs its commands; no image is built",
    ("deployment", "# compose.yaml"): "test_programs reads it",
    ("deployment", "# Kubernetes"): "test_programs reads it",
    ("deployment", "# postgresql.conf"): "test_programs asks PostgreSQL",
    ("events", "const source"): "endpoints.test_events runs it, in a browser",
    ("events", "curl --no-buffer"): "endpoints.test_events reads streams; the project here is behind a WSGI server",
    ("events", "retry: 1000"): "the same",
    ("executors", "celery -A myproject worker"): "test_workers has it run a call",
    ("executors", "pip install django-asyncexchange[celery]"): "the same",
    ("executors", "pip install django-asyncexchange[redis]"): "the same",
    ("executors", "pip install django-asyncexchange[tasks]"): "the same",
    ("executors", "python manage.py db_worker"): "the same",
    ("javascript", ""): "endpoints.test_async_fetch runs it, in a browser",
    ("openapi", ""): "openapi.test_adoption does it in a project of its own",
    ("patience", "gunicorn"): "tests/journeys/test_patience.py starts them",
    ("performance", "pip install -e .[benchmarks]"): "an hour; the environments benchmarks and benchmarks-short of tox",
    ("proxies-and-cors", "location / {"): "test_proxies asks nginx",
    ("proxies-and-cors", "location /shop/ {"): "the same",
    ("quickstart", ""): "test_first_hour",
    ("README", ""): "test_first_hour, and .ci/run",
    ("storing-and-serving-results", '{"Rules"'): "test_programs asks a bucket",
    ("storing-and-serving-results", "location /results/"): "test_programs asks nginx",
    ("testing-your-project", ""): "test_first_hour",
    ("waiting-page", "<a href="): "rest.test_browsable_api follows the link and submits the form",
    ("waiting-page", "REST_FRAMEWORK = {"): "rest.test_browsable_api imports REST framework with it",
    ("waiting-page", "{# templates"): "endpoints.test_pages renders it",
    ("webhooks", "// receiver.js"): "test_signatures runs it, with Node.js",
}
"""(page, beginning of a block; all of the page where that is empty) → who does it, or why nobody does."""
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.rst")), *sorted(ROOT.glob("*.rst"))]


def shows(page: Path) -> bool:
    """Whether anything on ``page`` is not Python, at a glance."""
    return bool(re.search(r"code-block:: (?!python)", page.read_text(encoding="utf-8")))


def others(page: Path) -> list[Block]:
    """The blocks of ``page`` that are neither Python nor done elsewhere."""
    return [block for block in shown_on(page) if block.language != "python" and not elsewhere(page, block)]


def elsewhere(page: Path, block: Block) -> list[tuple[str, str]]:
    return [key for key in ELSEWHERE if key[0] == page.stem and block.text.startswith(key[1])]


Story = Callable[[Reader, Block], None]
STORIES: dict[tuple[str, str], Story] = {}


def story(page: str, beginning: str) -> Callable[[Story], Story]:
    """Register what is special about a block: how it comes about, or how it is compared."""

    def keep(told: Story) -> Story:
        STORIES[page, beginning] = told
        return told

    return keep


@pytest.mark.full
@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES if shows(page)])
def test_page_shows_what_happens(reader, page):
    ours = {words: told for (name, words), told in STORIES.items() if name == page.stem}
    reader.read(others(page), lambda block: next((ours[words] for words in ours if block.text.startswith(words)), None))


# Stories --------------------------------------------------------------------------------------------------------------


@story("add-a-dialect", "HTTP/1.1 202")
def ticket(reader, block):
    reader.enter('curl -i -u anna:secret -H "X-Ticket: please" https://example.org/api/goods')
    reader.compare(block)


@story("authentication", "python -c")
def key(reader, block):
    reader.type(block)
    assert Fernet(reader.said.strip())


@story("personal-data", "python manage.py asyncexchange_forget")
def forgotten(reader, block):
    """Anna has a call, and so had user 17, who is deleted."""
    reader.accepted("/reports/stock")
    reader.python(
        "from django.contrib.auth.models import User\nfrom django.test import Client\n"
        "gone = User.objects.create_user('olga', password='secret', pk=17)\n"
        "headers = {'Prefer': 'respond-async', 'Authorization': 'Basic b2xnYTpzZWNyZXQ='}\n"
        "assert Client(SERVER_NAME='127.0.0.1').get('/reports/stock', headers=headers).status_code == 202\n"
        "gone.delete()\n"
    )
    reader.type(block)
    assert [bool(re.match(r"[1-9]\d* tasks", printed)) for printed in reader.printed] == [True, True]


@story("retention", "python manage.py asyncexchange_prune")
def pruned(reader, block):
    reader.until_done(reader.accepted("/reports/stock"))
    reader.python(
        "from django.utils import timezone\nfrom django_asyncexchange.models import AsyncTask\n"
        "AsyncTask.objects.finished().update(deletion_date=timezone.now())"
    )
    reader.type(block)
    assert re.match(r"[1-9]\d* bodies and \d+ tasks deleted", reader.said)


@story("retention", "curl -u anna:secret -X PATCH")
def kept_and_deleted(reader, block):
    """With tomorrow for the date that is shown."""
    task = reader.accepted("/reports/stock")
    reader.until_done(task)
    tomorrow = f"{timezone.now() + dt.timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    text = block.text.replace("2026-12-24T12:00:00", tomorrow)
    reader.type(dataclasses.replace(block, text=text), before=f"TASK={shlex.quote(task)}; ")
    assert f'"deletion_date":"{tomorrow}.000Z"' in reader.printed[0]
    assert reader.call("GET", f"{task}/result").status_code == 410


@story("storing-and-serving-results", "curl --continue-at -")
def continued(reader, block):
    """Resume an interrupted download."""
    result = reader.accepted("/api/remap/1.2/report/large?async=true")
    ready = until(lambda: redirected(reader.call("GET", result, allow_redirects=False)), PATIENCE, PAUSE)
    link = ready.headers["Location"]
    whole = requests.get(link, timeout=PATIENCE).content
    report = reader.home / "report.json"
    report.write_bytes(whole[:1000])
    reader.type(block, before=f"LINK={shlex.quote(link)}; ")
    assert report.read_bytes() == whole and len(whole) > 100_000


def redirected(response):
    return response if response.status_code == 302 else None


@story("prefer", '{"type": "about:blank"')
def cancelled(reader, block):
    address = reader.accepted("/reports/lasts")
    assert reader.call("DELETE", address).status_code == 204
    reader.said = reader.call("GET", f"{address}/result").text
    reader.compare(block)


@story("mailru", '{"error"')
def cancelled_by_staff(reader, block):
    address = reader.accepted("/async_api/v2/lasts", "POST")
    reader.python(
        "from django_asyncexchange.models import AsyncTask\nfrom django_asyncexchange.tasks import lifecycle\n"
        f"lifecycle.cancel(AsyncTask.objects.get(pk='{Path(address).stem}'))"
    )
    reader.said = reader.call("GET", address.replace("/requests/", "/responses/")).text
    reader.compare(block)


@story("cisco", '{"apiError"')
def timed_out(reader, block):
    reader.said = overdue(reader, "application/json")
    reader.compare(block)


@story("cisco", "<asyncResult>")
def in_xml(reader, block):
    accept = "application/xml, */*;q=0.1"  # the view returns JSON only
    waits = reader.call("POST", "/unifiedconfig/config/calltype?async=true", headers={"Accept": accept})
    for shown, real in zip(block.text.split("\n\n"), [waits.text, overdue(reader, accept)], strict=True):
        assert canonicalize(shown, strip_text=True) == canonicalize(real, strip_text=True)


def overdue(reader, accept):
    address = reader.accepted("/unifiedconfig/config/lasts?async=true", "POST")
    look = lambda: reader.call("GET", address, headers={"Accept": accept})  # noqa: E731
    return until(lambda: look().text if look().status_code == 503 else None, PATIENCE, PAUSE)


@story("moysklad", '{"events"')
def told(reader, block):
    reader.accepted("/api/remap/1.2/report/stock?async=true")
    reader.said = until(lambda: newest(reader, "/hook?"), PATIENCE, PAUSE).body.decode()
    reader.compare(block)


@story("moysklad", '{"errors"')
def not_ready(reader, block):
    address = reader.accepted("/api/remap/1.2/report/lasts?async=true")
    reader.said = reader.call("GET", address).text
    reader.compare(block)
    assert reader.call("PUT", address.replace("/result", "/cancel")).status_code == 204


@story("webhooks", "POST /async/webhooks")
def subscribed(reader, block):
    response = asked(reader, block)
    reader.said = response.text
    assert response.status_code == 201, response.text


@story("webhooks", "Prefer: respond-async, callback")
def heeded(reader, block):
    name, _, text = reader.localized(block.text).strip().partition(": ")
    response = reader.call("GET", "/reports/stock", headers={name: text})
    assert "callback" in response.headers["Preference-Applied"]
    assert until(lambda: newest(reader, "/done"), PATIENCE, PAUSE)


@story("webhooks", "POST /hooks")
def signed(reader, block):
    seen = until(lambda: newest(reader, "/hooks"), PATIENCE, PAUSE)
    method, path, headers, body = parsed(block)
    assert (seen.method, seen.path, seen.headers["content-type"]) == (method, path, headers["Content-Type"])
    assert {name.lower() for name in headers} <= seen.headers.keys()
    assert reader.fits(json.loads(body), json.loads(seen.body)), seen.body


@story("webhooks", "python manage.py asyncexchange_resend")
def resent(reader, block):
    def is_sent_again() -> bool:
        """Repeat until the message that arrived has been recorded."""
        reader.type(block)
        return all(re.match(r"\d+ deliveries", each) for each in reader.printed) and reader.printed[-1][0] != "0"

    assert until(is_sent_again, PATIENCE, PAUSE)


def newest(reader, path):
    """The newest message at ``path``."""
    found = [seen for seen in reader.receiver.seen if seen.path.startswith(path)]
    return found[-1] if found else None


def asked(reader, block):
    """The response to the request in ``block``."""
    method, path, headers, body = parsed(block)
    return reader.call(method, path, headers=headers, data=reader.localized(body))


def parsed(block):
    head, _, body = block.text.partition("\n\n")
    first, *lines = head.splitlines()
    method, path, _ = first.split()
    return method, path, dict(line.split(": ", 1) for line in lines), body


# All of it ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_every_block_is_run_or_listed(page):
    """Blocks of how-to's and reference are run here, or fail here."""
    assert page in PAGES or not others(page)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_no_block_is_overlooked(page):
    text = page.read_text(encoding="utf-8")
    assert len(shown_on(page)) == text.count(".. code-block:: ")
    assert not re.search(r"(?m)^(?! *\.\.).*::$|\.\. (code|highlight|sourcecode|prompt)::", text)


def test_every_listed_block_exists():
    there = [(page.stem, block.text) for page in DOCUMENTS for block in shown_on(page)]
    for name, words in [*ELSEWHERE, *STORIES]:
        assert any(page == name and text.startswith(words) for page, text in there), (name, words)
