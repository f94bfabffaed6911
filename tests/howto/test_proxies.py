"""The project behind nginx as docs/howto/proxies-and-cors.rst says: host, scheme, prefix, sizes and times are right."""

from __future__ import annotations

import re

import pytest
import requests
import trustme

from django_asyncexchange.conf.keys import Keys

from ..newcomer import PATIENCE, PAUSE, free_port
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
