"""nginx and a browser in front of the project, set up as docs/howto/proxies-and-cors.rst says."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import requests
import trustme

from django_asyncexchange.conf.keys import Keys

from ..newcomer import PATIENCE, PAUSE, free_port
from ..receivers import receiving
from ..services import until
from .programs import nginx, program
from .reader import more, shown

pytestmark = [pytest.mark.full, pytest.mark.slow, pytest.mark.xdist_group("first-hour")]

PAGE = "proxies-and-cors"
ROOT, PREFIXED = "location / {", "location /shop/ {"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """(path of its certificate, path of one for this host, with the key)"""
    home, made = tmp_path_factory.mktemp("certificates"), trustme.CA()
    made.cert_pem.write_to_path(str(home / "ca"))
    made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(home / "own"))
    return str(home / "ca"), str(home / "own")


@pytest.fixture(
    scope="module", params=[(ROOT, "SECURE_PROXY"), (PREFIXED, "FORCE_SCRIPT_NAME")], ids=["root", "prefix"]
)
def site(request, reader, authority, tmp_path_factory):
    """(address of nginx, what is behind it)"""
    program("nginx")
    location, setting = request.param
    ca, own = authority
    settings = ["from .settings import *", *(more(shown(PAGE, words)) for words in {"SECURE_PROXY", setting})]
    module = f"behind_{setting.lower()}"
    (reader.home / "myproject" / f"{module}.py").write_text("\n".join(settings), encoding="utf-8")
    with reader.beside(settings=f"myproject.{module}") as behind:
        behind.enter("python manage.py runserver")
        port = free_port()
        with nginx(tmp_path_factory.mktemp("nginx"), port, behind.localized(shown(PAGE, location)), ssl=own):
            yield f"https://127.0.0.1:{port}{'/shop' if location == PREFIXED else ''}", ca


def call(site, path, method="GET", **options):
    address, ca = site
    address = path if path.startswith("https:") else address + path
    return requests.request(
        method, address, auth=("anna", "secret"), verify=ca, timeout=PATIENCE, allow_redirects=False, **options
    )


def test_location_of_the_202_is_the_public_address(site):
    accepted = call(site, "/reports/stock", headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    assert accepted.headers["Location"].startswith(f"{site[0]}/async/tasks/")


def test_result_is_found_at_the_public_address(site):
    accepted = call(site, "/reports/stock", headers={"Prefer": "respond-async"})
    see = until(lambda: finished(call(site, accepted.headers["Location"])), PATIENCE, PAUSE)
    assert see.headers["Location"].startswith(site[0])
    assert call(site, see.headers["Location"]).json() == {"user": "anna"}


def finished(response):
    return response if response.status_code == 303 else None


@pytest.mark.parametrize("site", [(ROOT, "SECURE_PROXY")], indirect=True, ids=["root"])
@pytest.mark.parametrize(("size", "status"), [(2 * 1024**2, 202), (Keys.MAX_REQUEST_BYTES.default + 1, 413)])
def test_body_is_accepted_or_refused_by_the_app(site, size, status):
    """nginx by itself refuses more than 1 MB, in HTML."""
    headers = {"Prefer": "respond-async", "Solitude-Async": "yes", "Content-Type": "text/plain"}
    response = call(site, "/orders/", "POST", data=b"x" * size, headers=headers)
    assert response.status_code == status
    assert "json" in response.headers["Content-Type"]


def test_proxy_waits_longer_than_a_call_does():
    [seconds] = re.findall(r"proxy_read_timeout (\d+)s", shown(PAGE, ROOT))
    assert int(seconds) > Keys.MAX_WAIT_SECONDS.default


# CORS -----------------------------------------------------------------------------------------------------------------

SCRIPT = """<script type="module">
const site = "http://127.0.0.1:%d", headers = {Authorization: "Basic " + btoa("anna:secret")};
const seen = {};
try {
  const accepted = await fetch(site + "/reports/stock", {headers: {...headers, Prefer: "respond-async"}});
  seen.applied = accepted.headers.get("Preference-Applied");
  let operation = {};
  while (operation.status != "Succeeded")
    operation = await (await fetch(accepted.headers.get("Operation-Location"), {headers})).json();
  const result = await fetch(operation.resourceLocation, {headers});
  seen.status = result.headers.get("AsyncResult");
  seen.document = await result.json();
} catch (error) { seen.error = `${error}`; }
await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
</script>"""


def test_page_of_another_origin_submits_polls_and_reads_the_result(reader, tmp_path):
    browser = program("chromium")
    with receiving() as origin, reader.beside(settings="myproject.cors") as site:
        text = more(shown(PAGE, "CORS_ALLOW_HEADERS")).replace("https://app.example.com", origin.url(""))
        (site.home / "myproject" / "cors.py").write_text(f"from .settings import *\n{text}", encoding="utf-8")
        site.enter(shown(PAGE, "pip install").strip())
        site.enter("python manage.py runserver")
        origin.answers = [(200, {"Content-Type": "text/html"}, (SCRIPT % site.port).encode())]
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
        with subprocess.Popen([browser, *options, f"--user-data-dir={tmp_path}", origin.url("/")]) as process:
            try:
                said = until(lambda: [seen.body for seen in origin.seen if seen.method == "POST"], PATIENCE, PAUSE)
            finally:
                process.terminate()
    assert json.loads(said[0]) == {"applied": "respond-async", "status": "200", "document": {"user": "anna"}}
